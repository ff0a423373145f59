// Whose request it is: asked once per token, by name alone, and no more often than a source may be wrong.
import type { IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeEach, expect, test, vi } from 'vitest'
import {
  AUTH_FAILURES_MAX,
  AUTH_FAILURES_MS,
  DECIDE_TIMEOUT_MS,
  JWT_TOLERANCE_SECONDS,
} from '../../../schemas/limits.ts'
import { IDENTITIES_MAX } from '../limits.ts'
import { createTestPdp, digestOf, grantOf, type TestPdp, testJwt, testToken } from '../testing.ts'
import { type Callers, createCallers } from './callers.ts'
import { createFailures } from './failures.ts'
import { createIdentities, type Identities } from './identities.ts'
import { createSourceOf } from './source.ts'

const [ALICE, BOB] = [testToken(1), testToken(2)]
const WRONG = 'Bearer wrong'
let pdp: TestPdp
let identities: Identities
let callerOf: Callers
let nowMs: number
let monotonicMs: number
beforeEach(() => {
  nowMs = 1_000_000
  monotonicMs = 0
  pdp = createTestPdp([])
  identities = createIdentities(pdp.port, () => nowMs)
  const failures = createFailures('salt', () => monotonicMs)
  callerOf = createCallers({ identities, failures, sourceOf: createSourceOf([]) })
})

function requestOf(authorization: string, address = '192.0.2.1'): IncomingMessage {
  const rawHeaders = ['Authorization', authorization]
  const socket = { remoteAddress: address }
  const request = { url: '/demo/mcp', headers: { authorization }, rawHeaders, socket }
  return request as unknown as IncomingMessage
}
const ask = (authorization: string, address?: string) => callerOf(requestOf(authorization, address))
const codeOf = (asked: Promise<unknown>): Promise<unknown> =>
  asked.then(
    () => 'known',
    (error: { code: unknown }) => error.code,
  )
const fail = async (times: number, address?: string): Promise<void> => {
  for (let index = 0; index < times; index++)
    expect(await codeOf(ask(WRONG, address))).toBe('unauthenticated')
}

test('a token is asked about once; the grant is remembered by its digest alone', async () => {
  const credential = { token: digestOf(ALICE), jwt: null }
  const identity = { grant: grantOf(ALICE), expiresAt: null }
  for (let round = 0; round < 3; round++)
    expect(await ask(`Bearer ${ALICE}`)).toEqual({
      ...credential,
      ...identity,
      sourceIp: '192.0.2.1',
    })
  expect(pdp.identified).toEqual([{ ...credential, sourceIp: '192.0.2.1' }])
})

test('who asks about one token at once shares one question', async () => {
  const asked = await Promise.all(Array.from({ length: 20 }, () => ask(`Bearer ${ALICE}`)))
  expect(new Set(asked.map(({ grant }) => grant))).toEqual(new Set([grantOf(ALICE)]))
  expect(pdp.identified).toHaveLength(1)
})

test.each(['unknown', 'expired', 'wrong_audience', 'client_not_allowed'] as const)(
  'a token that is %s is nobody’s, and asked about again',
  async (fault) => {
    pdp.identify = () => ({ grant: null, fault })
    for (let round = 1; round <= 2; round++) {
      await expect(ask(`Bearer ${ALICE}`)).rejects.toMatchObject({ code: 'unauthenticated', fault })
      expect(pdp.identified).toHaveLength(round)
    }
  },
)

test.each([
  { name: 'throws', post: () => Promise.reject(new Error('down')) },
  { name: 'fails', post: () => Promise.resolve({ status: 500, body: '{"grant":null,"fault":"unknown"}' }) },
  { name: 'says nothing', post: () => Promise.resolve({ status: 200, body: '{}' }) },
  { name: 'says no uuid', post: () => Promise.resolve({ status: 200, body: '{"grant":"alice"}' }) },
  { name: 'says another fault', post: () => Promise.resolve({ status: 200, body: '{"grant":null,"fault":"x"}' }) },
])('a PDP that $name leaves it open, and is no failure of the source', async ({ post }) => {
  const failures = createFailures('salt', () => 0)
  const known = createIdentities({ ...pdp.port, post }, () => nowMs)
  const asking = createCallers({ identities: known, failures, sourceOf: () => null })
  for (let round = 0; round <= AUTH_FAILURES_MAX; round++)
    expect(await codeOf(asking(requestOf(`Bearer ${ALICE}`)))).toBe('pdp_unavailable')
}) // biome-ignore format: a table

test('a token, or all of a grant, is forgotten, and asked about again', async () => {
  await ask(`Bearer ${ALICE}`)
  await ask(`Bearer ${BOB}`)
  identities.forget(digestOf(ALICE))
  identities.forget(digestOf(ALICE))
  await ask(`Bearer ${ALICE}`)
  identities.forgetGrant(grantOf(BOB))
  identities.forgetGrant(grantOf(BOB))
  await ask(`Bearer ${BOB}`)
  await ask(`Bearer ${ALICE}`)
  expect(pdp.identified.map(({ token }) => token)).toEqual([ALICE, BOB, ALICE, BOB].map(digestOf))
})

test('a JWT is another token of the same grant, and is asked about again when it has ended', async () => {
  const exp = nowMs / 1000 + 60
  const [first, second] = [testJwt({ sub: 'alice', exp }), testJwt({ sub: 'alice', exp: exp + 60 })]
  const one = await ask(`Bearer ${first}`)
  expect(await ask(`Bearer ${second}`)).toMatchObject({ grant: one.grant, jwt: second })
  expect(one.expiresAt).toBe((exp + JWT_TOLERANCE_SECONDS) * 1000)
  nowMs = (one.expiresAt ?? 0) - 1
  await ask(`Bearer ${first}`)
  expect(pdp.identified).toHaveLength(2)
  nowMs += 1
  pdp.identify = () => ({ grant: null, fault: 'expired' })
  await expect(ask(`Bearer ${first}`)).rejects.toMatchObject({ fault: 'expired' })
  expect(await codeOf(ask(`Bearer ${second}`))).toBe('known')
})

