// Credentials at rest: what opens them, and that nothing else does.
import { randomBytes } from 'node:crypto'
import { decodeProtectedHeader } from 'jose'
import { expect, test } from 'vitest'
import { testClock } from '../../../test/harness/ledger.ts'
import { type Kek, newKeyLine, parseKeks } from '../keys/key-file.ts'
import { dataKeyOf, type Envelope, rewrap, seal as sealWhole, unseal } from './envelope.ts'
import { openKeyRing } from './key-ring.ts'
import type { KeptSecret } from './secret.ts'

const random = (bytes: number) => randomBytes(bytes)
const newKek = (): Kek => parseKeks(newKeyLine(), 'a test')[0] as Kek
const ringOf = (keks: Kek[] | undefined) =>
  openKeyRing({ source: 'a test', read: async () => keks, clock: testClock() })
const about = {
  id: '01900000-0000-7000-8000-000000000001',
  server: 'notes',
  user: 'alice',
  version: 3,
}
const secret: KeptSecret = {
  to: 'https://server.test',
  secret: { kind: 'bearer', value: 'canary-of-the-envelope' },
}

const seal = async (...words: Parameters<typeof sealWhole>) => (await sealWhole(...words)).envelope

test('what was sealed opens, and is nowhere to be seen', async () => {
  const ring = await ringOf([newKek()])
  const envelope = await seal({ ring, random }, secret, about)
  expect(await unseal(ring, envelope, about)).toEqual(secret)
  const decoded = envelope.sealed
    .split('.')
    .map((part) => Buffer.from(part, 'base64url').toString('latin1'))
  expect(`${envelope.sealed}${decoded.join()}`).not.toContain('canary')
})

test('both the secret and its data key are under A256GCM', async () => {
  const { sealed, dataKey } = await seal({ ring: await ringOf([newKek()]), random }, secret, about)
  for (const jwe of [sealed, dataKey])
    expect(decodeProtectedHeader(jwe)).toMatchObject({ alg: 'dir', enc: 'A256GCM' })
})

test('every envelope has a data key of its own', async () => {
  const ring = await ringOf([newKek()])
  const [one, other] = [
    await seal({ ring, random }, secret, about),
    await seal({ ring, random }, secret, about),
  ]
  await expect(unseal(ring, { ...one, dataKey: other.dataKey }, about)).rejects.toThrow(
    'does not open',
  )
})

test.each([
  { name: 'another credential', change: { id: '01900000-0000-7000-8000-000000000002' } },
  { name: 'another server', change: { server: 'other' } },
  { name: 'another user', change: { user: 'bob' } },
  { name: 'the deployment', change: { user: null } },
  { name: 'another version', change: { version: 2 } },
])('moved to $name it does not open', async ({ change }) => {
  const ring = await ringOf([newKek()])
  const envelope = await seal({ ring, random }, secret, about)
  await expect(unseal(ring, envelope, { ...about, ...change })).rejects.toThrow(
    'written for another credential',
  )
})

test('no character of it can be changed or left out', async () => {
  const ring = await ringOf([newKek()])
  const envelope = await seal({ ring, random }, secret, about)
  const spoilt = (['sealed', 'dataKey'] as const).flatMap((field): Envelope[] => {
    const text = envelope[field]
    const swapped = text
      .split('')
      .map((char, at) => `${text.slice(0, at)}${char === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`)
    return [...swapped, ...text.split('').map((_, at) => text.slice(0, at))].map((changed) => ({
      ...envelope,
      [field]: changed,
    }))
  })
  let refused = 0
  for (const one of spoilt) {
    const opened = await unseal(ring, one, about).catch(() => undefined)
    // The last character of a part may hold bits that no byte has: it may be another one, and say the same.
    expect([undefined, JSON.stringify(secret)]).toContain(opened && JSON.stringify(opened))
    if (opened === undefined) refused += 1
  }
  expect(refused).toBeGreaterThan(spoilt.length - 12)
})

test('without its key-encryption key it does not open, and that is said by name', async () => {
  const [old, other] = [newKek(), newKek()]
  const envelope = await seal({ ring: await ringOf([old]), random }, secret, about)
  await expect(unseal(await ringOf([other]), envelope, about)).rejects.toThrow(
    `wrapped by key ${old.id}, which is not in a test`,
  )
  await expect(unseal(await ringOf([{ ...other, id: old.id }]), envelope, about)).rejects.toThrow(
    'does not open',
  )
  await expect(seal({ ring: await ringOf(undefined), random }, secret, about)).rejects.toThrow(
    'cedargate keys rotate',
  )
})

test('old and new keys open while it is moved; the secret is not sealed anew', async () => {
  const [old, next] = [newKek(), newKek()]
  const before = await seal({ ring: await ringOf([old]), random }, secret, about)
  const both = await ringOf([next, old])
  expect(await unseal(both, before, about)).toEqual(secret)
  const key = await dataKeyOf(both, before, about)
  const after = await rewrap(both, { envelope: before, key }, about)
  expect(after).toEqual({ sealed: before.sealed, dataKey: expect.any(String), kek: next.id })
  expect(await unseal(await ringOf([next]), after, about)).toEqual(secret)
  await expect(dataKeyOf(both, before, { ...about, user: 'bob' })).rejects.toThrow(
    'another credential',
  )
})

test('a key that somebody added to the source is found without a restart', async () => {
  const [old, next] = [newKek(), newKek()]
  const keks = [old]
  const clock = testClock()
  const ring = await openKeyRing({ source: 'a test', read: async () => [...keks], clock })
  const envelope = await seal({ ring: await ringOf([next]), random }, secret, about)
  keks.push(next)
  await expect(unseal(ring, envelope, about)).rejects.toThrow(next.id)
  clock.advance(1_000)
  expect(await unseal(ring, envelope, about)).toEqual(secret)
})
