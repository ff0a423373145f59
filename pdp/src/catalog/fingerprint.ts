// Owns the fingerprint of a tool definition. Never says whether it was reviewed.
import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'

/** Lower-case hex SHA-256 of the RFC 8785 form of the whole definition. Throws when it is no plain JSON. */
export function definitionSha256(definition: unknown): string {
  const text = canonicalize(definition)
  if (text === undefined) throw new TypeError('a definition must be JSON')
  return createHash('sha256').update(text).digest('hex')
}
