// What one grant may keep busy: at the edge of its share, and of everybody's.
import { expect, test } from 'vitest'
import { BODY_BYTES_MAX } from '../../../schemas/limits.ts'
import { REQUEST_BYTES_MAX, REQUEST_BYTES_PER_GRANT_MAX } from '../limits.ts'
import { createShares } from './shares.ts'

const REFUSED = expect.objectContaining({ code: 'too_many_requests' })

test('one grant has its share and no byte more; others have theirs', () => {
  const shares = createShares()
  shares.take('1', 'a', REQUEST_BYTES_PER_GRANT_MAX - 1)
  shares.take('2', 'a', 1)
  expect(() => shares.take('3', 'a', 1)).toThrow(REFUSED)
  shares.take('4', 'b', REQUEST_BYTES_PER_GRANT_MAX)
  shares.give('3')
  shares.give('2')
  shares.give('2')
  shares.take('5', 'a', 1)
  expect(() => shares.take('6', 'a', 1)).toThrow(REFUSED)
})

test('bytes count as they arrive, and all of a request are given back', () => {
  const shares = createShares()
  for (let part = 0; part < 8; part++) shares.take('1', 'a', REQUEST_BYTES_PER_GRANT_MAX / 8)
  expect(() => shares.take('1', 'a', 1)).toThrow(REFUSED)
  shares.give('1')
  shares.take('2', 'a', REQUEST_BYTES_PER_GRANT_MAX)
})

test('all together have a share too', () => {
  const shares = createShares()
  const many = REQUEST_BYTES_MAX / BODY_BYTES_MAX
  for (let index = 0; index < many; index++) shares.take(`${index}`, `t${index}`, BODY_BYTES_MAX)
  expect(() => shares.take('more', 'x', 1)).toThrow(REFUSED)
  shares.give('0')
  shares.take('more', 'x', BODY_BYTES_MAX)
})
