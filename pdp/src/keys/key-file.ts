// Owns the key-encryption keys of upstream credentials as a file: which key wraps what is new, and which keys still unwrap.
// Never wraps anything itself, and never loses a key: one process at a time changes the file, and a change is whole on the
// disk, or it was not made.
import { hash, randomBytes, randomUUID } from 'node:crypto'
import { open, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { holdLock, type Lock } from '../store/lock-file.ts'
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
  const text = await readText(path)
  return text === undefined ? undefined : parseKeks(text, path)
}

/**
 * Adds a new key in last place: it unwraps, and wraps nothing until `useNewKey` names it. This and what follows throw
 * KeysError, and change nothing, while another process changes the file, and when something else changed it meanwhile.
 */
export async function stageKey(directory: string): Promise<{ readonly id: string }> {
  return changeKeks(directory, (keks) => {
    const made = newKek()
    return { keks: [...keks, made], said: { id: made.id } }
  })
}

/**
 * Puts a fresh key first, or the one with this id, which was staged. `was`: the first one before. Throws KeysError when
 * there is no key with that id.
 */
export async function useNewKey(
  directory: string,
  staged?: string,
): Promise<{ readonly id: string; readonly was: string | null }> {
  return changeKeks(directory, (keks) => {
    const first = staged === undefined ? newKek() : findKek(keks, staged, directory)
    const others = keks.filter(({ id }) => id !== first.id)
    return { keks: [first, ...others], said: { id: first.id, was: keks[0]?.id ?? null } }
  })
}

/**
 * Takes a key out. Throws KeysError for the first one, and for one that is not there. `assertUnused` throws when it wraps
 * something. Order: it is asked while the file is held, so the key was not the first before, and does not become it after.
 */
export async function dropKey(
  directory: string,
  id: string,
  assertUnused: () => Promise<void>,
): Promise<void> {
  return changeKeks(directory, async (keks) => {
    await assertUnused()
    if (keks[0]?.id === id)
      throw new KeysError(`${id} is the key that wraps what is new; rotate first`)
    findKek(keks, id, directory)
    return { keks: keks.filter((kek) => kek.id !== id), said: undefined }
  })
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

type Changed<Said> = { readonly keks: readonly Kek[]; readonly said: Said }

/** INVARIANT: what `change` is given is what stands in the file until what it answers does. */
async function changeKeks<Said>(
  directory: string,
  change: (keks: readonly Kek[]) => Changed<Said> | Promise<Changed<Said>>,
): Promise<Said> {
  const path = join(directory, CREDENTIAL_KEYS_FILE)
  const lock = await holdFile(path)
  try {
    const before = await readText(path)
    const { keks, said } = await change(before === undefined ? [] : parseKeks(before, path))
    await writeKeks(path, before, keks)
    return said
  } finally {
    await lock.release()
  }
}

async function holdFile(path: string): Promise<Lock> {
  const lock = `${path}.lock`
  return holdLock(lock).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new KeysError(`${path} stays as it was: ${why}; its lock is ${lock}`, { cause })
  })
}

/**
 * Order: a crash leaves the old file or the new one, never half of one, and perhaps a draft, which the next change removes.
 * `before` is compared last: who copies a file here, or shares it with another machine, holds no lock of ours.
 */
async function writeKeks(
  path: string,
  before: string | undefined,
  keks: readonly Kek[],
): Promise<void> {
  await removeDrafts(path)
  const draft = `${path}.${randomUUID()}${DRAFT}`
  try {
    await writeNew(draft, keks.map((kek) => lineOf(kek)).join(''))
    if ((await readText(path)) !== before)
      throw new KeysError(
        `${path} was changed by something else meanwhile; look at it, run it again`,
      )
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

const DRAFT = '.new'

/** Of who was killed. */
async function removeDrafts(path: string): Promise<void> {
  const names = await readdir(dirname(path))
  const isDraft = (name: string) => name.startsWith(`${basename(path)}.`) && name.endsWith(DRAFT)
  for (const name of names.filter(isDraft)) await rm(join(dirname(path), name), { force: true })
}

/** Undefined: there is no file. */
async function readText(path: string): Promise<string | undefined> {
  return readSecret(path).catch((error: unknown) => {
    if (isMissing(error)) return undefined
    throw error
  })
}

function isMissing(error: unknown): boolean {
  const cause = error instanceof KeysError ? error.cause : error
  return (cause as { code?: unknown } | undefined)?.code === 'ENOENT'
}
