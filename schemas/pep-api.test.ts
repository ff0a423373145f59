// Owns the limits and the closedness of the wire between a PEP and the PDP.
import { describe, expect, test } from 'vitest'
import { DECIDE_CALLS_MAX } from './limits.ts'
import { decideCall, decideRequest, decideResult, outcome, pepEvent } from './pep-api.ts'

const id = '0198c0de-0000-7000-8000-000000000001'
const digest = 'a'.repeat(64)
const call = {
  requestId: id,
  token: digest,
  server: 'files',
  method: 'tools/call',
  message: '{}',
  era: 'modern',
  definition: null,
  client: { name: 'x', version: '1' },
  sourceIp: null,
}

describe('a call to decide', () => {
  test.each<{ name: string; change: object; ok: boolean }>([
    { name: 'as a PEP sends it', change: {}, ok: true },
    { name: 'the gateway\'s own discovery', change: { token: null, client: null }, ok: true },
    { name: 'a token in clear', change: { token: 'cgt_secret' }, ok: false },
    { name: 'a reserved server', change: { server: 'admin' }, ok: false },
    { name: 'a third era', change: { era: 'future' }, ok: false },
    { name: 'a field nobody knows', change: { verdict: 'allow' }, ok: false },
    { name: 'a number for a message', change: { message: 1 }, ok: false },
    { name: 'an id that is no UUID', change: { requestId: '1' }, ok: false },
  ])('$name: $ok', ({ change, ok }) => {
    expect(decideCall.safeParse({ ...call, ...change }).success).toBe(ok)
  }) // biome-ignore format: a table

  test.each([
    [0, false],
    [1, true],
    [DECIDE_CALLS_MAX, true],
    [DECIDE_CALLS_MAX + 1, false],
  ])('%i in one request: %s', (count, ok) => {
    expect(
      decideRequest.safeParse({ calls: Array.from({ length: count }, () => call) }).success,
    ).toBe(ok)
  })
})

test('an answer that is neither verdict nor rejection is no answer', () => {
  const rejection = { kind: 'rejection', requestId: id, reason: 'unauthenticated' }
  expect(decideResult.safeParse(rejection).success).toBe(true)
  for (const wrong of [{ kind: 'allow' }, { reason: 'other' }, { decision: 'allow' }])
    expect(decideResult.safeParse({ ...rejection, ...wrong }).success).toBe(false)
})

test('an outcome and an event say no more than their fields', () => {
  const ended = {
    decisionId: id,
    result: 'forwarded',
    status: 200,
    upstreamMs: 1,
    isError: false,
    bytes: 2,
  }
  expect(outcome.safeParse(ended).success).toBe(true)
  expect(outcome.safeParse({ ...ended, upstreamMs: 0.5 }).success).toBe(false)
  expect(outcome.safeParse({ ...ended, body: 'x' }).success).toBe(false)
  expect(pepEvent.safeParse({ kind: 'revoked', grant: id }).success).toBe(true)
  expect(pepEvent.safeParse({ kind: 'revoked', grant: 'cgt_secret' }).success).toBe(false)
})
