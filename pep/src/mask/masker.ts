// Owns finding a credential in what a server says: its secrets as they are, and in the forms that servers write them in
// without meaning to hide them. Pure; never keeps a text it looked at. Does NOT find what somebody meant to hide.
import { CREDENTIAL_SECRET_LENGTH_MIN } from '../../../schemas/limits.ts'

/** What stands in the place of a secret. */
export const MASK = '[credential masked by Cedargate]'

export type Masker = {
  readonly isIn: (text: string) => boolean
  /** The same, or as JSON.stringify spells it. */
  readonly isInJson: (json: string) => boolean
  /** `text` with MASK in the place of every secret; the same text where there is none. */
  readonly mask: (text: string) => string
  /** Where the end of `text` may be the begin of a secret; its length where it is none. */
  readonly begunAt: (text: string) => number
}

export function createMasker(secrets: readonly string[]): Masker {
  // Longest first: what holds another secret is masked with it.
  const forms = [...new Set(secrets.flatMap(formsOf))].toSorted((a, b) => b.length - a.length)
  const jsonForms = [...new Set([...forms, ...forms.map(jsonOf)])]
  return {
    isIn: (text) => forms.some((form) => text.includes(form)),
    isInJson: (json) => jsonForms.some((form) => json.includes(form)),
    mask: (text) => forms.reduce((masked, form) => masked.replaceAll(form, MASK), text),
    begunAt: (text) => Math.min(text.length, ...forms.map((form) => begunAt(text, form))),
  }
}

/** Encoded forms that are shorter than a secret may be are left out: they would be found in any text. */
function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret)
  const hex = bytes.toString('hex')
  const again = jsonOf(secret)
  const encoded = [
    ...[0, 1, 2].flatMap((before) => base64Of(bytes, before)),
    hex,
    hex.toUpperCase(),
    ...percentOf(secret, hex),
    again,
    again.replaceAll('/', '\\/'),
  ]
  return [secret, ...encoded.filter((form) => form.length >= CREDENTIAL_SECRET_LENGTH_MIN)]
}

function jsonOf(text: string): string {
  return JSON.stringify(text).slice(1, -1)
}

/** First character that `before` bytes in front of the secret, modulo three, have no bit of. */
const FIRST = [0, 2, 3]

/** Of the secret behind some other bytes: the characters that hold bits of nothing else. */
function base64Of(bytes: Buffer, before: number): [string, string] {
  const padded = Buffer.concat([Buffer.alloc(before), bytes])
  const range = [FIRST[before], Math.floor((padded.length * 8) / 6)] as const
  return [padded.toString('base64').slice(...range), padded.toString('base64url').slice(...range)]
}

function percentOf(secret: string, hex: string): string[] {
  const every = [hex, hex.toUpperCase()].map((one) => one.replaceAll(/../g, '%$&'))
  if (/^[\w.-]*$/.test(secret)) return every
  const form = new URLSearchParams([['', secret]]).toString().slice(1)
  const spellings = [encodeURIComponent(secret.toWellFormed()), form, form.replaceAll('+', '%20')]
  const lower = spellings.map((one) => one.replaceAll(/%../g, (escape) => escape.toLowerCase()))
  return [...every, ...spellings, ...lower]
}

function begunAt(text: string, form: string): number {
  const first = form.charAt(0)
  const from = Math.max(text.length - form.length + 1, 0)
  for (let at = text.indexOf(first, from); at >= 0; at = text.indexOf(first, at + 1))
    if (form.startsWith(text.slice(at))) return at
  return text.length
}
