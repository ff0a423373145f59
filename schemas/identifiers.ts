// Owns the spelling of identifiers and of our own bearer tokens. Pure: randomness is passed in.
import { z } from 'zod'
import { ID_LENGTH_MAX } from './limits.ts'

/** Path segments the gateway keeps for itself (DESIGN §4). */
export const RESERVED_SERVER_IDS: ReadonlySet<string> = new Set([
  't', 'log', 'access', 'pep', 'admin', 'healthz', 'readyz', 'metrics', '.well-known',
]) // biome-ignore format: a list

/** A server id is one URL path segment: lower-case letters, digits, `-`, `_`; at most 64; not reserved. */
export const serverId = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, 'a server id is 1–64 of a–z, 0–9, `-`, `_`')
  .refine((id) => !RESERVED_SERVER_IDS.has(id), { error: 'this server id is reserved' })

/** What an identity provider calls somebody or something: nothing that a log, a screen or a database would take otherwise. */
const providersName = (max: number) =>
  z
    .string()
    .regex(
      new RegExp(`^[^\\p{C}\\p{Zl}\\p{Zp}]{1,${max}}$`, 'u'),
      `a name is 1 to ${max} characters, none of them hidden or a line break`,
    )
/** `sub`, or a client: the same in claims and where an operator names them. */
export const claimName = providersName(256)
export const issuerName = providersName(512)

/**
 * A user, agent or team id: printable, no white space or quotes at all, at most 128 characters. Each stands whole in a
 * path and on a command line, and is written in one way. Letters of two scripts that look the same are two ids.
 */
export const subjectId = z
  .string()
  .min(1)
  .max(ID_LENGTH_MAX)
  .regex(/^[\p{L}\p{N}._:@+/=-]+$/u, 'an id is letters, digits and any of . _ : @ + / = -')
  .refine((id) => id !== '.' && id !== '..', {
    error: 'an id is not `.` or `..`: no address could name it',
  })
  .refine((id) => !id.startsWith('-'), {
    error: 'an id does not begin with `-`: commands would read an option',
  })
  .refine((id) => id.normalize('NFKC') === id, {
    error: 'an id is in its plain form (NFKC): no fullwidth letters, ligatures or the like',
  })

/** The agent that the gateway itself is when it looks at a server to learn its tools. No grant may name it. */
export const OWN_AGENT = 'cedargate'

/**
 * Who a bearer token speaks for. `operator` is that of `dev`; `session` that of an operator who signed in; `bootstrap`
 * makes the first admin, once. The prefix makes a leaked token recognisable to secret scanners.
 */
export const TOKEN_PREFIXES = {
  grant: 'cgt',
  pep: 'cgp',
  operator: 'cgo',
  session: 'cgs',
  bootstrap: 'cgb',
} as const
export type TokenKind = keyof typeof TOKEN_PREFIXES

/** Bytes of randomness in a token: 256 bits, so a plain SHA-256 of it is safe to store. */
export const TOKEN_RANDOM_BYTES = 32

/** Lower-case hex SHA-256: how a token, a definition or a bundle is named on the wire and at rest. */
export const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 lower-case hex digits')

/** `<prefix>_<43 base64url characters>_<8 hex: checksum of what stands before>`. */
export function formatToken(
  kind: TokenKind,
  random: Uint8Array,
  sha256: (text: string) => string,
): string {
  const body = `${TOKEN_PREFIXES[kind]}_${Buffer.from(random).toString('base64url')}`
  return `${body}_${sha256(body).slice(0, 8)}`
}

/**
 * Whether `text` is spelled like a token of this kind and its checksum holds. A typo is refused without a database.
 * Does NOT say that the token is known, unexpired or unrevoked.
 */
export function isWellFormedToken(
  kind: TokenKind,
  text: string,
  sha256: (text: string) => string,
): boolean {
  const match = /^([a-z]{3})_[A-Za-z0-9_-]{43}_([0-9a-f]{8})$/.exec(text)
  if (match === null || match[1] !== TOKEN_PREFIXES[kind]) return false
  return sha256(text.slice(0, -9)).startsWith(match[2] ?? '-')
}
