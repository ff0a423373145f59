// Key-encryption keys in their file: which one wraps, that none is lost, and what is refused.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text as textOf } from 'node:stream/consumers'
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
const unused = async () => undefined
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
  await expect(dropKey(directory, id, unused)).rejects.toThrow('rotate first')
  await expect(dropKey(directory, 'ffff', unused)).rejects.toThrow('there is no key ffff')
  await dropKey(directory, old.id, unused)
  expect(await ids()).toEqual([id])
})

test('a key that wraps something is not dropped; nobody can change the file while that is looked at', async () => {
  const old = await useNewKey(directory)
  const { id } = await useNewKey(directory)
  const inUse = async () => {
    await expect(useNewKey(directory, old.id)).rejects.toThrow(`process ${process.pid} is using it`)
    throw new Error('it wraps one')
  }
  await expect(dropKey(directory, old.id, inUse)).rejects.toThrow('it wraps one')
  expect(await ids()).toEqual([id, old.id])
})

test('of changes at once, by several processes on a slow disk, each is made or refused: no key is lost', async () => {
  const { id: old } = await useNewKey(directory)
  const { id: first } = await useNewKey(directory)
  const changes = ['useNewKey(d)', 'stageKey(d)', `dropKey(d, '${old}', async () => {})`, 'useNewKey(d)']
  const ended = await Promise.all(changes.map((change) => endOf(onSlowDisk(change, 300))))
  const made = ended.filter(({ code }) => code === 0)
  const refused = ended.filter(({ code }) => code !== 0)
  expect(made.length).toBeGreaterThan(0)
  expect(await ids()).toEqual(expect.arrayContaining([first, ...made.map(({ said }) => said).filter(Boolean)]))
  const lock = /KeysError: \S+credentials.key stays as it was: .* its lock is \S+credentials.key.lock/
  expect(refused.map(({ erred }) => erred)).toEqual(refused.map(() => expect.stringMatching(lock)))
  expect(await readdir(directory)).toEqual([CREDENTIAL_KEYS_FILE])
}) // biome-ignore format: long lines

test('who is killed at it leaves the keys that were, and holds nobody up', async () => {
  const { id } = await useNewKey(directory)
  const child = onSlowDisk('useNewKey(d)', 60_000)
  await expect.poll(() => readdir(directory)).toHaveLength(3)
  await expect(stageKey(directory)).rejects.toThrow(
    `${path()} stays as it was: process ${child.pid} is using it; let it end, or stop it; its lock is ${path()}.lock`,
  )
  child.kill('SIGKILL')
  await once(child, 'exit')
  const next = await useNewKey(directory)
  expect(await ids()).toEqual([next.id, id])
  expect(await readdir(directory)).toEqual([CREDENTIAL_KEYS_FILE])
})

test('a file that is copied here meanwhile stays', async () => {
  const { id: old } = await useNewKey(directory)
  await useNewKey(directory)
  const copied = `${randomBytes(32).toString('base64')}\n`
  const copying = () => writeFile(path(), copied)
  await expect(dropKey(directory, old, copying)).rejects.toThrow('by something else meanwhile')
  expect(await readFile(path(), 'utf8')).toBe(copied)
  expect(await readdir(directory)).toEqual([CREDENTIAL_KEYS_FILE])
})

/** A process that makes one change of `d`, and says the id of its key; each fsync takes so long there. */
function onSlowDisk(change: string, fsyncMs: number): ChildProcess {
  const script = `
    import fs from 'node:fs/promises'
    import { syncBuiltinESMExports } from 'node:module'
    import { dropKey, stageKey, useNewKey } from '${import.meta.resolve('./key-file.ts')}'
    const { open } = fs
    fs.open = async (...words) => {
      const file = await open(...words)
      const sync = file.sync.bind(file)
      file.sync = () => new Promise((done) => setTimeout(done, ${fsyncMs})).then(sync)
      return file
    }
    syncBuiltinESMExports()
        const d = ${JSON.stringify(directory)}
    process.stdout.write((await ${change})?.id ?? '')`
  const words = ['--input-type=module', '--no-warnings', '-e', script]
  return spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] })
}

async function endOf(child: ChildProcess) {
  const [said, erred] = [textOf(child.stdout as never), textOf(child.stderr as never)]
  const [code] = (await once(child, 'close')) as [number]
  return { code, said: await said, erred: await erred }
}

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
