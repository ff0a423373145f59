// Key files and what is done with them: refused unless they are as they were made.
import { createSecretKey, generateKeyPairSync, randomBytes, verify } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ed25519Key } from '../ledger/fsck-row.ts'
import { createKeys, keyIdOf, loadKeys } from './keys.ts'
import { createVault, openBytes, sealBytes } from './vault.ts'

let home = ''
const directory = (): string => join(home, 'keys')
const file = (name: string): string => join(directory(), name)
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cedargate-keys-'))
})
afterEach(() => rm(home, { recursive: true }))

test('keys are made once, for their owner alone, and load as they were made', async () => {
  await createKeys(directory())
  const modes = await Promise.all(
    [directory(), ...['deployment.pem', 'data.key', 'credentials.key'].map(file)].map(
      async (path) => (await stat(path)).mode & 0o777,
    ),
  )
  expect(modes).toEqual([0o700, 0o600, 0o600, 0o600])
  const { deployment, vault } = await loadKeys(directory())
  const message = Buffer.from('message')
  const key = ed25519Key(deployment.publicKey)
  expect(verify(null, message, key, await deployment.sign(message))).toBe(true)
  expect(deployment.id).toBe(keyIdOf(deployment.publicKey))
  expect(deployment.id).toMatch(/^[0-9a-f]{16}$/)
  const again = await loadKeys(directory())
  expect(again.vault.pseudonym('alice')).toEqual(vault.pseudonym('alice'))
})

test.each(['deployment.pem', 'data.key', 'credentials.key'])(
  '%s is never overwritten, and nothing else is made',
  async (name) => {
    await createKeys(directory())
    const kept = await readFile(file(name), 'utf8')
    const others = ['deployment.pem', 'data.key', 'credentials.key'].filter((one) => one !== name)
    await Promise.all(others.map((other) => rm(file(other))))
    await expect(createKeys(directory())).rejects.toThrow(
      `${file(name)} exists; keys are never overwritten`,
    )
    expect(await readdir(directory())).toEqual([name])
    expect(await readFile(file(name), 'utf8')).toBe(kept)
  },
)

test.each([
  {
    name: 'missing',
    spoil: (path: string) => rm(path),
    want: 'make keys with `cedargate keys create`',
  },
  {
    name: 'readable by the group',
    spoil: (path: string) => chmod(path, 0o640),
    want: 'has mode 0640, others can read it; run `chmod 600',
  },
  { name: 'readable by all', spoil: (path: string) => chmod(path, 0o604), want: 'has mode 0604' },
  { name: 'empty', spoil: (path: string) => writeFile(path, ''), want: 'is not' },
  { name: 'of another kind', spoil: (path: string) => writeFile(path, rsaPem()), want: 'is not' },
])('a key file that is $name is refused, by name', async ({ spoil, want }) => {
  for (const name of ['deployment.pem', 'data.key']) {
    await rm(directory(), { recursive: true, force: true })
    await createKeys(directory())
    await spoil(file(name))
    await expect(loadKeys(directory())).rejects.toThrow(want)
    await expect(loadKeys(directory())).rejects.toThrow(file(name))
  }
})

function rsaPem(): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
}

test('a pseudonym depends on the key and the user; nobody has one of his own', () => {
  const [one, other] = [createVault(randomBytes(32)), createVault(randomBytes(32))]
  const all = [one, other].flatMap((vault) =>
    ['alice', 'bob', '', 'nobody', null].map((user) =>
      Buffer.from(vault.pseudonym(user)).toString('hex'),
    ),
  )
  expect(new Set(all).size).toBe(10)
  expect(all.every((text) => text.length === 64)).toBe(true)
})

test('a wrapped key opens for its person and month alone, and only as it was', () => {
  const vault = createVault(randomBytes(32))
  const person = vault.pseudonym('alice')
  const key = randomBytes(32)
  const wrapped = vault.wrap(person, '2026-11', key, randomBytes(12))
  expect(vault.unwrap(person, '2026-11', wrapped)).toEqual(key)
  expect(vault.unwrap(person, '2026-12', wrapped)).toBeUndefined()
  expect(vault.unwrap(vault.pseudonym('bob'), '2026-11', wrapped)).toBeUndefined()
  expect(createVault(randomBytes(32)).unwrap(person, '2026-11', wrapped)).toBeUndefined()
})

test('of something sealed, no bit can be changed and no byte left out', () => {
  const key = createSecretKey(randomBytes(32))
  const about = Buffer.from('about')
  const sealed = sealBytes(key, randomBytes(12), Buffer.from('plain text'), about)
  expect(openBytes(key, sealed, about)?.toString()).toBe('plain text')
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const changed = Buffer.from(sealed)
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(openBytes(key, changed, about), `bit ${bit}`).toBeUndefined()
  }
  for (let length = 0; length < sealed.length; length++) {
    expect(openBytes(key, sealed.subarray(0, length), about), `length ${length}`).toBeUndefined()
  }
  expect(openBytes(key, sealed, Buffer.from('other'))).toBeUndefined()
})

test('a data key of another length is refused', () => {
  expect(() => createVault(randomBytes(31))).toThrow('the data key must be 32 bytes, not 31')
})
