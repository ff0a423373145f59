// New access tokens from a real authorization server: what is taken, what is refused for good, what stays open, and that
// nothing goes anywhere else or twice.
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { TOKEN_LIFETIME_DEFAULT_MS } from '../../../../schemas/limits.ts'
import {
  AS_CLIENT,
  type AuthorizationServer,
  startAuthorizationServer,
} from '../../../../test/harness/authorization-server.ts'
import { connectAccount, type Kept, keepClients } from '../../../../test/harness/connected.ts'
import { notingDialer } from '../../../../test/harness/dial.ts'
import { startProtectedServer } from '../../../../test/harness/protected-server.ts'
import type { Renewed } from '../renewal.ts'
import type { RenewableSecret } from '../secret.ts'
import { type Discover, type OauthTarget, openDiscover } from './discover.ts'
import { OauthError } from './oauth-error.ts'
import { createRenew, type ToRenew } from './renew.ts'

type Connected = Extract<RenewableSecret, { kind: 'oauth' }>
const SERVER_URL = 'https://files.test/mcp'
const PUBLIC_URL = 'http://127.0.0.1:8181'

let as: AuthorizationServer
let discover: Discover
let kept: Kept
let now = Date.now()
const clock = { now: () => now, monotonic: () => performance.now() }

beforeAll(async () => {
  as = await startAuthorizationServer()
})
afterAll(() => as.stop())
beforeEach(() => {
  now = Date.now()
  as.lie = {}
  as.fault = undefined
  as.rotates = true
  as.tokenDelayMs = 0
  as.lifetimeSeconds = 300
  discover = openDiscover({ dial: notingDialer(), clock })
  kept = keepClients()
})

type Changes = Record<string, unknown>
function target(changes: Changes = {}, serverUrl = SERVER_URL): OauthTarget {
  const declaration = { kind: 'oauth', issuer: as.issuer, per: 'user', required: true, private: false, ...changes }
  return { server: 'files', serverUrl, private: false, declaration: declaration as never }
} // biome-ignore format: short
const ownTarget = (changes: Changes = {}) =>
  target({ kind: 'client_credentials', scopes: ['read'], ...changes })

async function connect(): Promise<Connected> {
  const secret = await connectAccount(as, { ...kept, discover, publicUrl: PUBLIC_URL }, target())
  as.tokenRequests.length = 0
  return secret
}

function renew(secret: RenewableSecret, changes: Partial<ToRenew> = {}): Promise<Renewed> {
  const { forgetClient } = kept
  const work = createRenew({ discover, clock, forgetClient })
  const open = new AbortController().signal
  const asked = secret.kind === 'oauth' ? target() : ownTarget()
  return work({ ...asked, secret, signal: open, ...changes })
}

async function renewed(secret: RenewableSecret, changes: Partial<ToRenew> = {}) {
  const done = await renew(secret, changes)
  if (done.kind === 'refused') throw new Error(done.why)
  if (done.secret.token === null) throw new Error('no token')
  return { ...done, token: done.secret.token }
}

const own = (changes: { issuer?: string; clientSecret?: string } = {}): RenewableSecret => ({
  kind: 'client_credentials',
  issuer: as.issuer,
  clientId: AS_CLIENT.id,
  clientSecret: AS_CLIENT.secret,
  token: null,
  ...changes,
})

/** The token endpoint answers this, once asked. */
function answers(status: number, body: unknown, headers: Record<string, string> = {}): void {
  as.fault = (request, response) => {
    if (request.url !== '/token') return undefined
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text)
    return 'answered'
  }
}

