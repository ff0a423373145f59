// Hostile credentials at the faces of the PDP over a real socket: told apart, counted per source, never a stack trace.

import { hash, randomBytes } from 'node:crypto'
import type { Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createListener } from '../../pdp/src/main.ts'
import { formatToken } from '../../schemas/identifiers.ts'
import { AUTH_FAILURES_MAX, AUTH_FAILURES_MS } from '../../schemas/limits.ts'
import { signInAs } from '../harness/operators.ts'
import { startTestPdp, type TestPdp } from '../harness/pdp.ts'

let pdp: TestPdp
let server: Server
let valid: string
beforeAll(async () => {
  pdp = await startTestPdp()
  valid = (await signInAs(pdp, 'vera', ['viewer']))['authorization'] ?? ''
  server = createListener(pdp.app.fetch)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
})
afterAll(async () => {
  await new Promise((resolve) => server.close(resolve))
  await pdp.stop()
})

/** Sends exactly these header lines from a loopback address of its own; each 127.x.y.z is another source. */
async function send(
  head: readonly string[],
  from: string,
  path = '/admin/v1/whoami',
): Promise<string> {
  const { port } = server.address() as AddressInfo
  const lines = [`GET ${path} HTTP/1.1`, 'Host: 127.0.0.1', 'Connection: close', ...head, '', '']
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect({ port, host: '127.0.0.1', localAddress: from })
    socket.on('data', (data) => {
      answer += data.toString('utf8')
    })
    socket.once('close', () => resolve(answer))
    socket.once('error', (error) => (answer === '' ? reject(error) : undefined))
    socket.setTimeout(5_000, () => socket.destroy(new Error('no answer')))
    socket.write(lines.join('\r\n'))
  })
}

const sha256 = (text: string): string => hash('sha256', text)
const strange = (kind: 'session' | 'pep' | 'operator' | 'grant'): string =>
  formatToken(kind, randomBytes(32), sha256)

test.each<{ name: string; head: () => string[]; status: number; challenge?: string; path?: string }>([
  { name: 'no credential', head: () => [], status: 401, challenge: 'Bearer' },
  { name: 'a token in the query', head: () => [], status: 401, challenge: 'Bearer', path: `/admin/v1/whoami?access_token=${'x'.repeat(43)}` },
  { name: 'another scheme', head: () => ['Authorization: Basic eDp4'], status: 401, challenge: 'Bearer error="invalid_token"' },
  { name: 'an empty token', head: () => ['Authorization: Bearer '], status: 401, challenge: 'Bearer error="invalid_token"' },
  { name: 'a session of another deployment', head: () => [`Authorization: Bearer ${strange('session')}`], status: 401, challenge: 'Bearer error="invalid_token"' },
  { name: 'an operator token of another deployment', head: () => [`Authorization: Bearer ${strange('operator')}`], status: 401, challenge: 'Bearer error="invalid_token"' },
  { name: 'a PEP key of another deployment', head: () => [`Authorization: Bearer ${strange('pep')}`], status: 401, challenge: 'Bearer error="invalid_token"' },
  { name: 'a gateway token', head: () => [`Authorization: Bearer ${strange('grant')}`], status: 401, challenge: 'Bearer error="invalid_token"' },
  { name: 'two Authorization headers', head: () => [`Authorization: ${valid}`, `Authorization: ${valid}`], status: 401, challenge: 'Bearer error="invalid_token"' },
  { name: 'a strange one before the right one', head: () => ['Authorization: Bearer x', `Authorization: ${valid}`], status: 401, challenge: 'Bearer error="invalid_token"' },
  { name: 'a right one before a strange one', head: () => [`Authorization: ${valid}`, 'Authorization: Bearer x'], status: 401, challenge: 'Bearer error="invalid_token"' },
  { name: 'two tokens in one header', head: () => [`Authorization: ${valid}, ${valid}`], status: 401, challenge: 'Bearer error="invalid_token"' },
  { name: 'a token of 15 kB', head: () => [`Authorization: Bearer ${'x'.repeat(15_000)}`], status: 401, challenge: 'Bearer error="invalid_token"' },
  { name: 'a token of 1 MB', head: () => [`Authorization: Bearer ${'x'.repeat(1_000_000)}`], status: 401, challenge: 'Bearer error="invalid_token"' },
  { name: 'a cookie of 1 MB', head: () => [`Cookie: a=${'x'.repeat(1_000_000)}`], status: 431 },
  { name: 'a NUL in the token', head: () => [`Authorization: ${valid}\0`], status: 401, challenge: 'Bearer error="invalid_token"' },
  { name: 'a header that is none', head: () => ['Authorization'], status: 400 },
  { name: 'the right one', head: () => [`Authorization: ${valid}`], status: 200 },
  { name: 'the right one, spelt otherwise', head: () => [`authorization: ${valid.replace('Bearer', 'bearer')}`], status: 200 },
])('$name: $status', async ({ head, status, challenge, path }) => {
  const answer = await send(head(), '127.0.0.1', path)
  expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
  const said = /^www-authenticate: (.*)\r$/im.exec(answer)?.[1]
  expect(said).toBe(challenge)
  const isSaid = /\r\n\r\n\{"code":"unauthenticated","message":".+"\}$/.test(answer)
  expect(isSaid).toBe(status === 401)
  expect(answer).not.toMatch(/\bat .*:\d+:\d+|node:|\.ts\b/)
}) // biome-ignore format: a table

