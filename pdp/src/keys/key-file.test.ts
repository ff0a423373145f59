// Key-encryption keys in their file: which one wraps, that none is lost, and what is refused.
import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  CREDENTIAL_KEYS_FILE,
  dropKey,
  parseKeks,
  readKekFile,
  stageKey,
  useNewKey,
} from './key-file.ts'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cedargate-keks-'))
})
afterEach(() => rm(directory, { recursive: true }))
const path = () => join(directory, CREDENTIAL_KEYS_FILE)
const ids = async () => (await readKekFile(directory))?.map(({ id }) => id)

test('there is no file: there are no keys; the first one is made, for its owner alone', async () => {
  expect(await readKekFile(directory)).toBeUndefined()
  const { id, was } = await useNewKey(directory)
  expect(was).toBeNull()
  expect(await ids()).toEqual([id])
  expect((await stat(path())).mode & 0o777).toBe(0o600)
  expect(await readdir(directory)).toEqual([CREDENTIAL_KEYS_FILE])
})

test('a new key comes first, a staged one last until it is named; none is lost', async () => {
  const first = await useNewKey(directory)
  const second = await useNewKey(directory)
  expect(second.was).toBe(first.id)
  const staged = await stageKey(directory)
  expect(await ids()).toEqual([second.id, first.id, staged.id])
  expect(await useNewKey(directory, staged.id)).toEqual({ id: staged.id, was: second.id })
  expect(await ids()).toEqual([staged.id, second.id, first.id])
  await expect(useNewKey(directory, 'ffff')).rejects.toThrow('there is no key ffff in')
})

test('a key is dropped by its id, but for the one that wraps', async () => {
  const old = await useNewKey(directory)
  const { id } = await useNewKey(directory)
  await expect(dropKey(directory, id)).rejects.toThrow('rotate first')
  await expect(dropKey(directory, 'ffff')).rejects.toThrow('there is no key ffff')
  await dropKey(directory, old.id)
  expect(await ids()).toEqual([id])
})

test('an id says nothing of its key', async () => {
  const { id } = await useNewKey(directory)
  const key = Buffer.from(await readFile(path(), 'utf8'), 'base64')
  expect(key).toHaveLength(32)
  for (const form of ['hex', 'base64'] as const) expect(key.toString(form)).not.toContain(id)
})

const one = randomBytes(32).toString('base64')
test.each([
  { what: 'nothing', text: ' \n', want: 'holds no key' },
  { what: 'a short key', text: randomBytes(31).toString('base64'), want: 'key 1 of the place is not 32 bytes' },
  { what: 'a bad second key', text: `${one}\n${one.slice(1)}`, want: 'key 2 of the place' },
  { what: 'base64url', text: Buffer.alloc(32, 255).toString('base64url'), want: 'is not 32 bytes in base64' },
  { what: 'one key twice', text: `${one},${one}`, want: 'the same key twice' },
])('$what is refused, and not repeated', ({ text, want }) => {
  expect(() => parseKeks(text, 'the place')).toThrow(want)
  expect(() => parseKeks(text, 'the place')).not.toThrow(one.slice(0, 8))
}) // biome-ignore format: short

test('a file that others can read is refused, and stays', async () => {
  await writeFile(path(), `${one}\n`)
  await chmod(path(), 0o644)
  await expect(readKekFile(directory)).rejects.toThrow('others can read it')
  await expect(useNewKey(directory)).rejects.toThrow('others can read it')
  expect(await readFile(path(), 'utf8')).toBe(`${one}\n`)
})
