// Owns how reviewed tools are told to people. All that a server wrote is made visible first.
import { styleText } from 'node:util'
import type { Evidence } from '../../../pdp/src/catalog/classify.ts'
import type { LeafChange, Shown, Words } from '../../../pdp/src/catalog/definition-diff.ts'
import type { LockChange } from '../../../pdp/src/catalog/lock.ts'
import { visible } from '../../../pdp/src/catalog/visible.ts'
import type { ComparedTool, RatedTool, ToolDiff } from '../reviewed-tools.ts'

/** Unchanged words around a change: this many characters on each side of a longer run. */
const CONTEXT_LENGTH = 40
/** Evidence and cues that are listed; JSON has them all. */
const LISTED_MAX = 20

/** `name: delete, annotations/destructiveHint: true`. */
export function whyText(evidence: readonly Evidence[]): string {
  const said = evidence.slice(0, LISTED_MAX).map(({ rule, field, match }) => {
    return rule === 'nothing-matched' ? 'no rule matched' : visible(`${field.slice(1)}: ${match}`)
  })
  return listText([...new Set(said)], evidence.length)
}

/** The risk that decides and where it comes from. */
export function riskText({ lockedRisk, override, risk, evidence, flags }: RatedTool): string {
  const why = whyText(evidence)
  const said = override ? `as reviewed; the rules say ${risk}: ${why}` : why
  const marked = flags.length === 0 ? '' : `  [${flags.join(' ')}]`
  return `${lockedRisk.padEnd(12)} ${said}${marked}`
}

export function lockChangeText({ tool, sha256, kind }: LockChange): string {
  return `${kind.padEnd(9)} ${visible(tool)}  ${sha256.slice(0, 12)}`
}

/** One line: state, name, change classes. */
export function comparedText({ server, tool, state, classes }: ComparedTool): string {
  const classesText = state === 'changed' ? `  ${classes.join(', ')}` : ''
  return `${state.padEnd(9)} ${server}/${visible(tool)}${classesText}`
}

/** Everything that changed in one tool, and how to approve exactly that. */
export function diffText(tool: ToolDiff): string[] {
  const { server, state, sha256, reviewed, risk, cues, diff } = tool
  const lines = [
    styleText('bold', comparedText(tool)),
    `  live      ${sha256 ?? 'not listed any more'}`,
    ...(reviewed.length === 0 ? ['  reviewed  never'] : reviewed.map((it) => `  reviewed  ${it}`)),
  ]
  if (state === 'reviewed') return lines
  if (sha256 !== null) lines.push(`  risk      ${[risk.before ?? [], risk.after ?? []].flat().join(' → ')}, by the rules`)
  for (const { kind, at, match } of cues.slice(0, LISTED_MAX))
    lines.push(styleText('yellow', `  ${kind}  ${visible(match)}  at ${visible(at)}`))
  if (cues.length > LISTED_MAX) lines.push(`  and ${cues.length - LISTED_MAX} more such cues`)
  for (const change of diff.changes) lines.push(...changeText(change))
  const more = diff.total - diff.changes.length
  if (more > 0) lines.push(styleText('red', `  ${more} more changes are not shown; --format json has the definition`))
  lines.push(`  approve   cedargate tools approve ${quoted(`${server}/${tool.tool}`)} --expect ${sha256 ?? 'removed'}`)
  return lines
} // biome-ignore format: long lines

function changeText({ at, words, before, after }: LeafChange): string[] {
  const head = `  ${at === '' ? 'the whole definition' : at}`
  if (words.length > 0) return [head, `    ${words.map(wordsText).join('')}`]
  return [
    head,
    ...(before === null ? [] : [styleText('red', `    - ${shownText(before)}`)]),
    ...(after === null ? [] : [styleText('green', `    + ${shownText(after)}`)]),
  ]
}

function wordsText(words: Words): string {
  if (words.kind === 'removed') return styleText('red', `[-${shownText(words)}-]`)
  if (words.kind === 'added') return styleText('green', `{+${shownText(words)}+}`)
  const { text, cut } = words
  if (cut === 0 && text.length <= 2 * CONTEXT_LENGTH) return text
  const end = cut === 0 ? text.slice(-CONTEXT_LENGTH) : ''
  return `${text.slice(0, CONTEXT_LENGTH)} … ${end}`
}

function shownText({ text, cut }: Shown): string {
  return cut === 0 ? text : `${text} … (${cut} more characters; --format json has them)`
}

function listText(shown: readonly string[], all: number): string {
  const more = all > LISTED_MAX ? `, and ${all - LISTED_MAX} more` : ''
  return `${shown.join(', ')}${more}`
}

/** For a shell; a name with hidden characters cannot be typed from what is printed. */
function quoted(word: string): string {
  return /^[\w./-]+$/.test(word) ? word : `'${visible(word).replaceAll("'", `'\\''`)}'`
}
