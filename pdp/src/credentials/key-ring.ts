// Owns wrapping the data keys of credentials with key-encryption keys, by jose. A port: a KMS adapter can stand in the
// place of what is made here. Never sees a credential.
import { CompactEncrypt, compactDecrypt } from 'jose'
import type { Clock } from '../../../schemas/ports.ts'
import type { Kek } from '../keys/key-file.ts'
import { CredentialFault } from './fault.ts'

/** What a data key is for; bound as additional data, so that it opens nowhere else. */
export type About = {
  readonly id: string
  readonly server: string
  readonly user: string | null
}

/** `kek`: the key it is wrapped by. */
export type WrappedKey = { readonly kek: string; readonly wrapped: string }

export type KeyRing = {
  /** Where the keys come from, for people. */
  readonly source: string
  /** Ids of what its source has now; the first wraps. Rejects with CredentialFault when it cannot be read. */
  readonly ids: () => Promise<readonly string[]>
  /** Under the key that is first in its source now. Rejects with CredentialFault when there is none. */
  readonly wrap: (dataKey: Uint8Array, about: About) => Promise<WrappedKey>
  /** Rejects with CredentialFault when it has not that key, or the text is not what it wrapped for `about`. */
  readonly unwrap: (key: WrappedKey, about: About) => Promise<Uint8Array>
}

export type KeyRingPorts = {
  readonly source: string
  /** Reads all keys; undefined: there are none. */
  readonly read: () => Promise<readonly Kek[] | undefined>
  readonly clock: Clock
}

/** A key nobody knows makes it read its source again: another process may have added it. Not more often than this. */
const RELOAD_MS = 1_000

/** Reads its source once, now. Rejects when it cannot be read; a source without keys is a ring that has none. */
export async function openKeyRing({ source, read, clock }: KeyRingPorts): Promise<KeyRing> {
  let keks = (await read()) ?? []
  let readAt = clock.monotonic()
  const look = async (): Promise<readonly Kek[]> => {
    readAt = clock.monotonic()
    const found = (await read().catch(unreadable)) ?? []
    keks = found
    return found
  }
  const find = async (id: string): Promise<Kek> => {
    const known = () => keks.find((kek) => kek.id === id)
    if (known() === undefined && clock.monotonic() - readAt >= RELOAD_MS) await look()
    const found = known()
    if (found !== undefined) return found
    throw new CredentialFault(`it is wrapped by key ${id}, which is not in ${source}`)
  }
  return {
    source,
    ids: async () => (await look()).map(({ id }) => id),
    async wrap(dataKey, about) {
      const [first] = await look()
      if (first === undefined)
        throw new CredentialFault(
          `there is no key-encryption key in ${source}; run \`cedargate keys rotate\``,
        )
      return {
        kek: first.id,
        wrapped: await sealJwe(dataKey, first.key, { kid: first.id, ...about }),
      }
    },
    async unwrap({ kek, wrapped }, about) {
      const { id, key } = await find(kek)
      return openJwe(wrapped, key, { kid: id, ...about })
    },
  }
}

/** What it says names the file, and no key. */
function unreadable(cause: unknown): never {
  const why = cause instanceof Error ? cause.message : String(cause)
  throw new CredentialFault(`the key-encryption keys cannot be read: ${why}`, { cause })
}

/** What a JWE is about, in its protected header: authenticated, not secret. */
type Claims = Readonly<Record<string, string | number | null>>

/** JWE, `dir` with A256GCM (RFC 7516): compact. `key` is 32 bytes. */
export async function sealJwe(
  plaintext: Uint8Array,
  key: Uint8Array,
  about: Claims,
): Promise<string> {
  return new CompactEncrypt(plaintext)
    .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', cg: about })
    .encrypt(key)
}

/** What `sealJwe` sealed under this key about the same. Rejects with CredentialFault otherwise. */
export async function openJwe(jwe: string, key: Uint8Array, about: Claims): Promise<Uint8Array> {
  const { plaintext, protectedHeader } = await compactDecrypt(jwe, key, {
    keyManagementAlgorithms: ['dir'],
    contentEncryptionAlgorithms: ['A256GCM'],
  }).catch((cause: unknown) => {
    throw new CredentialFault('it does not open: another key, or not what was written', { cause })
  })
  const said = protectedHeader['cg'] as Claims | undefined
  const names = Object.keys({ ...about, ...said })
  if (names.every((name) => said?.[name] === about[name])) return plaintext
  throw new CredentialFault('it was written for another credential')
}
