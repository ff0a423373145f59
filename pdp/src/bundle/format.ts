// Owns the layout of policy files: Cedar's own formatter, and the proof that nothing but layout changed. Never writes
// a file, and never hands out a text that lost a comment or says something else.
import canonicalize from 'canonicalize'
import type { Candidate } from '../engine/candidate.ts'
import { startCandidate } from '../engine/candidate.ts'
import type { SourceFile } from './files.ts'
import type { Finding } from './findings.ts'
import { errorAt } from './findings.ts'
import { findingIn } from './policies.ts'
import { commentsIn, splitPolicies } from './split.ts'

/** `text`: the file as it should be; for a refused one, there is a finding instead. */
export type FormattedFile = { readonly file: string } & (
  | { readonly outcome: 'same' }
  | { readonly outcome: 'changed'; readonly text: string }
  | { readonly outcome: 'refused'; readonly finding: Finding }
)

/**
 * Each file as Cedar's formatter lays it out (80 columns, 2 spaces, as in editors). A file without policies is left as
 * it is. Refused: what is no policy, and what the formatter would change or lose a comment of.
 */
export async function formatPolicyFiles(files: readonly SourceFile[]): Promise<FormattedFile[]> {
  const formatted: FormattedFile[] = []
  let candidate = await startCandidate()
  try {
    for (const source of files) {
      const answer = await formatFile(source, candidate).catch(() => refused(source, UNFORMATTABLE))
      formatted.push(answer)
      if (answer.outcome !== 'refused') continue
      // A text that Cedar does not take may have cost the thread its instance: the next file gets a new one.
      await candidate.close()
      candidate = await startCandidate()
    }
  } finally {
    await candidate.close()
  }
  return formatted
}

const UNFORMATTABLE = 'Cedar cannot format this file'

async function formatFile(source: SourceFile, candidate: Candidate): Promise<FormattedFile> {
  const { file, text } = source
  const before = await meaning(source, candidate)
  if (before.length === 0) return { file, outcome: 'same' }
  const problem = before.find((one) => typeof one !== 'string')
  if (problem !== undefined) return { file, outcome: 'refused', finding: problem }
  const [formatted] = await candidate.format([text])
  if (formatted === null || formatted === undefined) {
    return refused(source, UNFORMATTABLE)
  }
  const after = await meaning({ file, text: formatted }, candidate)
  if (JSON.stringify(after) !== JSON.stringify(before)) {
    return refused(source, 'formatted, this file would mean something else; it was left alone')
  }
  if (commentsIn(formatted).join('\n') !== commentsIn(text).join('\n')) {
    return refused(source, 'formatted, this file would lose a comment; it was left alone')
  }
  return formatted === text
    ? { file, outcome: 'same' }
    : { file, outcome: 'changed', text: formatted }
}

function refused({ file }: SourceFile, message: string): FormattedFile {
  return { file, outcome: 'refused', finding: errorAt(file, message) }
}

/** Each policy in a form that knows no layout, or what is wrong with it. */
async function meaning(source: SourceFile, candidate: Candidate): Promise<(string | Finding)[]> {
  const pieces = splitPolicies(source.text)
  const parsed = await candidate.parse(pieces.map(({ text }) => text))
  return parsed.map((answer, index) => {
    const piece = pieces[index]
    if (answer.ok) return canonicalize(answer.policy) ?? ''
    return piece === undefined
      ? errorAt(source.file, answer.problem.message)
      : findingIn({ source, ...piece }, answer.problem.start, answer.problem.message)
  })
}
