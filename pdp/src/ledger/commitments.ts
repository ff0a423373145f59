// Owns the salted commitments of a decision leaf. Pure, and on the hot path: no object is made that
// a hash can do without.
import { hash } from 'node:crypto'
import type { DecisionLeaf } from '../../../schemas/leaf.ts'

/** What is committed to, in the order it is stored. */
export const FIELDS = ['sub', 'req', 'args', 'ctx', 'ent', 'idt'] as const
export type Field = (typeof FIELDS)[number]

/**
 * `sub` who (canonical JSON), `idt` under which grant and token digest (canonical JSON); the others
 * are exact texts.
 */
export type DetailValues = Readonly<Record<Field, string>>
export type Commitments = DecisionLeaf['c']

export const SALT_BYTES = 32

/**
 * SHA-256("cedargate/commit/v1" 0x00 field 0x00 salt value), base64, where the salt of a field is
 * HMAC-SHA256(salt of the decision, field): one field can be disclosed without the others. `salt`
 * is SALT_BYTES.
 */
export function commit(salt: Uint8Array, values: DetailValues): Commitments {
  // RFC 2104 spelt out: six HMAC objects per decision would cost as much as its signature.
  const inner = Buffer.alloc(BLOCK_BYTES + 4, 0x36)
  const outer = Buffer.alloc(BLOCK_BYTES + DIGEST_BYTES, 0x5c)
  for (let index = 0; index < SALT_BYTES; index++) {
    const byte = salt[index] ?? 0
    inner[index] = byte ^ 0x36
    outer[index] = byte ^ 0x5c
  }
  const commitments: Partial<Record<Field, string>> = {}
  for (const field of FIELDS) {
    inner.write(field, BLOCK_BYTES, 'latin1')
    const digest = hash('sha256', inner.subarray(0, BLOCK_BYTES + field.length), 'binary')
    outer.write(digest, BLOCK_BYTES, 'latin1')
    const fieldSalt = hash('sha256', outer, 'binary')
    commitments[field] = hash('sha256', salted(field, fieldSalt, values[field]), 'base64')
  }
  return commitments as Commitments
}

const BLOCK_BYTES = 64
const DIGEST_BYTES = 32

function salted(field: Field, fieldSalt: string, value: string): Buffer {
  const head = `cedargate/commit/v1\0${field}\0${fieldSalt}`
  const bytes = Buffer.allocUnsafe(head.length + Buffer.byteLength(value))
  bytes.write(head, 0, 'latin1')
  bytes.write(value, head.length, 'utf8')
  return bytes
}
