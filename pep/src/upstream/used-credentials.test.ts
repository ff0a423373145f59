// Which credentials are masked for whom: what is a version of one's own, or was sent in one's name, whoever sent it; never
// somebody else's.
import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { Credential } from '../credential.ts'
import {
  CREDENTIAL_CALLERS_MAX,
  CREDENTIAL_VERSIONS_MASKED_MAX,
  CREDENTIALS_USED_LENGTH_MAX,
} from '../limits.ts'
import { bearer } from '../testing.ts'
import { createUsedCredentials } from './used-credentials.ts'

const [SHARED, OTHER] = [randomUUID(), randomUUID()]
const secret = (name: string, version: number) => `${name}-${version}-0123456789abcdef`
const credential = (id: string, version: number, text = secret(id, version)) =>
  new Credential(bearer(text, { id, version }))
const used = createUsedCredentials
type Used = ReturnType<typeof used>
const isMasked = (of: Used, caller: string, text: string, own?: Credential) =>
  of.maskersFor(caller, own).some((masker) => masker.isIn(text))

test('what was sent in one’s name is masked in all that one gets, with a credential or without', () => {
  const all = used()
  expect(all.maskersFor('a', undefined)).toEqual([])
  all.use('a', credential(SHARED, 1))
  all.use('a', credential(SHARED, 2))
  all.use('a', credential(OTHER, 1))
  for (const text of [secret(SHARED, 1), secret(SHARED, 2), secret(OTHER, 1)])
    expect(isMasked(all, 'a', text)).toBe(true)
})

test('versions are searched for together, and not built again for every message', () => {
  const all = used()
  all.use('a', credential(SHARED, 1))
  all.use('a', credential(SHARED, 2))
  const [masker, ...rest] = all.maskersFor('a', credential(SHARED, 1))
  expect(rest).toEqual([])
  all.use('b', credential(SHARED, 2))
  expect(all.maskersFor('a', undefined)[0]).toBe(masker)
})

test('a version that another one sent is masked where the credential is the same, and nowhere else', () => {
  const all = used()
  const first = credential(SHARED, 1)
  all.use('a', first)
  all.use('b', credential(SHARED, 2))
  all.use('b', credential(OTHER, 1))
  expect(isMasked(all, 'a', secret(SHARED, 2))).toBe(true)
  expect(isMasked(all, 'c', secret(SHARED, 2), first)).toBe(true)
  expect(isMasked(all, 'a', secret(OTHER, 1), first)).toBe(false)
  expect(isMasked(all, 'c', secret(SHARED, 2))).toBe(false)
})

test('what a version says counts, not its number', () => {
  const all = used()
  const again = credential(SHARED, 1, 'restored-0123456789')
  all.use('a', again)
  all.use('a', credential(SHARED, 1))
  expect(isMasked(all, 'a', 'restored-0123456789', again)).toBe(true)
  expect(isMasked(all, 'a', secret(SHARED, 1), again)).toBe(true)
})

test('what a message was asked with is masked, however much was sent since', () => {
  const all = used()
  const own = credential(SHARED, 1)
  all.use('a', own)
  for (let version = 2; version <= CREDENTIAL_VERSIONS_MASKED_MAX + 1; version += 1)
    all.use('a', credential(SHARED, version))
  expect(isMasked(all, 'a', secret(SHARED, 1))).toBe(false)
  expect(isMasked(all, 'a', secret(SHARED, 2))).toBe(true)
  expect(isMasked(all, 'a', secret(SHARED, 1), own)).toBe(true)
})

test('the credentials and callers of longest ago are forgotten', () => {
  const all = used()
  all.use('a', credential(SHARED, 1))
  const long = 'x'.repeat(16 * 1024)
  for (let index = 0; index < CREDENTIALS_USED_LENGTH_MAX / long.length; index += 1)
    all.use('b', credential(randomUUID(), 1, long))
  expect(all.maskersFor('a', undefined)).toEqual([])
  all.use('a', credential(OTHER, 1))
  for (let index = 0; index < CREDENTIAL_CALLERS_MAX; index += 1)
    all.use(`b-${index}`, credential(OTHER, 1))
  expect(all.maskersFor('a', undefined)).toEqual([])
  expect(all.maskersFor('b-1', undefined)).toHaveLength(1)
})
