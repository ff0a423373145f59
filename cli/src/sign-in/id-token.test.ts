// Getting an ID token at a real OpenID provider: what is asked of it, and which answers are refused before the PDP sees
// anything. The gateway takes whatever it gets.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeJwt } from 'jose'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { loginRequest } from '../../../schemas/admin-api.ts'
import { CLIENTS, type Idp, startIdp } from '../../../test/harness/idp.ts'
import { type RunningHere, startHere } from '../../../test/harness/in-process.ts'
import { addressOf, signIn } from '../../../test/harness/sign-in.ts'
import { type FakeGateway, startFakeGateway } from '../testing.ts'
import { fetchIdToken } from './id-token.ts'

const ME = { user: 'alice', roles: ['viewer'], expiresAt: '2999-01-01T00:00:00.000Z' }
let idp: Idp
let gateway: FakeGateway
let home: string
beforeAll(async () => {
  idp = await startIdp()
  gateway = await startFakeGateway()
})
afterAll(async () => {
  await idp.stop()
  await gateway.close()
})
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cedargate-sign-in-'))
  gateway.answer(
    { on: 'GET /admin/v1/login', answers: { issuer: idp.issuer, clientId: CLIENTS.cli, scope: 'openid groups' } },
    { on: 'POST /admin/v1/sessions', takes: loginRequest, status: 201, answers: { token: 'cgs_new', ...ME } },
  )
}) // biome-ignore format: long lines
afterEach(async () => {
  idp.fault = undefined
  await rm(home, { recursive: true })
})

const env = (more: Record<string, string> = {}) => ({
  CEDARGATE_HOME: home,
  CEDARGATE_URL: gateway.url,
  ...more,
})
const login = (...words: string[]): RunningHere =>
  startHere(['login', '--no-browser', ...words], env())
/** The ID token that the PDP was sent; undefined when it was sent none. */
const sent = (): string | undefined =>
  (gateway.asked[1]?.body as { idToken?: string } | undefined)?.idToken

describe('by a browser', () => {
  test('code, PKCE, state and nonce; the ID token goes to the PDP and nothing else does', async () => {
    const running = login()
    const address = new URL(await addressOf(running))
    const asked = Object.fromEntries(address.searchParams)
    expect(asked).toEqual({
      client_id: CLIENTS.cli,
      response_type: 'code',
      scope: 'openid groups',
      redirect_uri: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/callback$/),
      state: expect.stringMatching(/^[\w-]{43}$/),
      nonce: expect.stringMatching(/^[\w-]{43}$/),
      code_challenge: expect.stringMatching(/^[\w-]{43}$/),
      code_challenge_method: 'S256',
    })
    const page = await fetch(await idp.login('alice', address.href))
    expect({ url: page.url.split('?')[0], status: page.status }).toEqual({ url: asked['redirect_uri'], status: 200 }) // biome-ignore format: long
    const { code, stderr } = await running.ended
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('as alice (viewer)') }) // biome-ignore format: long
    expect(decodeJwt(sent() ?? '')).toMatchObject({ sub: 'alice', aud: CLIENTS.cli, nonce: asked['nonce'] }) // biome-ignore format: long
    expect(gateway.asked.map(({ on, bearer }) => [on, bearer])).toEqual([
      ['GET /admin/v1/login', undefined],
      ['POST /admin/v1/sessions', undefined],
    ])
  })

  test.each<{ what: string; change: (callback: URL) => void; says: RegExp }>([
    { what: 'the answer of another provider (mix-up)', change: (url) => url.searchParams.set('iss', 'https://evil.example.com'), says: /failed: .*"iss"/ },
    { what: 'an answer that names no provider', change: (url) => url.searchParams.delete('iss'), says: /failed: .*"iss"/ },
    { what: 'two codes', change: (url) => url.searchParams.append('code', 'x'), says: /failed: .*"code"/ },
    { what: 'another code', change: (url) => url.searchParams.set('code', 'x'), says: /failed: invalid_grant/ },
    { what: 'a refusal', change: (url) => { url.searchParams.delete('code'); url.searchParams.set('error', 'access_denied'); url.searchParams.set('error_description', 'no\u001b[2J') }, says: /failed: access_denied \(no/ },
  ])('$what ends it', async ({ what, change, says }) => {
    const running = login()
    const callback = new URL(await idp.login('alice', await addressOf(running)))
    change(callback)
    await fetch(callback)
    const { code, stdout, stderr } = await running.ended
    expect({ what, code, stdout, sent: sent() }).toEqual({ what, code: 2, stdout: '', sent: undefined })
    expect(stderr).toMatch(says)
    expect(stderr).not.toContain('\u001b')
    expect(stderr).not.toContain('    at ')
  }) // biome-ignore format: a table

  test('another state is not an answer: it waits on for its own', async () => {
    const running = login()
    const callback = new URL(await idp.login('alice', await addressOf(running)))
    const forged = new URL(callback)
    forged.searchParams.set('state', 'x')
    expect((await fetch(forged)).status).toBe(404)
    await fetch(callback)
    expect(await running.ended).toMatchObject({ code: 0 })
  })

  test('a code is good once: replayed by another, it gives nothing and ends what came of it', async () => {
    const running = login()
    const callback = await idp.login('alice', await addressOf(running))
    await fetch(callback)
    expect(await running.ended).toMatchObject({ code: 0 })
    const second = login()
    const other = new URL(callback)
    const address = new URL(await addressOf(second))
    other.port = new URL(address.searchParams.get('redirect_uri') ?? '').port
    other.searchParams.set('state', address.searchParams.get('state') ?? '')
    gateway.asked.length = 0
    await fetch(other)
    expect(await second.ended).toMatchObject({ code: 2, stderr: expect.stringMatching(/failed: invalid_grant/) }) // biome-ignore format: long
    expect(gateway.asked).toEqual([])
  })

  test('an ID token with another nonce is refused', async () => {
    const running = login()
    const address = new URL(await addressOf(running))
    address.searchParams.set('nonce', 'of-somebody-else')
    await fetch(await idp.login('alice', address.href))
    expect(await running.ended).toMatchObject({ code: 2, stderr: expect.stringMatching(/"nonce"/) })
    expect(sent()).toBeUndefined()
  })

  test('a code that was made for another client’s PKCE is refused', async () => {
    const running = login()
    const address = new URL(await addressOf(running))
    address.searchParams.set('code_challenge', 'A'.repeat(43))
    await fetch(await idp.login('alice', address.href))
    expect(await running.ended).toMatchObject({ code: 2, stderr: expect.stringMatching(/invalid_grant/) }) // biome-ignore format: long
    expect(sent()).toBeUndefined()
  })
})

