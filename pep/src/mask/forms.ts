// Owns the forms in which servers write a secret without meaning to hide it. Pure.
import { CREDENTIAL_SECRET_LENGTH_MIN } from '../../../schemas/limits.ts'
import { undone } from './undone.ts'
import { unwrapped } from './unwrapped.ts'

/** What is searched for in a text and in what was made of it. */
export type Forms = {
  /** In the text as it is. */
  readonly plain: readonly Uint8Array[]
  /** In the text of which escapes were undone. */
  readonly bare: readonly Uint8Array[]
  /** In that without what wraps lines. */
  readonly unwrapped: readonly Uint8Array[]
}

/** Of what is left of a form when it is undone, or without its wrapping: less would be found in any text. */
const LEFT_LENGTH_MIN = 6

/** Encoded forms that are shorter than a secret may be are left out: they would be found in any text. */
export function formsOf(secrets: readonly string[]): Forms {
  const encoded = buffersOf(secrets.flatMap(encodedOf).filter(isLong))
  const [short, long] = [true, false].map((isShort) =>
    encoded.filter((form) => unwrapped(form).length < LEFT_LENGTH_MIN === isShort),
  )
  const written = buffersOf([...secrets, ...secrets.flatMap(writtenOf).filter(isLong)])
  const bare = [...written, ...(short ?? [])].map((form) => undone(form).bytes)
  return {
    plain: [...written, ...encoded],
    bare: distinct(bare).filter(({ length }) => length >= LEFT_LENGTH_MIN),
    unwrapped: distinct((long ?? []).map((form) => unwrapped(undone(form).bytes))),
  }
}

/** What is no longer the text of the secret: lines of it are wrapped anywhere. */
function encodedOf(secret: string): string[] {
  const bytes = Buffer.from(secret)
  const hex = bytes.toString('hex')
  return [...[0, 1, 2].flatMap((before) => base64Of(bytes, before)), hex, hex.toUpperCase()]
}

/** Of these also what little of them is left when undone is searched for. */
function writtenOf(secret: string): string[] {
  const inAddress = encodeURIComponent(secret.toWellFormed())
  return [JSON.stringify(secret).slice(1, -1), inAddress, secret.replaceAll(' ', '+')]
}

/** First character that `before` bytes in front of the secret, modulo three, have no bit of. */
const FIRST = [0, 2, 3]

/** Of the secret behind some other bytes: the characters that hold bits of nothing else. */
function base64Of(bytes: Buffer, before: number): [string, string] {
  const padded = Buffer.concat([Buffer.alloc(before), bytes])
  const range = [FIRST[before], Math.floor((padded.length * 8) / 6)] as const
  return [padded.toString('base64').slice(...range), padded.toString('base64url').slice(...range)]
}

function isLong({ length }: string | Uint8Array): boolean {
  return length >= CREDENTIAL_SECRET_LENGTH_MIN
}

function buffersOf(texts: readonly string[]): Buffer[] {
  return [...new Set(texts)].map((text) => Buffer.from(text))
}

function distinct(forms: readonly Uint8Array[]): Uint8Array[] {
  return [...new Map(forms.map((form) => [Buffer.from(form).toString('latin1'), form])).values()]
}
