// The ids we coin: their time and order, and that randomness fills the rest.
import { randomBytes } from 'node:crypto'
import { validate, version } from 'uuid'
import { expect, test } from 'vitest'
import { uuidV7 } from './uuid.ts'

test('an id is a UUIDv7 of its time and order, and the rest is random', () => {
  const time = Date.UTC(2026, 10, 22, 12, 0, 0, 123)
  const ids = Array.from({ length: 100 }, (_, order) => uuidV7(time, order, randomBytes(8)))
  expect(ids.every((id) => validate(id) && version(id) === 7)).toBe(true)
  expect(ids.map((id) => Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16))).toEqual(
    ids.map(() => time),
  )
  expect(ids.toSorted()).toEqual(ids)
  expect(new Set(ids.map((id) => id.slice(19))).size).toBe(100)
})

test('every random bit but the two of the variant is used, from any part of a block', () => {
  const block = Buffer.alloc(64, 0xff)
  block.fill(0, 8, 16)
  expect(uuidV7(0, 0, block.subarray(8, 16))).toBe('00000000-0000-7000-8000-000000000000')
  expect(uuidV7(0, 0xffff, block.subarray(0, 8))).toBe('00000000-0000-7fff-bfff-ffffffffffff')
})