test('a token is renewed with its resource, its client and its refresh token, which is another one then', async () => {
  const secret = await connect()
  const done = await renewed(secret)
  expect(done).toMatchObject({ kind: 'renewed', issuer: as.issuer, scopes: ['read'] })
  const [{ form } = { form: new URLSearchParams() }, ...others] = as.tokenRequests
  expect(others).toEqual([])
  expect(Object.fromEntries(form)).toEqual({
    grant_type: 'refresh_token',
    refresh_token: secret.token.refreshToken,
    resource: SERVER_URL,
    client_id: secret.client.clientId,
  })
  expect(done.token.refreshToken).not.toBe(secret.token.refreshToken)
  expect(done.secret).toMatchObject({ client: secret.client, resource: SERVER_URL })
  expect(await as.claimsOf(done.token.accessToken, SERVER_URL)).toMatchObject({ sub: 'alice' })
  expect(done.token.expiresAt).toBe(now + 300_000)
  expect((await renewed(done.secret)).token.accessToken).not.toBe(done.token.accessToken)
})

test('a refresh token that is not replaced goes on', async () => {
  const secret = await connect()
  answers(200, { access_token: 'the-next-token', token_type: 'Bearer', expires_in: 60 })
  const done = await renewed(secret)
  expect(done.token).toEqual({
    accessToken: 'the-next-token',
    refreshToken: secret.token.refreshToken,
    expiresAt: now + 60_000,
    scope: 'read',
  })
})

test('a refresh token that was used up is refused, and sent no second time', async () => {
  const secret = await connect()
  await renewed(secret)
  as.tokenRequests.length = 0
  expect(await renew(secret)).toEqual({
    kind: 'refused',
    why: `${as.issuer} refuses it (invalid_grant)`,
  })
  expect(as.tokenRequests.length).toBe(1)
})

test('what was revoked there is refused for good', async () => {
  const secret = await connect()
  as.revokeAll()
  expect(await renew(secret)).toMatchObject({ kind: 'refused', why: /invalid_grant/ })
})

test('a token is renewed by the client that got it, whatever client there is now', async () => {
  const secret = await connect()
  kept.clients.clear()
  await connectAccount(as, { ...kept, discover, publicUrl: PUBLIC_URL }, target())
  as.tokenRequests.length = 0
  await renewed(secret)
  expect(as.tokenRequests[0]?.form.get('client_id')).toBe(secret.client.clientId)
  expect(kept.clients.get('files')?.clientId).not.toBe(secret.client.clientId)
})

test('a client that is not known there any more is forgotten, if it registered itself', async () => {
  const secret = await connect()
  answers(401, { error: 'invalid_client' }, { 'www-authenticate': 'Basic realm="as"' })
  expect(await renew(secret)).toMatchObject({ kind: 'refused', why: /invalid_client/ })
  expect(kept.clients.size).toBe(0)
})

test.each<{ name: string; changes: Changes; serverUrl?: string; why: RegExp }>([
  { name: 'another issuer', changes: { issuer: 'https://as.test' }, why: /server.yaml names https:\/\/as.test/ },
  { name: 'another server', changes: {}, serverUrl: 'https://evil.test/mcp', why: /it is for https:\/\/files.test/ },
  { name: 'another path', changes: {}, serverUrl: 'https://files.test/other', why: /it is for/ },
  { name: 'another resource', changes: { resource: 'https://files.test/' }, why: /it is for/ },
  { name: 'another client', changes: { clientId: 'another' }, why: /another client/ },
  { name: 'another kind', changes: { kind: 'client_credentials' }, why: /another kind/ },
])('when server.yaml names $name, a token of before is sent nowhere', async ({ changes, serverUrl, why }) => {
  const secret = await connect()
  // A server.yaml may be mended: nothing is ended by it.
  await expect(renew(secret, target(changes, serverUrl))).rejects.toThrow(why)
  expect(as.tokenRequests).toEqual([])
}) // biome-ignore format: one change a line

test('a token for another server is sent nowhere, though server.yaml states its resource', async () => {
  const resource = 'https://victim.test/'
  const secret = { ...(await connect()), resource }
  await expect(renew(secret, target({ resource }))).rejects.toThrow(/it is for https:\/\/victim.test/)
  await expect(renew(own(), ownTarget({ resource }))).rejects.toThrow(/not that of the server files/)
  expect(as.tokenRequests).toEqual([])
}) // biome-ignore format: short

