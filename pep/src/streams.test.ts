// How long it is remembered that a grant was revoked, to the millisecond and to the last of them.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { REVOKED_GRANT_KEPT_MS, REVOKED_GRANTS_MAX, UPSTREAM_HEADERS_TIMEOUT_MS } from './limits.ts'
import { createStreams } from './streams.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('longer than an answer may take to begin, and then no more', () => {
  const streams = createStreams(Date.now)
  streams.revoke('a')
  vi.advanceTimersByTime(UPSTREAM_HEADERS_TIMEOUT_MS)
  expect(streams.isRevoked('a')).toBe(true)
  streams.revoke('a')
  vi.advanceTimersByTime(REVOKED_GRANT_KEPT_MS - 1)
  expect(streams.isRevoked('a')).toBe(true)
  vi.advanceTimersByTime(1)
  expect(streams.isRevoked('a')).toBe(false)
})

test('until it is in force again', () => {
  const streams = createStreams(Date.now)
  streams.revoke('a')
  streams.reinstate('a')
  expect(streams.isRevoked('a')).toBe(false)
  streams.revoke('a')
  streams.end('a')
  expect([streams.isRevoked('a'), vi.getTimerCount()]).toEqual([false, 0])
})

test('of more than REVOKED_GRANTS_MAX the oldest is forgotten', () => {
  const streams = createStreams(Date.now)
  for (let index = 0; index <= REVOKED_GRANTS_MAX; index++) streams.revoke(String(index))
  expect(['0', '1', String(REVOKED_GRANTS_MAX)].map(streams.isRevoked)).toEqual([false, true, true])
  expect(vi.getTimerCount()).toBe(REVOKED_GRANTS_MAX)
})
