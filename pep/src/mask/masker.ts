// Owns finding a credential in what a server says: its secrets as they are, and in the forms that servers write them in
// without meaning to hide them. Pure; never keeps a text it looked at. Does NOT find what somebody meant to hide.
import { CREDENTIAL_SECRET_LENGTH_MIN } from '../../../schemas/limits.ts'
import { createFinder, type Finder, type Range, startsWith } from './finder.ts'
import { hasEscapes, undone } from './undone.ts'

/** What stands in the place of a secret. */
export const MASK = '[credential masked by Cedargate]'
const MASK_BYTES = Buffer.from(MASK)

export type Masker = {
  /** As it stands, or however JSON, addresses and HTML escape it. */
  readonly isIn: (text: string) => boolean
  /** Where it is in UTF-8: in order, none within another. */
  readonly rangesIn: (bytes: Buffer) => readonly Range[]
  /** `text` with MASK in the place of every secret; the same text where there is none. */
  readonly mask: (text: string) => string
  /** Where the end of `text` may be the begin of a secret; its length where it is none. */
  readonly begunAt: (text: string) => number
}

export function createMasker(secrets: readonly string[]): Masker {
  const forms = [...new Set(secrets.flatMap(formsOf))].map((form) => Buffer.from(form))
  const find = createFinder(forms)
  const bare = bareOf(secrets, forms)
  const findBare = createFinder(bare)
  const rangesIn = (bytes: Buffer) => rangesOf(bytes, find, findBare)
  return {
    isIn(text) {
      const bytes = Buffer.from(text)
      if (find(bytes, 0) !== undefined) return true
      return hasEscapes(bytes) && findBare(undone(bytes).bytes, 0) !== undefined
    },
    rangesIn,
    mask(text) {
      const bytes = Buffer.from(text)
      const ranges = rangesIn(bytes)
      return ranges.length === 0 ? text : withMasks(bytes, ranges)
    },
    begunAt(text) {
      const longest = Math.max(...[...forms, ...bare].map(({ length }) => length))
      return begunAt(text, longest, forms, bare)
    },
  }
}

/** What is left of the forms when what their characters say is undone, as in the text that is searched for it. */
function bareOf(secrets: readonly string[], forms: readonly Buffer[]): Uint8Array[] {
  const spaced = secrets.filter((secret) => secret.includes(' '))
  const inForms = spaced.map((secret) => Buffer.from(secret.replaceAll(' ', '+')))
  const all = [...forms, ...inForms].map((form) => Buffer.from(undone(form).bytes))
  const bare = new Map(all.map((form) => [form.toString('latin1'), form]))
  return [...bare.values()].filter(({ length }) => length >= CREDENTIAL_SECRET_LENGTH_MIN)
}

/** Encoded forms that are shorter than a secret may be are left out: they would be found in any text. */
function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret)
  const hex = bytes.toString('hex')
  const encoded = [
    ...[0, 1, 2].flatMap((before) => base64Of(bytes, before)),
    hex,
    hex.toUpperCase(),
    // Of these two, also what little of them is left when undone.
    JSON.stringify(secret).slice(1, -1),
    encodeURIComponent(secret.toWellFormed()),
  ]
  return [secret, ...encoded.filter((form) => form.length >= CREDENTIAL_SECRET_LENGTH_MIN)]
}

/** First character that `before` bytes in front of the secret, modulo three, have no bit of. */
const FIRST = [0, 2, 3]

/** Of the secret behind some other bytes: the characters that hold bits of nothing else. */
function base64Of(bytes: Buffer, before: number): [string, string] {
  const padded = Buffer.concat([Buffer.alloc(before), bytes])
  const range = [FIRST[before], Math.floor((padded.length * 8) / 6)] as const
  return [padded.toString('base64').slice(...range), padded.toString('base64url').slice(...range)]
}

function rangesOf(bytes: Buffer, find: Finder, findBare: Finder): Range[] {
  const plain = allOf(bytes, find)
  if (!hasEscapes(bytes)) return plain
  const { bytes: bare, places } = undone(bytes, true)
  const escaped = allOf(bare, findBare).map(({ start, end }) => {
    return { start: places[start] as number, end: places[end] as number }
  })
  return apart([...plain, ...escaped].toSorted((one, other) => one.start - other.start))
}

function allOf(bytes: Uint8Array, find: Finder): Range[] {
  const all: Range[] = []
  for (let one = find(bytes, 0); one !== undefined; one = find(bytes, one.end)) all.push(one)
  return all
}

/** In order; those that overlap are one. */
function apart(ranges: readonly Range[]): Range[] {
  const all: Range[] = []
  for (const { start, end } of ranges) {
    const last = all.at(-1)
    if (last === undefined || last.end <= start) all.push({ start, end })
    else all[all.length - 1] = { start: last.start, end: Math.max(last.end, end) }
  }
  return all
}

function withMasks(bytes: Buffer, ranges: readonly Range[]): string {
  const parts: Buffer[] = []
  let from = 0
  for (const { start, end } of ranges) {
    parts.push(bytes.subarray(from, start), MASK_BYTES)
    from = end
  }
  return Buffer.concat([...parts, bytes.subarray(from)]).toString()
}

/** Characters that one of a secret may be escaped as where it ends a text that goes on. */
const ESCAPE_LENGTH_MAX = 16
const BEGUN = String.raw`\\{1,8}(?:u[\da-f]{0,3})?`
const BEGUN_ESCAPE = new RegExp(
  String.raw`(?:%(?:25){0,4}[\da-f]?|&(?:amp;){0,4}#?\w{0,8}|(?:\\{1,8}ud[89ab][\da-f]{2})?(?:${BEGUN})?)$`,
  'i',
)

function begunAt(
  text: string,
  longest: number,
  forms: readonly Uint8Array[],
  bare: readonly Uint8Array[],
): number {
  const from = Math.max(text.length - longest * ESCAPE_LENGTH_MAX, 0)
  const bytes = Buffer.from(text.slice(from))
  const escapeAt = BEGUN_ESCAPE.exec(text.slice(from))?.index
  const whole = escapeAt === undefined ? bytes : Buffer.from(text.slice(from, from + escapeAt))
  const { bytes: undoneBytes, places } = undone(whole, true)
  const bareAt = places[Math.min(...bare.map((form) => endBegins(undoneBytes, form)))] ?? whole.length // biome-ignore format: long
  const at = Math.min(bareAt, ...forms.map((form) => endBegins(bytes, form)))
  return from + bytes.subarray(0, at).toString().length
}

/** Where the end of `bytes` begins `form`; their length where it does not. */
function endBegins(bytes: Uint8Array, form: Uint8Array): number {
  const first = form[0] as number
  const from = Math.max(bytes.length - form.length + 1, 0)
  for (let at = bytes.indexOf(first, from); at >= 0; at = bytes.indexOf(first, at + 1))
    if (startsWith(form, 0, bytes.subarray(at))) return at
  return bytes.length
}
