// Asking the PDP: many calls travel together, and one odd answer is the trouble of its own call
// alone.
import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { DECIDE_CALLS_MAX, DECIDE_TIMEOUT_MS } from '../../schemas/limits.ts'
import type { DecideCall } from '../../schemas/pep-api.ts'
import { createDecide } from './decide.ts'
import { createTestPdp, digestOf, grantOf, testToken } from './testing.ts'

const call = (method: string): DecideCall => ({
  requestId: randomUUID(),
  token: null,
  jwt: null,
  server: 'demo',
  method,
  message: `{"method":"${method}"}`,
  era: 'legacy',
  definition: null,
  client: null,
  from: 'client',
  sourceIp: null,
})

test('what is asked at once is one request, in order, each with its own answer', async () => {
  const pdp = createTestPdp([])
  pdp.rule = ({ method }) => (method === 'm3' ? { deny: 'forbid' } : { allow: true })
  let requests = 0
  const post = (...asked: Parameters<typeof pdp.port.post>) => {
    requests += 1
    return pdp.port.post(...asked)
  }
  const decide = createDecide({ pdp: { ...pdp.port, post }, monotonic: () => 0 })
  const calls = Array.from({ length: DECIDE_CALLS_MAX }, (_, index) => call(`m${index}`))
  const decided = await Promise.all(calls.map((one) => decide(one, null)))
  expect(requests).toBe(1)
  expect(decided.map(({ result }) => result.requestId)).toEqual(
    calls.map(({ requestId }) => requestId),
  )
  const denied = decided.filter(
    ({ result }) => result.kind === 'verdict' && result.decision === 'deny',
  )
  expect(denied.map(({ result }) => result.requestId)).toEqual([calls[3]?.requestId])
})

test('one broken verdict refuses its own call', async () => {
  const pdp = createTestPdp([])
  pdp.corrupt = ([first, ...rest]) => ({ results: [{ ...first, record: null }, ...rest] })
  const decide = createDecide({ pdp: pdp.port, monotonic: () => 0 })
  const [broken, fine] = await Promise.allSettled([
    decide(call('a'), null),
    decide(call('b'), null),
  ])
  expect(broken).toMatchObject({ status: 'rejected', reason: { code: 'pdp_unavailable' } })
  expect(fine.status).toBe('fulfilled')
})

test('verdicts in another order are nobody’s', async () => {
  const pdp = createTestPdp([])
  pdp.corrupt = (results) => ({ results: results.toReversed() })
  const decide = createDecide({ pdp: pdp.port, monotonic: () => 0 })
  const settled = await Promise.allSettled([decide(call('a'), null), decide(call('b'), null)])
  expect(settled).toMatchObject([
    { reason: { code: 'verdict_mismatch' } },
    { reason: { code: 'verdict_mismatch' } },
  ])
})

test('a call that waited too long is not asked any more', async () => {
  const pdp = createTestPdp([])
  let now = 0
  const decide = createDecide({ pdp: pdp.port, monotonic: () => now })
  const asked = decide(call('a'), null)
  now = DECIDE_TIMEOUT_MS
  await expect(asked).rejects.toMatchObject({ code: 'pdp_unavailable' })
  expect(pdp.calls).toEqual([])
})

test('the age of a verdict counts from asking', async () => {
  const decide = createDecide({ pdp: createTestPdp([]).port, monotonic: () => 77 })
  expect((await decide(call('a'), null)).askedAt).toBe(77)
})

test('a verdict on the call of another grant is nobody’s', async () => {
  const pdp = createTestPdp([])
  const decide = createDecide({ pdp: pdp.port, monotonic: () => 0 })
  const token = digestOf(testToken(1))
  const own = await decide({ ...call('a'), token }, grantOf(testToken(1)))
  expect(own.result.kind).toBe('verdict')
  for (const grant of [grantOf(testToken(2)), null])
    await expect(decide({ ...call('a'), token }, grant)).rejects.toMatchObject({
      code: 'verdict_mismatch',
    })
})
