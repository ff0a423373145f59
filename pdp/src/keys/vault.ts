// Owns what is done with the data key: pseudonyms of people, the wrapping of their keys, what PEPs bind names with, and
// what seals the steps of a browser. Pure; never a file.
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
} from 'node:crypto'

export const DATA_KEY_BYTES = 32
export const NONCE_BYTES = 12
const TAG_BYTES = 16
/** First byte of everything sealed here, so that the form can change. */
const VERSION = 1

export type Vault = {
  /** Keyed pseudonym of a user, 32 bytes; null is nobody, who has one too. */
  readonly pseudonym: (user: string | null) => Uint8Array
  /** `nonce` is NONCE_BYTES fresh random bytes. */
  readonly wrap: (
    person: Uint8Array,
    month: string,
    key: Uint8Array,
    nonce: Uint8Array,
  ) => Uint8Array
  /**
   * Undefined when it was wrapped under another data key, for another person or month, or was
   * changed.
   */
  readonly unwrap: (
    person: Uint8Array,
    month: string,
    wrapped: Uint8Array,
  ) => Uint8Array | undefined
  /**
   * What PEPs bind names of one server's sessions with, 32 bytes: HKDF-SHA-256 of the data key. The
   * same in every vault of that key; of another server or epoch, another one that says nothing
   * about it. Never written to a log.
   */
  readonly bindingKey: (server: string, epoch: number) => Uint8Array
  /** What seals the steps of connecting an account in the browser, 32 bytes: the same in every PDP of a deployment. */
  readonly connectKey: () => Uint8Array
}

/**
 * `dataKey` is DATA_KEY_BYTES; every use has a key of its own that is derived from it, so a pseudonym
 * says nothing about the wrapping.
 */
export function createVault(dataKey: Uint8Array): Vault {
  if (dataKey.length !== DATA_KEY_BYTES) {
    throw new Error(`the data key must be ${DATA_KEY_BYTES} bytes, not ${dataKey.length}`)
  }
  const pseudonymKey = derive(dataKey, 'cedargate/pseudonym/v1')
  const wrappingKey = derive(dataKey, 'cedargate/subject-key/v1')
  return {
    pseudonym: (user) => {
      const name = user === null ? 'nobody' : `user\0${user}`
      return createHmac('sha256', pseudonymKey).update(name).digest()
    },
    wrap: (person, month, key, nonce) =>
      sealBytes(wrappingKey, nonce, key, personMonth(person, month)),
    unwrap: (person, month, wrapped) => openBytes(wrappingKey, wrapped, personMonth(person, month)),
    bindingKey: (server, epoch) => {
      const purpose = `cedargate binding v1|${server}|${epoch}`
      return derive(dataKey, purpose).export()
    },
    connectKey: () => derive(dataKey, 'cedargate/connect/v1').export(),
  }
}

/**
 * AES-256-GCM: version, nonce, ciphertext, tag. `nonce` never repeats under one key. Keys are
 * KeyObjects, here and below: measured, one made from bytes at each call costs four times the
 * encryption.
 */
export function sealBytes(
  key: KeyObject,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  about: Uint8Array,
): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(about)
  const body = cipher.update(plaintext)
  cipher.final()
  return Buffer.concat([Buffer.of(VERSION), nonce, body, cipher.getAuthTag()])
}

/** What sealBytes sealed; undefined when the key, `about` or one bit differs. */
export function openBytes(
  key: KeyObject,
  sealed: Uint8Array,
  about: Uint8Array,
): Buffer | undefined {
  if (sealed[0] !== VERSION || sealed.length < 1 + NONCE_BYTES + TAG_BYTES) return undefined
  const nonce = sealed.subarray(1, 1 + NONCE_BYTES)
  const end = sealed.length - TAG_BYTES
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(about).setAuthTag(sealed.subarray(end))
  const body = decipher.update(sealed.subarray(1 + NONCE_BYTES, end))
  try {
    decipher.final()
    return body
  } catch {
    // GCM says only that something does not fit, which is the answer.
    return undefined
  }
}

function derive(dataKey: Uint8Array, purpose: string): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync('sha256', dataKey, '', purpose, 32)))
}

function personMonth(person: Uint8Array, month: string): Buffer {
  return Buffer.concat([person, Buffer.from(month)])
}