test('a token goes to the issuer that gave it, whatever the server names now', async () => {
  const server = await startProtectedServer(as, { url: 'http://127.0.0.1:1' }, { mount: true })
  server.lie = { authorization_servers: ['https://evil.test'] }
  const stated = target({}, server.url)
  const secret = await connectAccount(as, { ...kept, discover, publicUrl: PUBLIC_URL }, stated)
  const unstated = target({ issuer: undefined }, server.url)
  expect(await renewed(secret, unstated)).toMatchObject({ issuer: as.issuer })
  await server.stop()
})

test('without a refresh token it ends', async () => {
  const secret = await connect()
  const token = { ...secret.token, refreshToken: null }
  expect(await renew({ ...secret, token })).toMatchObject({ kind: 'refused', why: /has expired/ })
  expect(as.tokenRequests).toEqual([])
})

test('for itself, the gateway asks with resource and scope, and keeps no refresh token', async () => {
  const done = await renewed(own())
  expect(done).toMatchObject({ issuer: as.issuer, scopes: ['read'], secret: { clientId: AS_CLIENT.id } })
  const { form, authorization } = as.tokenRequests.at(-1) ?? {}
  expect(Object.fromEntries(form ?? [])).toEqual({
    grant_type: 'client_credentials',
    resource: SERVER_URL,
    scope: 'read',
  })
  expect(authorization).toMatch(/^Basic /)
  expect(done.token.refreshToken).toBeNull()
  answers(200, { access_token: 'the-next-token', token_type: 'Bearer', refresh_token: 'unasked-for-token' })
  expect((await renewed(own())).token).toMatchObject({ accessToken: 'the-next-token', refreshToken: null })
}) // biome-ignore format: short

test('a wrong secret of the gateway is refused for good', async () => {
  const wrong = own({ clientSecret: 'not-the-secret' })
  expect(await renew(wrong)).toMatchObject({ kind: 'refused', why: /invalid_client/ })
})

test('the secret of the gateway goes to no other issuer than it was set for', async () => {
  as.tokenRequests.length = 0
  await expect(renew(own({ issuer: 'https://as.test' }))).rejects.toThrow(
    /it was set for https:\/\/as\.test, and the authorization server is http:.* now/,
  )
  expect(as.tokenRequests).toEqual([])
})

test.each(['invalid_scope', 'invalid_target'])(
  '%s is the fault of a server.yaml, which may be mended: it ends nothing',
  async (error) => {
    const secret = await connect()
    answers(400, { error })
    await expect(renew(own())).rejects.toThrow(OauthError)
    await expect(renew(secret)).rejects.toThrow(OauthError)
  },
)

test('a body is used where the authorization server takes no Basic', async () => {
  as.lie = { token_endpoint_auth_methods_supported: ['client_secret_post'] }
  await renew(own()).catch(() => undefined)
  expect(as.tokenRequests.at(-1)).toMatchObject({ authorization: undefined })
  expect(as.tokenRequests.at(-1)?.form.get('client_secret')).toBe(AS_CLIENT.secret)
})