test('failures of one source beyond the limit are answered 429; a valid session and other sources go on', async () => {
  const source = '127.0.1.1'
  const failing = [`Authorization: Bearer ${strange('session')}`]
  for (let count = 1; count <= AUTH_FAILURES_MAX; count++)
    expect(await send(count % 2 === 0 ? failing : [], source)).toMatch(/^HTTP\/1\.1 401 /)
  const refused = await send(failing, source)
  expect(refused).toMatch(/^HTTP\/1\.1 429 /)
  const seconds = Number(/^retry-after: (\d+)\r$/im.exec(refused)?.[1])
  expect(seconds).toBeGreaterThan(0)
  expect(seconds).toBeLessThanOrEqual(AUTH_FAILURES_MS / 1_000)
  expect(await send(failing, source, '/pep/v1/servers')).toMatch(/^HTTP\/1\.1 429 /)
  expect(await send([`Authorization: ${valid}`], source)).toMatch(/^HTTP\/1\.1 200 /)
  expect(await send(failing, '127.0.1.2')).toMatch(/^HTTP\/1\.1 401 /)
  const forged = [...failing, 'X-Forwarded-For: 127.0.1.3', 'Forwarded: for=127.0.1.3']
  expect(await send(forged, source)).toMatch(/^HTTP\/1\.1 429 /)
})

test('what may not be done counts as no failure to authenticate', async () => {
  const source = '127.0.2.1'
  for (let count = 0; count <= AUTH_FAILURES_MAX; count++)
    expect(await send([`Authorization: ${valid}`], source, '/admin/v1/acts')).toMatch(
      /^HTTP\/1\.1 403 /,
    )
  expect(await send([], source)).toMatch(/^HTTP\/1\.1 401 /)
})

test('callers without a socket are one source', async () => {
  const ask = () => pdp.app.request('/admin/v1/whoami')
  for (let count = 1; count <= AUTH_FAILURES_MAX; count++) expect((await ask()).status).toBe(401)
  expect((await ask()).status).toBe(429)
  expect((await pdp.app.request('/admin/v1/whoami', { headers: { authorization: valid } })).status).toBe(200)
  const bootstrap = await pdp.app.request('/admin/v1/bootstrap', { method: 'POST', body: '{"token":"x","user":"eve"}' })
  expect(bootstrap.status).toBe(429)
}) // biome-ignore format: long lines
