// Owns reading one YAML file of a bundle into a checked value, with every mistake at its line. Unknown keys,
// duplicate keys and YAML's own errors and warnings are all mistakes.
import type { LineCounter as Lines, Node } from 'yaml'
import { isSeq, LineCounter, parseDocument, visit } from 'yaml'
import type { ZodType } from 'zod'
import type { SourceFile } from './files.ts'
import type { Finding, Place } from './findings.ts'
import { errorAt } from './findings.ts'

export type Checked<Value> =
  | {
      readonly ok: true
      readonly value: Value
      /** Where the value at `path` is written, or what holds it when it is left out. */
      readonly placeAt: (path: readonly PropertyKey[]) => Place
    }
  | { readonly ok: false; readonly findings: readonly Finding[] }

/** `text` as YAML 1.2 (core schema, without aliases), checked by `schema`. */
export function readYaml<Value>(
  { file, text }: SourceFile,
  schema: ZodType<Value>,
): Checked<Value> {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const mistakes = [...document.errors, ...document.warnings].map(({ message, pos }) =>
    errorAt(file, message, place(lines, pos[0])),
  )
  visit(document, {
    Alias(_, { range }) {
      mistakes.push(errorAt(file, 'aliases are not supported', place(lines, range?.[0] ?? 0)))
    },
  })
  if (mistakes.length > 0) return { ok: false, findings: mistakes }
  const placeAt = (path: readonly PropertyKey[]): Place => {
    const node = nodeAt(path, (keys) => document.getIn(keys, true))
    return place(lines, node?.range?.[0] ?? 0)
  }
  const checked = schema.safeParse(document.toJS())
  if (checked.success) return { ok: true, value: checked.data, placeAt }
  const findings = checked.error.issues.map(({ path, message }) => {
    const where = path.length === 0 ? '' : `\`${path.join('.')}\`: `
    return errorAt(file, `${where}${message}`, placeAt(path))
  })
  return { ok: false, findings }
}

/** Where each item of a list is written; JSON is YAML too. Empty for what is no list. */
export function itemPlaces(text: string): Place[] {
  const lines = new LineCounter()
  const { contents } = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  if (!isSeq(contents)) return []
  return contents.items.map((item) => place(lines, (item as Node).range?.[0] ?? 0))
}

/** The node at `path`, or the nearest one above it (a missing key has none). */
function nodeAt(
  path: readonly PropertyKey[],
  find: (keys: readonly PropertyKey[]) => unknown,
): Node | undefined {
  for (let length = path.length; length >= 0; length--) {
    const node = find(path.slice(0, length))
    if (typeof node === 'object' && node !== null && 'range' in node) return node as Node
  }
  return undefined
}

function place(lines: Lines, offset: number): Place {
  const { line, col } = lines.linePos(offset)
  return { line: Math.max(line, 1), column: Math.max(col, 1) }
}