test('by a code on another device: --device', async () => {
  const running = login('--device')
  const complete = /^or {4}(http\S+)$/m
  await expect.poll(running.stderr, { timeout: 10_000 }).toMatch(complete)
  await idp.approveDevice('alice', complete.exec(running.stderr())?.[1] ?? '')
  const { code, stderr } = await running.ended
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/^open {2}http\S+\/device\ncode {2}\S+\n/) }) // biome-ignore format: long
  expect(decodeJwt(sent() ?? '')).toMatchObject({ sub: 'alice', aud: CLIENTS.cli })
}, 30_000)

const answering = (path: string, status: number, body: object) => {
  idp.fault = (request, response) => {
    if (request.url?.startsWith(path) !== true) return undefined
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    return 'answered'
  }
}
const metadata = (change: object) => {
  const { issuer } = idp
  answering('/.well-known/', 200, { issuer, authorization_endpoint: `${issuer}/auth`, token_endpoint: `${issuer}/token`, ...change })
} // biome-ignore format: long

describe('a provider that is not as it should be', () => {
  test.each<{ what: string; fault: () => void; words?: string[]; says: RegExp }>([
    { what: 'no discovery', fault: () => answering('/.well-known/', 404, {}), says: /failed: unexpected HTTP response status code/ },
    { what: 'the discovery of another', fault: () => metadata({ issuer: 'https://evil.example.com' }), says: /failed: .*issuer/ },
    { what: 'a page that is no web page', fault: () => metadata({ authorization_endpoint: 'file:///etc/passwd' }), says: /`file:\/\/\/etc\/passwd` is not an https URL/ },
    { what: 'a token endpoint in plain text elsewhere', fault: () => metadata({ token_endpoint: 'http://login.example.com/token' }), says: /is not an https URL/ },
    { what: 'no device flow', fault: () => metadata({}), words: ['--device'], says: /has no device flow\nhint: run it without --device/ },
    { what: 'a device flow that refuses', fault: () => answering('/device', 400, { error: 'unauthorized_client' }), words: ['--device'], says: /failed: unauthorized_client/ },
  ])('$what', async ({ fault, words = [], says }) => {
    fault()
    const { code, stderr } = await login(...words).ended
    expect({ code, sent: sent() }).toEqual({ code: 2, sent: undefined })
    expect(stderr).toMatch(says)
    expect(stderr).not.toContain('    at ')
  }) // biome-ignore format: a table

  test('over SSH it is by a code, and that is said; --no-device takes the browser', async () => {
    const ssh = env({ SSH_CONNECTION: '10.0.0.1 50000 10.0.0.2 22' })
    expect(await signIn(idp, 'alice', ssh, '--no-device')).toMatchObject({ code: 0 })
    answering('/device', 400, { error: 'unauthorized_client' })
    expect(await startHere(['login'], ssh).ended).toEqual({ code: 2, stdout: '', stderr: expect.stringMatching(/^this is an SSH session.*--no-device.*\ncedargate: .*unauthorized_client/) }) // biome-ignore format: long
    metadata({})
    expect(await signIn(idp, 'alice', ssh)).toMatchObject({ stderr: expect.not.stringContaining('SSH') }) // biome-ignore format: long
  })

  test('where nothing can listen it is by a code, and that is said', async () => {
    const said: string[] = []
    const sign = () =>
      fetchIdToken({
        login: { issuer: idp.issuer, clientId: CLIENTS.cli, scope: 'openid' },
        device: undefined,
        listen: () => Promise.reject(new Error('no port')),
        say: (line) => said.push(line),
        open: () => {},
      })
    answering('/device', 400, { error: 'unauthorized_client' })
    await expect(sign()).rejects.toThrow('unauthorized_client')
    expect(said).toEqual(['nothing can listen on 127.0.0.1 (no port): signing in by a code'])
    metadata({})
    await expect(sign()).rejects.toThrow(/failed: no port$/)
  })

  test('no ID token', async () => {
    const running = login()
    const callback = await idp.login('alice', await addressOf(running))
    answering('/token', 200, { access_token: 'x', token_type: 'bearer' })
    await fetch(callback)
    expect(await running.ended).toMatchObject({ code: 2, stderr: expect.stringMatching(/failed: .*id_token/) }) // biome-ignore format: long
  })
})
