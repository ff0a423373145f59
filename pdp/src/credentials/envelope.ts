// Owns how a credential is encrypted at rest: a data key of its own, wrapped by the key ring. Keeps nothing.
import { CredentialFault } from './fault.ts'
import { type About, type KeyRing, openJwe, sealJwe } from './key-ring.ts'
import { type KeptSecret, keptSecret } from './secret.ts'

/** As the table holds it. */
export type Envelope = {
  /** JWE of the secret under the data key. */
  readonly sealed: string
  /** JWE of the data key under `kek`. */
  readonly dataKey: string
  readonly kek: string
}

/** The version is bound too: an older secret in the place of a newer one does not open. */
export type Versioned = About & { readonly version: number }

export type Vaulting = {
  readonly ring: KeyRing
  readonly random: (bytes: number) => Uint8Array
}

const DATA_KEY_BYTES = 32

/** `key`: the data key in it, which wraps it again while it is at hand. Never kept. */
export type Sealed = { readonly envelope: Envelope; readonly key: Uint8Array }

/** Under a new data key each time. Rejects with CredentialFault when there is no key to wrap it by. */
export async function seal(
  { ring, random }: Vaulting,
  what: KeptSecret,
  about: Versioned,
): Promise<Sealed> {
  const key = Uint8Array.from(random(DATA_KEY_BYTES))
  const { version, id, server, user } = about
  const whose = { id, server, user }
  const plaintext = Buffer.from(JSON.stringify(what))
  const sealed = await sealJwe(plaintext, key, { ...whose, version })
  const { kek, wrapped } = await ring.wrap(key, whose)
  return { envelope: { sealed, dataKey: wrapped, kek }, key }
}

/** Rejects with CredentialFault when the key is not there, or one bit or one name is another. */
export async function unseal(
  ring: KeyRing,
  envelope: Envelope,
  about: Versioned,
): Promise<KeptSecret> {
  const { version, id, server, user } = about
  const whose = { id, server, user }
  const key = await dataKeyOf(ring, envelope, about)
  const plaintext = await openJwe(envelope.sealed, key, { ...whose, version })
  const read = keptSecret.safeParse(JSON.parse(Buffer.from(plaintext).toString('utf8')))
  if (read.success) return read.data
  throw new CredentialFault('it was written by another release: set or connect it anew')
}

/** Rejects with CredentialFault when the key is not there, or it was wrapped for another credential. */
export async function dataKeyOf(
  ring: KeyRing,
  { kek, dataKey }: Envelope,
  { id, server, user }: About,
): Promise<Uint8Array> {
  return ring.unwrap({ kek, wrapped: dataKey }, { id, server, user })
}

/** The same secret under the ring's first key; `sealed` stays as it is. */
export async function rewrap(
  ring: KeyRing,
  { envelope, key }: Sealed,
  { id, server, user }: About,
): Promise<Envelope> {
  const { kek, wrapped } = await ring.wrap(key, { id, server, user })
  return { sealed: envelope.sealed, dataKey: wrapped, kek }
}
