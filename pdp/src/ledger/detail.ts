// Owns the encrypted form of what a decision was about, which stands beside its leaf. Pure. The
// salt of the commitments is inside the ciphertext, so that without the key no guess can be tested.
import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import { openBytes, sealBytes } from '../keys/vault.ts'
import { type DetailValues, FIELDS, type Field, SALT_BYTES } from './commitments.ts'

type About = { readonly key: KeyObject; readonly id: string; readonly leafHash: Uint8Array }

export type Detail = { readonly salt: Uint8Array; readonly values: DetailValues }

/**
 * The ciphertext of one decision under its person's key: salt, then per field its length (4 bytes,
 * big endian) and its UTF-8 bytes. Bound to id and leaf hash. `nonce` is NONCE_BYTES fresh random
 * bytes.
 */
export function encryptDetail(
  { key, id, leafHash }: About,
  nonce: Uint8Array,
  { salt, values }: Detail,
): Buffer {
  const lengths = FIELDS.map((field) => Buffer.byteLength(values[field]))
  const plain = Buffer.allocUnsafe(lengths.reduce((sum, length) => sum + 4 + length, SALT_BYTES))
  plain.set(salt)
  let at = SALT_BYTES
  for (const [index, field] of FIELDS.entries()) {
    const length = lengths[index] ?? 0
    at = plain.writeUInt32BE(length, at)
    at += plain.write(values[field], at, 'utf8')
  }
  const about = aboutBytes(id, leafHash)
  return sealBytes(detailKey(key, about), nonce, plain, about)
}

/**
 * Undefined when the key, the id, the leaf hash or one bit differs. Does NOT check the commitments.
 */
export function decryptDetail({ key, id, leafHash }: About, ct: Uint8Array): Detail | undefined {
  const about = aboutBytes(id, leafHash)
  const plain = openBytes(detailKey(key, about), ct, about)
  if (plain === undefined || plain.length < SALT_BYTES) return undefined
  const values: Partial<Record<Field, string>> = {}
  let at = SALT_BYTES
  for (const field of FIELDS) {
    if (at + 4 > plain.length) return undefined
    const end = at + 4 + plain.readUInt32BE(at)
    if (end > plain.length) return undefined
    values[field] = plain.toString('utf8', at + 4, end)
    at = end
  }
  if (at !== plain.length) return undefined
  return { salt: plain.subarray(0, SALT_BYTES), values: values as DetailValues }
}

export function uuidBytes(id: string): Buffer {
  return Buffer.from(id.replaceAll('-', ''), 'hex')
}

const UUID_BYTES = 16

function aboutBytes(id: string, leafHash: Uint8Array): Buffer {
  return Buffer.concat([uuidBytes(id), leafHash])
}

/** One key per decision: what was disclosed of one opens no other. */
function detailKey(subjectKey: KeyObject, about: Buffer): KeyObject {
  const id = about.subarray(0, UUID_BYTES)
  const hmac = createHmac('sha256', subjectKey).update('cedargate/detail/v1\0').update(id)
  return createSecretKey(hmac.digest())
}