const CANARY = 'canary-that-nobody-may-read'
test.each<{ name: string; status: number; body: unknown; headers?: Record<string, string> }>([
  { name: '500', status: 500, body: '' },
  { name: '503 with an error in it', status: 503, body: { error: 'invalid_grant' } },
  { name: '429 with an error in it', status: 429, body: { error: 'invalid_grant' } },
  { name: 'temporarily_unavailable', status: 400, body: { error: 'temporarily_unavailable' } },
  { name: 'an error of its own', status: 400, body: { error: CANARY, error_description: CANARY } },
  { name: 'no JSON', status: 200, body: `<html>${CANARY}` },
  { name: 'a redirect', status: 307, body: '', headers: { location: 'http://127.0.0.1:1/' } },
  { name: 'no token', status: 200, body: { token_type: 'Bearer', refresh_token: CANARY } },
  { name: 'a token of another type', status: 200, body: { access_token: CANARY, token_type: 'dpop' } },
  { name: 'a token with a line break', status: 200, body: { access_token: `${CANARY}\r\nx: y`, token_type: 'Bearer' } },
  { name: 'a token that is too short to be told from text', status: 200, body: { access_token: 'x', token_type: 'Bearer' } },
  { name: 'a refresh token of a mebibyte', status: 200, body: { access_token: CANARY, token_type: 'Bearer', refresh_token: 'x'.repeat(200_000) } },
  { name: 'a negative lifetime', status: 200, body: { access_token: CANARY, token_type: 'Bearer', expires_in: -1 } },
  { name: 'a scope that is no text', status: 200, body: { access_token: CANARY, token_type: 'Bearer', scope: { a: CANARY } } },
])('$name leaves it open, is asked once, and nothing of it is told', async ({ status, body, headers }) => {
  const secret = await connect()
  answers(status, body, headers)
  const error: unknown = await renew(secret).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(OauthError)
  const told = `${(error as Error).message} ${(error as Error).stack} ${JSON.stringify(error)} ${String((error as Error).cause)}`
  expect(told).not.toContain(CANARY)
  expect(told).not.toContain(secret.token.refreshToken)
  expect(as.tokenRequests.length).toBe(1)
}) // biome-ignore format: one answer a line

test.each([
  { expires_in: undefined, refresh: 'a-refresh-token', wantMs: TOKEN_LIFETIME_DEFAULT_MS },
  { expires_in: 0, refresh: 'a-refresh-token', wantMs: 1_000 },
  { expires_in: 1e12, refresh: 'a-refresh-token', wantMs: 366 * 86_400_000 },
  { expires_in: '120', refresh: 'a-refresh-token', wantMs: 120_000 },
])('expires_in $expires_in is used for $wantMs ms', async ({ expires_in, refresh, wantMs }) => {
  const secret = await connect()
  answers(200, { access_token: 'the-next-token', token_type: 'bearer', expires_in, refresh_token: refresh })
  expect((await renewed(secret)).token.expiresAt).toBe(now + wantMs)
}) // biome-ignore format: short

test.each([
  { scope: 'read write', want: ['read', 'write'] },
  { scope: '', want: ['read'] },
  { scope: 'a "quoted" one', want: ['read'] },
  { scope: '\ud800', want: ['read'] },
  { scope: 'x'.repeat(5_000), want: ['read'] },
])('of the scope $scope, $want is kept', async ({ scope, want }) => {
  const secret = await connect()
  answers(200, { access_token: 'the-next-token', token_type: 'Bearer', scope })
  expect((await renewed(secret)).scopes).toEqual(want)
})

test('one that is slow is left when its caller gives up', async () => {
  const secret = await connect()
  as.tokenDelayMs = 500
  const signal = AbortSignal.timeout(50)
  await expect(renew(secret, { signal })).rejects.toThrow('does not answer in time')
  await wait(600)
  expect(as.tokenRequests.length).toBe(1)
})

test('one that cannot be reached leaves it open', async () => {
  const secret = await connect()
  as.fault = (_request, response) => {
    response.destroy()
    return 'answered'
  }
  discover = openDiscover({ dial: notingDialer(), clock })
  await expect(renew(secret)).rejects.toThrow(/cannot be reached/)
})

test('one that lies about its issuer gets no token', async () => {
  const secret = await connect()
  as.lie = { issuer: 'https://as.test' }
  discover = openDiscover({ dial: notingDialer(), clock })
  await expect(renew(secret)).rejects.toThrow('names another issuer')
  expect(as.tokenRequests).toEqual([])
})