const credential = (index: number) => ({ token: index.toString(16).padStart(64, '0'), jwt: null })

test('beyond IDENTITIES_MAX the token used longest ago is forgotten', async () => {
  for (let index = 0; index < IDENTITIES_MAX; index++) await identities.ask(credential(index), null)
  expect(identities.known(credential(0))).toBeDefined()
  await identities.ask(credential(IDENTITIES_MAX), null)
  expect(identities.known(credential(0))).toBeDefined()
  expect(identities.known(credential(1))).toBeUndefined()
  expect(identities.known(credential(2))).toBeDefined()
})

test('beyond AUTH_FAILURES_MAX failures a source is asked for nobody any more, and told when', async () => {
  await ask(`Bearer ${ALICE}`)
  await fail(AUTH_FAILURES_MAX)
  const refused = await ask(WRONG).catch((error: unknown) => error)
  expect(refused).toMatchObject({ code: 'too_many_failures' })
  const { retryAfterMs } = refused as { retryAfterMs: number }
  expect(retryAfterMs).toBeGreaterThan(AUTH_FAILURES_MS - 5_000)
  expect(retryAfterMs).toBeLessThanOrEqual(AUTH_FAILURES_MS)
  expect(await codeOf(ask(`Bearer ${BOB}`))).toBe('too_many_failures')
  expect(pdp.identified.map(({ token }) => token)).toEqual([digestOf(ALICE)])
  expect(await codeOf(ask(`Bearer ${ALICE}`))).toBe('known')
  expect(await codeOf(ask(`Bearer ${BOB}`, '192.0.2.2'))).toBe('known')
})

test('after AUTH_FAILURES_MS it is asked again', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  try {
    await fail(AUTH_FAILURES_MAX)
    vi.setSystemTime(Date.now() + AUTH_FAILURES_MS - 1_000)
    expect(await codeOf(ask(`Bearer ${ALICE}`))).toBe('too_many_failures')
    vi.setSystemTime(Date.now() + 1_001)
    expect(await codeOf(ask(`Bearer ${ALICE}`))).toBe('known')
  } finally {
    vi.useRealTimers()
  }
})

test.each([
  { one: '2001:db8::1', other: '2001:db8::ffff:1', alike: true },
  { one: '2001:db8::1', other: '2001:db8:0:1::1', alike: false },
  { one: '192.0.2.7', other: '::ffff:192.0.2.7', alike: true },
])('$one and $other are one source: $alike', async ({ one, other, alike }) => {
  await fail(AUTH_FAILURES_MAX, one)
  expect(await codeOf(ask(`Bearer ${ALICE}`, other))).toBe(alike ? 'too_many_failures' : 'known')
})

/** Answers `identify` when it is told to. */
function slowPdp() {
  const waiting: (() => void)[] = []
  const post: TestPdp['port']['post'] = async (...asked) => {
    await new Promise<void>((resolve) => waiting.push(resolve))
    return pdp.port.post(...asked)
  }
  const slow = createIdentities({ ...pdp.port, post }, () => nowMs)
  const failures = createFailures('salt', () => monotonicMs)
  const asking = createCallers({ identities: slow, failures, sourceOf: () => null })
  return {
    waiting,
    asking: (seed: number) => codeOf(asking(requestOf(`Bearer ${testToken(seed)}`))),
  }
}

test('many wrong tokens at once are no more questions than one after the other', async () => {
  const { waiting, asking } = slowPdp()
  pdp.identify = () => ({ grant: null, fault: 'unknown' })
  const asked = Array.from({ length: 200 }, (_, seed) => asking(seed))
  await sleep(10)
  expect(waiting).toHaveLength(AUTH_FAILURES_MAX)
  for (const answer of waiting) answer()
  const codes = await Promise.all(asked)
  expect(codes.filter((code) => code === 'unauthenticated')).toHaveLength(AUTH_FAILURES_MAX)
  expect(codes.filter((code) => code === 'too_many_failures')).toHaveLength(200 - AUTH_FAILURES_MAX)
  expect(pdp.identified).toHaveLength(AUTH_FAILURES_MAX)
})

test('many right tokens at once wait for one another, and none is refused', async () => {
  const { waiting, asking } = slowPdp()
  const asked = Array.from({ length: 200 }, (_, seed) => asking(seed))
  for (let answered = 0; answered < 200; await sleep(1)) {
    for (const answer of waiting.splice(0)) {
      answer()
      answered += 1
    }
  }
  expect(new Set(await Promise.all(asked))).toEqual(new Set(['known']))
})

test('who waits longer than the PDP has time is refused, as while it is away', async () => {
  const { waiting, asking } = slowPdp()
  const asked = Array.from({ length: AUTH_FAILURES_MAX + 5 }, (_, seed) => asking(seed))
  await sleep(10)
  monotonicMs = DECIDE_TIMEOUT_MS
  for (let answered = 0; answered < AUTH_FAILURES_MAX; answered++) waiting[answered]?.()
  const codes = await Promise.all(asked)
  expect(codes.slice(-5)).toEqual(Array.from({ length: 5 }, () => 'pdp_unavailable'))
  expect(codes.slice(0, -5).every((code) => code === 'known')).toBe(true)
})
