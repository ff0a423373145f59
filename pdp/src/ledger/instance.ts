// Owns what makes one PDP instance's leaves its own: a key that never leaves this process, and the
// dense chain (epoch, sequence, previous leaf hash) that every leaf it issues stands in. No I/O.
import { generateKeyPairSync, hash, sign } from 'node:crypto'
import { canonicalJson } from '../../../schemas/canonical-json.ts'
import type { Leaf, SignedRecord } from '../../../schemas/leaf.ts'
import { LEAF_BYTES_MAX } from '../../../schemas/limits.ts'
import type { Random } from '../../../schemas/ports.ts'
import { uuidV7 } from '../../../schemas/uuid.ts'
import { keyIdOf, rawPublicKey } from '../keys/keys.ts'
import { uuidBytes } from './detail.ts'

/** Fields the chain fills in; the rest of a leaf is its body. */
type ChainField = 'v' | 'id' | 't' | 'pdp' | 'ep' | 'sq' | 'pv'
type Body<Of> = Of extends Leaf ? Omit<Of, ChainField> : never
export type LeafBody = Body<Leaf>

export type SignedLeaf = {
  readonly id: string
  readonly hash: Buffer
  readonly record: Pick<SignedRecord, 'leaf' | 'hash' | 'sig'>
}

export type Instance = {
  readonly epoch: string
  readonly keyId: string
  /** Raw Ed25519 public key. */
  readonly publicKey: Uint8Array
  /** Leaves issued: the `sq` of the next one. */
  readonly count: () => number
  /**
   * Numbers and signs one leaf. Throws, and uses no number, when it has no canonical form or is
   * over LEAF_BYTES_MAX.
   */
  readonly issue: (body: LeafBody, time: number) => SignedLeaf
}

export function createInstance(epoch: string, random: Random): Instance {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = rawPublicKey(publicKey)
  const keyId = keyIdOf(raw)
  let next = 0
  let previous = ''
  return {
    epoch,
    keyId,
    publicKey: raw,
    count: () => next,
    issue(body, time) {
      const id = uuidV7(time, next, random(8))
      const chained = { ...body, v: 1, id, t: time, pdp: keyId, ep: epoch, sq: next, pv: previous }
      const leaf = canonicalJson(chained)
      if (Buffer.byteLength(leaf) > LEAF_BYTES_MAX) {
        throw new Error(`a leaf is larger than ${LEAF_BYTES_MAX} bytes and cannot be recorded`)
      }
      const digest = leafHash(leaf)
      const sig = sign(null, digest, privateKey).toString('base64')
      next++
      previous = digest.toString('hex')
      return { id, hash: digest, record: { leaf, hash: previous, sig } }
    },
  }
}

/** RFC 6962 §2.1: SHA-256 of 0x00 and the leaf. */
export function leafHash(leaf: string | Uint8Array): Buffer {
  const input = typeof leaf === 'string' ? `\0${leaf}` : Buffer.concat([Buffer.of(0), leaf])
  return hash('sha256', input, 'buffer')
}

/**
 * What the deployment key signs to admit an instance key (`dsig` of pdp-open):
 * "cedargate/pdp-open/v1" 0x00, the 16 bytes of the boot id, the 32 bytes of the raw public key.
 * With the boot id, an announcement cannot be used again.
 */
export function openMessage(epoch: string, publicKey: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from('cedargate/pdp-open/v1\0'), uuidBytes(epoch), publicKey])
}
