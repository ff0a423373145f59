// What counts as changed since when.
import { expect, test } from 'vitest'
import { rememberChanges } from './changes.ts'

const user = (id: string) => ({ kind: 'user', id })

test('a change is one since every position before it, and since none after it', () => {
  const changes = rememberChanges(10)
  const before = changes.position()
  changes.note([user('ann'), { kind: 'agent', id: 'ci' }])
  const after = changes.position()
  expect(changes.isChanged([user('ben'), user('ann')], before)).toBe(true)
  expect(changes.isChanged([user('ann')], after)).toBe(false)
  expect(changes.isChanged([user('ci'), user('ben')], before)).toBe(false)
  changes.note([user('ann')])
  expect(changes.isChanged([user('ann')], after)).toBe(true)
})

test('nothing noted is no step', () => {
  const changes = rememberChanges(10)
  const before = changes.position()
  changes.note([])
  expect(changes.position()).toBe(before)
})

test('what is forgotten counts as changed, and so does all of it beyond the bound', () => {
  const changes = rememberChanges(2)
  const before = changes.position()
  changes.note([user('a'), user('b')])
  changes.note([user('a')])
  expect(changes.isChanged([user('c')], before)).toBe(false)
  changes.note([user('c')])
  expect(changes.isChanged([user('d')], before)).toBe(true)
  expect(changes.isChanged([user('c')], changes.position())).toBe(false)
  const then = changes.position()
  changes.forget()
  expect(changes.isChanged([], then)).toBe(true)
  expect(changes.isChanged([user('d')], changes.position())).toBe(false)
})
