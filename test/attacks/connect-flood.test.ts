// What somebody without any credential can cause by links and answers of their own making: one question to the identity
// provider for all, few lines in the log, and an end to it.
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { OAUTH_FAILURE_AGE_MS_MAX, OAUTH_METADATA_AGE_MS_MAX } from '../../schemas/limits.ts'
import { type Connecting, startConnecting } from '../harness/connecting.ts'

let it: Connecting
let lines: string[] = []
const write = (chunk: unknown, _encoding: string, done: () => void): void => {
  lines.push(String(chunk))
  done()
}
const log = pino({ level: 'trace' }, new Writable({ write }))
beforeAll(async () => {
  it = await startConnecting({ log, authFailuresMax: 3 })
  await it.link('alice')
})
afterAll(() => it.stop())

let asked: string[] = []
let isDown = false
beforeEach(() => {
  it.shiftMs += OAUTH_METADATA_AGE_MS_MAX
  isDown = false
  asked = []
  lines = []
  it.idp.fault = (request, response) => {
    asked.push((request.url ?? '').split('?')[0] ?? '')
    if (!isDown) return undefined
    response.writeHead(503).end()
    return 'answered'
  }
})

const open = async (index: number) =>
  (await it.browser().get(`/connect/no-such-server-${index}`)).status
const hundred = Array.from({ length: 100 }, (_, index) => index)

test('a hundred links ask the identity provider once, in turn or together', async () => {
  for (const index of hundred) expect(await open(index)).toBe(303)
  expect(asked).toEqual(['/.well-known/oauth-authorization-server'])
  it.shiftMs += OAUTH_METADATA_AGE_MS_MAX
  await Promise.all(hundred.map(open))
  expect(asked).toHaveLength(2)
  expect(lines).toEqual([])
  const metrics = await (await it.pdp.app.request('/metrics')).text()
  expect(metrics).not.toContain('no-such-server')
})

test('nor more often when it does not answer, and the log says so once', async () => {
  isDown = true
  const statuses = await Promise.all(hundred.map(open))
  expect(new Set(statuses)).toEqual(new Set([502]))
  const first = asked.length
  for (const index of hundred) await open(index)
  expect(asked).toHaveLength(first)
  expect(lines).toHaveLength(1)
  isDown = false
  it.shiftMs += OAUTH_FAILURE_AGE_MS_MAX
  expect(await open(0)).toBe(303)
})

test('codes that it never gave are asked about so often, and then no more', async () => {
  const statuses: number[] = []
  for (let count = 0; count < 6; count++) {
    const browser = it.browser()
    const { location } = await browser.get('/connect/everything')
    const state = new URL(location).searchParams.get('state') ?? ''
    const answer = `/oauth/signed-in?code=forged-${count}&state=${state}&iss=${it.idp.issuer}`
    statuses.push((await browser.get(answer)).status)
  }
  expect(statuses).toEqual([502, 502, 502, 429, 429, 429])
  expect(asked.filter((path) => path === '/token')).toHaveLength(3)
  expect(lines).toHaveLength(3)
})
