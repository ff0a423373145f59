// Owns the key-encryption keys of upstream credentials as a file: which key wraps what is new, and which keys still unwrap.
// Never wraps anything itself, and never loses a key: a change is whole on the disk, or it was not made.
import { hash, randomBytes } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { KeysError, readSecret, writeNew } from './secret-file.ts'

export const CREDENTIAL_KEYS_FILE = 'credentials.key'
/** The variable that may hold the keys in its place. */
export const CREDENTIAL_KEYS_SETTING = 'CEDARGATE_CREDENTIAL_KEYS'
export const KEK_BYTES = 32

/** `id` says nothing about the key: the first 16 hex digits of a SHA-256 of it. */
export type Kek = { readonly id: string; readonly key: Uint8Array }

/**
 * Keys as they stand in a file or a variable: KEK_BYTES each in base64, one a line or separated by commas; the first
 * wraps, all of them unwrap. Throws KeysError, with `where` and never with a key.
 */
export function parseKeks(text: string, where: string): readonly Kek[] {
  const words = text.split(/[\s,]+/).filter((word) => word !== '')
  const keks = words.map((word, index) => {
    const key = Buffer.from(word, 'base64')
    if (key.length !== KEK_BYTES || key.toString('base64') !== word)
      throw new KeysError(`key ${index + 1} of ${where} is not ${KEK_BYTES} bytes in base64`)
    return { id: kekId(key), key }
  })
  if (keks.length === 0)
    throw new KeysError(`${where} holds no key; make one with \`cedargate keys rotate\``)
  if (new Set(keks.map(({ id }) => id)).size < keks.length)
    throw new KeysError(`${where} holds the same key twice`)
  return keks
}

/** The keys of `directory`; undefined when there is no file. Throws KeysError when others can read it. */
export async function readKekFile(directory: string): Promise<readonly Kek[] | undefined> {
  const path = join(directory, CREDENTIAL_KEYS_FILE)
  const text = await readSecret(path).catch((error: unknown) => {
    if (isMissing(error)) return undefined
    throw error
  })
  return text === undefined ? undefined : parseKeks(text, path)
}

/** Adds a new key in last place: it unwraps, and wraps nothing until `useNewKey` names it. */
export async function stageKey(directory: string): Promise<{ readonly id: string }> {
  const keks = (await readKekFile(directory)) ?? []
  const made = newKek()
  await writeKeks(directory, [...keks, made])
  return { id: made.id }
}

/**
 * Puts a fresh key first, or the one with this id, which was staged. `was`: the first one before. Throws KeysError when
 * there is no key with that id.
 */
export async function useNewKey(
  directory: string,
  staged?: string,
): Promise<{ readonly id: string; readonly was: string | null }> {
  const keks = (await readKekFile(directory)) ?? []
  const first = staged === undefined ? newKek() : findKek(keks, staged, directory)
  await writeKeks(directory, [first, ...keks.filter(({ id }) => id !== first.id)])
  return { id: first.id, was: keks[0]?.id ?? null }
}

/** Takes a key out. Throws KeysError for the first one, and for one that is not there. Whether it wraps something is the caller's to ask. */
export async function dropKey(directory: string, id: string): Promise<void> {
  const keks = (await readKekFile(directory)) ?? []
  if (keks[0]?.id === id)
    throw new KeysError(`${id} is the key that wraps what is new; rotate first`)
  findKek(keks, id, directory)
  const kept = keks.filter((kek) => kek.id !== id)
  await writeKeks(directory, kept)
}

function findKek(keks: readonly Kek[], id: string, directory: string): Kek {
  const found = keks.find((kek) => kek.id === id)
  if (found !== undefined) return found
  throw new KeysError(`there is no key ${id} in ${join(directory, CREDENTIAL_KEYS_FILE)}`)
}

/** The text of a key file with one fresh key. */
export function newKeyLine(): string {
  return lineOf(newKek())
}

function lineOf({ key }: Kek): string {
  return `${Buffer.from(key).toString('base64')}\n`
}

function newKek(): Kek {
  const key = randomBytes(KEK_BYTES)
  return { id: kekId(key), key }
}

function kekId(key: Uint8Array): string {
  return hash('sha256', Buffer.concat([Buffer.from('cedargate/kek/v1\0'), key])).slice(0, 16)
}

/** Order: a crash leaves the old file or the new one, never half of one. */
async function writeKeks(directory: string, keks: readonly Kek[]): Promise<void> {
  const path = join(directory, CREDENTIAL_KEYS_FILE)
  const draft = `${path}.${process.pid}.new`
  const text = keks.map((kek) => lineOf(kek)).join('')
  try {
    await writeNew(draft, text)
    await rename(draft, path)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
  const folder = await open(dirname(path), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

function isMissing(error: unknown): boolean {
  const cause = error instanceof KeysError ? error.cause : error
  return (cause as { code?: unknown } | undefined)?.code === 'ENOENT'
}
