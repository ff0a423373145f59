// Owns running policy tests: every question asked of a bundle, every answer compared, and which policies that leaves
// untested. Never prints.
import type { VerdictCode } from '../../../schemas/codes.ts'
import { interpret } from '../authorize/interpret.ts'
import type { Bundle } from '../bundle/bundle.ts'
import type { SourceFile } from '../bundle/files.ts'
import { BundleError } from '../bundle/findings.ts'
import { readFolder } from '../bundle/folder.ts'
import { readCedarTests } from './cedar-tests.ts'
import { readMatrix } from './matrix.ts'
import type { Offline } from './offline.ts'
import type { Expectation, PolicyTest, Question } from './tests.ts'

/** What a question was answered. Policies and errors are sorted ids; `visible`: tools a list shows, for a list. */
export type Answer = {
  readonly decision: 'allow' | 'deny'
  readonly code: VerdictCode
  readonly policies: readonly string[]
  readonly errors: readonly string[]
  readonly visible: readonly string[] | null
  readonly detail: string
}

/** `expected` and `got` are for people. */
export type TestResult = {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly name: string
  readonly passed: boolean
  readonly expected: string
  readonly got: string
}

export type TestReport = {
  readonly results: readonly TestResult[]
  /** Policies that determined no answer: nothing would notice if they were gone. */
  readonly untested: readonly string[]
}

/** The files in `tests/` of a bundle, in the order of their names. Throws BundleError for what is no test file. */
export function readTestFiles(directory: string): Promise<SourceFile[]> {
  return readFolder(directory, 'tests', ['.json', '.yaml', '.yml'])
}

/** Every test of `files`, in order. Throws BundleError with every mistake in them. */
export function readTests(files: readonly SourceFile[], bundle: Bundle): PolicyTest[] {
  const read = files.map((source) =>
    source.file.endsWith('.json') ? readCedarTests(source) : readMatrix(source, bundle),
  )
  const findings = read.flatMap((of) => of.findings)
  if (findings.length > 0) throw new BundleError(findings)
  return read.flatMap(({ tests }) => tests)
}

/** Runs `tests` against what `offline` was started with. */
export async function runTests(
  tests: readonly PolicyTest[],
  bundle: Bundle,
  offline: Offline,
): Promise<TestReport> {
  const answers = await askAll(
    tests.map(({ question }) => question),
    offline,
  )
  const determined = new Set(answers.flatMap(({ policies }) => policies))
  const results = tests.map(({ name, file, place, expect }, index): TestResult => {
    const answer = answers[index] ?? NO_ANSWER
    return {
      file,
      ...place,
      name,
      passed: meets(answer, expect),
      expected: expectedText(expect),
      got: gotText(answer, expect),
    }
  })
  return {
    results,
    untested: [...bundle.policies.values()].flatMap(({ id, mode }) => {
      return mode === 'shadow' || determined.has(id) ? [] : [id]
    }),
  }
}

const NO_ANSWER: Answer = {
  decision: 'deny',
  code: 'engine_fault',
  policies: [],
  errors: [],
  visible: null,
  detail: 'no answer',
}

/** One answer per question, in order. */
export async function askAll(questions: readonly Question[], offline: Offline): Promise<Answer[]> {
  const messages = questions.flatMap((of) => (of.kind === 'message' ? [of.request] : []))
  const authorizations = (await offline.authorize(messages)).values()
  const answers: Answer[] = []
  for (const question of questions) {
    if (question.kind === 'cedar') answers.push(await askCedar(question, offline))
    else {
      const { value } = authorizations.next()
      answers.push(
        value === undefined ? NO_ANSWER : { ...value, visible: value.visible?.tools ?? null },
      )
    }
  }
  return answers
}

/** Cedar's own word: `allow` stays one beside errors, as `cedar run-tests` has it. */
async function askCedar(
  { texts }: Extract<Question, { kind: 'cedar' }>,
  offline: Offline,
): Promise<Answer> {
  const answer = await offline.evaluate(texts)
  const { code, policies } = interpret(answer)
  if (answer.kind === 'success') {
    const errors = answer.errors.toSorted()
    return { decision: answer.decision, code, policies, errors, visible: null, detail: '' }
  }
  const detail = answer.kind === 'failure' ? answer.message : answer.cause
  return { ...NO_ANSWER, code, detail }
}

function meets(answer: Answer, expect: Expectation): boolean {
  const { decision, code, policies, errors } = answer
  switch (expect.kind) {
    case 'verdict':
      return (
        decision === expect.verdict &&
        (expect.code === null || code === expect.code) &&
        (expect.policies === null || policies.join() === expect.policies.join())
      )
    case 'cedar':
      return (
        !UNDECIDED.has(code) &&
        decision === expect.verdict &&
        expect.reason.every((id) => policies.includes(id)) &&
        errors.length === expect.errors
      )
    default:
      return meetsList(answer, expect)
  }
}

/** Of a test in Cedar's own words: Cedar did not decide it. */
const UNDECIDED: ReadonlySet<VerdictCode> = new Set(['invalid_request', 'engine_fault'])

function meetsList({ visible }: Answer, expect: Extract<Expectation, { kind: 'list' }>): boolean {
  const shown = new Set(visible)
  const { shows, hides, exactly } = expect
  if (exactly && shown.size !== new Set(shows).size) return false
  return shows.every((name) => shown.has(name)) && !hides.some((name) => shown.has(name))
}

function expectedText(expect: Expectation): string {
  if (expect.kind === 'list') {
    const shows = `${expect.exactly ? 'exactly ' : ''}${names(expect.shows)}`
    return expect.hides.length === 0 ? shows : `${shows}, without ${names(expect.hides)}`
  }
  if (expect.kind === 'cedar') {
    const by = expect.reason.length === 0 ? '' : ` by ${expect.reason.join(', ')}`
    return `${expect.verdict}${by}, ${expect.errors} errors`
  }
  const code = expect.code === null ? '' : ` (${expect.code})`
  const by = expect.policies === null ? '' : ` by ${names(expect.policies)}`
  return `${expect.verdict}${code}${by}`
}

function gotText(
  { decision, code, policies, errors, visible, detail }: Answer,
  { kind }: Expectation,
): string {
  if (kind === 'list' && visible !== null) return names(visible)
  const failed = errors.length === 0 ? '' : `; failed to evaluate: ${errors.join(', ')}`
  const why = policies.length > 0 || detail === '' ? '' : `: ${detail}`
  const by = policies.length === 0 ? '' : ` by ${names(policies)}`
  return `${decision} (${code})${by}${failed}${why}`
}

function names(ids: readonly string[]): string {
  return ids.length === 0 ? 'nothing' : ids.join(', ')
}
