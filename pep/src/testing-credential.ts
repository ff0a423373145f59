// Owns the credentials that the test PDP releases, and every spelling of a secret that a test searches for. Never part of a
// running gateway.
import type { ReleasedCredential } from '../../schemas/credentials.ts'

const ID = '0195fe2c-1111-7000-8000-000000000001'
type Which = Partial<Pick<ReleasedCredential, 'id' | 'version'>>

export function bearer(secret: string, which: Which = {}): ReleasedCredential {
  const headers = { authorization: `Bearer ${secret}` }
  return { id: ID, version: 1, headers, env: {}, secrets: [secret], ...which }
}

export function variable(name: string, secret: string, which: Which = {}): ReleasedCredential {
  return { id: ID, version: 1, headers: {}, env: { [name]: secret }, secrets: [secret], ...which }
}

/** The forms of `secret` that `text` shows, by name. */
export function shownIn(text: string, secret: string): string[] {
  const bytes = Buffer.from(secret)
  const padded = [0, 1, 2].map((before) =>
    Buffer.concat([Buffer.alloc(before), bytes, Buffer.alloc(3)]),
  )
  const forms: Record<string, string> = {
    raw: secret,
    hex: bytes.toString('hex'),
    HEX: bytes.toString('hex').toUpperCase(),
    percent: encodeURIComponent(secret),
    ...Object.fromEntries(
      padded.map((one, before) => [`base64/${before}`, one.toString('base64').slice(4, -8)]),
    ),
  }
  return Object.entries(forms).flatMap(([name, form]) => (text.includes(form) ? [name] : []))
}
