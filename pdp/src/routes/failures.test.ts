// When a source that failed too often may fail again.
import { Hono } from 'hono'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { AUTH_FAILURES_MAX, AUTH_FAILURES_MS } from '../../../schemas/limits.ts'
import { countFailures } from './failures.ts'

beforeEach(() => vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] }))
afterEach(() => vi.useRealTimers())

test('the last failure of its time is 429, the first of the next one 401', async () => {
  const failures = countFailures()
  const app = new Hono().get('/', (c) => failures.refuse(c, 'who are you?'))
  const fail = async (from: string): Promise<number> => {
    const incoming = { socket: { remoteAddress: from } }
    return (await app.request('/', {}, { incoming })).status
  }
  for (let count = 1; count <= AUTH_FAILURES_MAX; count++)
    expect(await fail('::ffff:192.0.2.1')).toBe(401)
  expect(await fail('192.0.2.1')).toBe(429)
  expect(await fail('192.0.2.2')).toBe(401)
  vi.advanceTimersByTime(AUTH_FAILURES_MS - 1)
  expect(await fail('192.0.2.1')).toBe(429)
  vi.advanceTimersByTime(1)
  expect(await fail('192.0.2.1')).toBe(401)
})

test('an IPv6 network is one source', async () => {
  const failures = countFailures(1)
  const app = new Hono().get('/', (c) => failures.refuse(c, 'who are you?'))
  const fail = async (from: string): Promise<number> => {
    const incoming = { socket: { remoteAddress: from } }
    return (await app.request('/', {}, { incoming })).status
  }
  expect(await fail('2001:db8::1')).toBe(401)
  expect(await fail('2001:db8::2')).toBe(429)
  expect(await fail('2001:db8:0:1::1')).toBe(401)
})
