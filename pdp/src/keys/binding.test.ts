// Keys that names are bound with: the same for a deployment, another for every server and epoch.
import { createHmac, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { BINDING_EPOCH_MS, BINDING_KEYS_MS } from '../../../schemas/limits.ts'
import { bindingKey } from '../../../schemas/pep-api.ts'
import { bindingKeys } from './binding.ts'
import { createVault } from './vault.ts'

const dataKey = randomBytes(32)
const vault = createVault(dataKey)
const at = (epoch: number, ms = 0): number => epoch * BINDING_EPOCH_MS + ms

function hmac(key: Uint8Array, of: string | Uint8Array): Buffer {
  return createHmac('sha256', key).update(of).digest()
}

test('two vaults of one data key agree, and of another they do not', () => {
  const servers = ['files', 'mail']
  const here = bindingKeys(vault, servers, at(700))
  expect(bindingKeys(createVault(dataKey), servers, at(700))).toEqual(here)
  const elsewhere = bindingKeys(createVault(randomBytes(32)), servers, at(700))
  expect(elsewhere.map(({ id }) => id)).toEqual(here.map(({ id }) => id))
  for (const [index, { key }] of here.entries()) expect(elsewhere[index]?.key).not.toBe(key)
})

test('every server and epoch has a key of its own, in the form of the wire', () => {
  const keys = [at(700), at(703)].flatMap((now) => bindingKeys(vault, ['files', 'mail', 'f'], now))
  for (const key of keys) expect(bindingKey.parse(key)).toEqual(key)
  expect(new Set(keys.map(({ key }) => key)).size).toBe(18)
})

test('no server has the key of another by the way its name is written', () => {
  const keys = [vault.bindingKey('a|1', 2), vault.bindingKey('a', 12), vault.bindingKey('a|12', 2)]
  expect(new Set(keys.map((key) => Buffer.from(key).toString('hex'))).size).toBe(3)
})

test('is HKDF-SHA-256 of the data key (RFC 5869), so that names outlive a release', () => {
  const expected = hmac(hmac(Buffer.alloc(32), dataKey), 'cedargate binding v1|files|700\u0001')
  expect(vault.bindingKey('files', 700)).toEqual(expected)
})

test.each([
  { now: at(700), ids: ['jg', 'jf', 'jh'] },
  { now: at(701, -1), ids: ['jg', 'jf', 'jh'] },
  { now: at(701), ids: ['jh', 'jg', 'ji'] },
])('at $now the keys are $ids: now, before, next', ({ now, ids }) => {
  expect(bindingKeys(vault, ['files'], now).map(({ id }) => id)).toEqual(ids)
})

test('what was bound is known for an epoch and more, also by a PEP that asks as seldom as it may', () => {
  const [bound] = bindingKeys(vault, ['files'], at(700, -1))
  const later = bindingKeys(vault, ['files'], at(701, -1))
  expect(later).toContainEqual(bound)
  expect(bindingKeys(vault, ['files'], at(701))).not.toContainEqual(bound)
  const [ahead] = bindingKeys(vault, ['files'], at(700, BINDING_KEYS_MS))
  expect(bindingKeys(vault, ['files'], at(700, -BINDING_KEYS_MS))).toContainEqual(ahead)
})
