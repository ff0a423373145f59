// Keys of a provider: fetched once, rotated, gone, redirected, flooded. A real provider, and a clock that the test moves.
import type { ServerResponse } from 'node:http'
import { exportJWK, generateKeyPair, type JWK } from 'jose'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { JWKS_AGE_MS_MAX, JWKS_BYTES_MAX, JWKS_COOLDOWN_MS } from '../../schemas/limits.ts'
import { type Idp, startIdp } from '../harness/idp.ts'
import { type Judge, judgeOf } from '../harness/idp-judge.ts'

let idp: Idp
let judge: Judge
let evilKey: JWK

beforeAll(async () => {
  idp = await startIdp()
  judge = judgeOf(idp)
  evilKey = await exportJWK((await generateKeyPair('ES256', { extractable: true })).privateKey)
})
afterAll(() => idp.stop())
beforeEach(() => judge.reset())

const jwksAsked = () => idp.asked.filter((one) => one === 'GET /jwks').length

test('are fetched once for many tokens, at the same time and later', async () => {
  const tokens = await Promise.all([1, 2, 3].map(() => idp.accessToken()))
  expect(await Promise.all(tokens.map((token) => judge.faultOf(token)))).toEqual([
    'good',
    'good',
    'good',
  ])
  expect(await judge.faultOf(await idp.accessToken())).toBe('good')
  expect(jwksAsked()).toBe(1)
})

test('rotate without a restart; a token of the old ones is good until the keys are looked at again', async () => {
  const old = await idp.accessToken()
  expect(await judge.faultOf(old)).toBe('good')
  await idp.rotateKeys()
  const fresh = await idp.accessToken()
  expect(await judge.faultOf(fresh)).toBe('unknown') // We asked just now.
  expect(await judge.faultOf(old)).toBe('good')
  judge.shiftMs = JWKS_COOLDOWN_MS
  expect(await judge.faultOf(fresh)).toBe('good')
  expect(await judge.faultOf(old)).toBe('unknown')
})

test('a flood of unknown key ids asks the provider once a cooldown', async () => {
  expect(await judge.faultOf(await idp.accessToken())).toBe('good')
  const flood = async () => {
    for (let i = 0; i < 20; i++)
      await judge.faultOf(await idp.sign(judge.claims(), { kid: `k${i}` }, evilKey))
  }
  await flood()
  expect(jwksAsked()).toBe(1)
  judge.shiftMs = JWKS_COOLDOWN_MS
  await flood()
  expect(jwksAsked()).toBe(2)
})

test('a provider that is down: what was verified stays good, what is new is refused, nobody hammers it', async () => {
  const [known, fresh] = [await idp.accessToken(), await idp.accessToken()]
  const lives = judge.settings()
  expect(await judge.faultOf(known, lives)).toBe('good')
  idp.fault = (_request, response) => {
    response.socket?.destroy()
    return 'answered'
  }
  judge.shiftMs = 60_000
  expect(await judge.faultOf(known, lives)).toBe('good')
  expect(await judge.faultOf(fresh, lives)).toBe('good') // Its key is known.
  const long = await idp.sign(judge.claims({ exp: judge.seconds() + 3600 }))
  expect(await judge.faultOf(long, lives)).toBe('good')
  idp.asked.length = 0
  judge.shiftMs = JWKS_AGE_MS_MAX + 60_000
  for (let i = 0; i < 5; i++) expect(await judge.faultOf(long, lives)).toBe('unknown')
  expect(idp.asked.length).toBe(1)
  idp.fault = undefined
  judge.shiftMs += JWKS_COOLDOWN_MS
  expect(await judge.faultOf(long, lives)).toBe('good')
})

test('are renewed before they are too old', async () => {
  const token = await idp.sign(judge.claims({ exp: judge.seconds() + 3600 }))
  expect(await judge.faultOf(token)).toBe('good')
  judge.shiftMs = JWKS_AGE_MS_MAX / 2
  expect(await judge.faultOf(token)).toBe('good')
  await expect.poll(jwksAsked).toBe(2)
})

test('that come by a redirect, or as a flood, are none', async () => {
  const token = await idp.accessToken()
  const keys = await (await fetch(`${idp.issuer}/jwks`)).text()
  const padded = keys.replace('{', `{"x":"${'x'.repeat(JWKS_BYTES_MAX)}",`)
  const answers: ((response: ServerResponse) => unknown)[] = [
    (response) => response.writeHead(302, { location: `${idp.issuer}/jwks?again` }).end(),
    (response) => response.end(padded),
    (response) => response.writeHead(500).end(keys),
    (response) => response.end('<html>'),
    (response) => response.end('null'),
    (response) => response.end('{"keys":[{"kty":"oct","k":"AAAA"}]}'),
  ]
  for (const answer of answers) {
    judge.reset()
    idp.fault = (request, response) => {
      if (request.url !== '/jwks') return undefined
      answer(response)
      return 'answered'
    }
    expect(await judge.faultOf(token)).toBe('unknown')
  }
})

test('other settings forget what was verified', async () => {
  const token = await idp.accessToken()
  expect(await judge.faultOf(token)).toBe('good')
  expect(await judge.faultOf(token, judge.settings({ audience: 'https://new.test/' }))).toBe(
    'wrong_audience',
  )
  expect(await judge.faultOf(token, judge.settings({ clients: {} }))).toBe('client_not_allowed')
  expect(await judge.faultOf(token, judge.settings())).toBe('good')
})
