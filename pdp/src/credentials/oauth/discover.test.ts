// Which authorization server is a server's, asked of a real one and of a server that demands its tokens: what is believed,
// and where it may lead.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  OAUTH_ANSWER_BYTES_MAX,
  OAUTH_FAILURE_AGE_MS_MAX,
  OAUTH_METADATA_AGE_MS_MAX,
} from '../../../../schemas/limits.ts'
import {
  type AuthorizationServer,
  startAuthorizationServer,
} from '../../../../test/harness/authorization-server.ts'
import { type Dialed, notingDialer } from '../../../../test/harness/dial.ts'
import {
  type ProtectedServer,
  startProtectedServer,
} from '../../../../test/harness/protected-server.ts'
import { type OauthTarget, openDiscover } from './discover.ts'

let as: AuthorizationServer
/** Of the origin of the authorization server, and of its own. */
let server: ProtectedServer
let apart: ProtectedServer
let dialed: Dialed[]
let nowMs = 0

beforeAll(async () => {
  as = await startAuthorizationServer()
  server = await startProtectedServer(as, { url: 'http://127.0.0.1:1' }, { mount: true })
  apart = await startProtectedServer(as, { url: 'http://127.0.0.1:1' })
})
afterAll(() => Promise.all([server.stop(), apart.stop(), as.stop()]))

const challenge = () =>
  `resource_metadata="${as.issuer}/.well-known/oauth-protected-resource/mcp", scope="read"`
beforeEach(() => {
  dialed = []
  nowMs = 0
  as.lie = {}
  as.fault = undefined
  for (const one of [server, apart]) one.lie = {}
  server.challenge = challenge()
})

const clock = { now: () => Date.now(), monotonic: () => nowMs }
const open = () => openDiscover({ dial: notingDialer(dialed), clock })

function target(changes: Partial<OauthTarget['declaration']> = {}, serverUrl = server.url): OauthTarget {
  const declaration = { kind: 'oauth', per: 'user', required: true, private: false, ...changes }
  return { server: 'files', serverUrl, private: false, declaration: declaration as never }
} // biome-ignore format: one call a line

const paths = () => dialed.map(({ url }) => new URL(url).pathname)

test('where server.yaml states issuer and scopes, or a token is bound to one, the server is not asked', async () => {
  const stated = target({ issuer: as.issuer, scopes: ['write'] }, apart.url)
  const at = { issuer: as.issuer, resource: apart.url }
  expect(await open()(stated)).toMatchObject({ ...at, scopes: ['write'] })
  expect(await open()(target({ issuer: as.issuer }, apart.url), as.issuer)).toMatchObject({
    ...at,
    scopes: null,
  })
  const metadata = '/.well-known/oauth-authorization-server'
  expect(paths()).toEqual([metadata, metadata])
})

test('of a server whose issuer is stated its scopes are believed, if it names the same, and nothing else', async () => {
  const of = (url: string) => open()(target({ issuer: as.issuer }, url))
  expect(await of(server.url)).toMatchObject({ issuer: as.issuer, scopes: ['read'] })
  server.lie = { authorization_servers: ['https://evil.test'] }
  expect(await of(server.url)).toMatchObject({ issuer: as.issuer, scopes: null })
  expect(await of('http://127.0.0.1:1/mcp')).toMatchObject({ issuer: as.issuer, scopes: null })
  expect(dialed.map(({ url }) => url).join()).not.toContain('evil.test')
})

test('else the challenge of the server says it, with what it needs', async () => {
  const found = await open()(target())
  expect(found).toMatchObject({ issuer: as.issuer, resource: server.url, scopes: ['read'] })
  expect(paths()).toEqual([
    '/mcp',
    '/.well-known/oauth-protected-resource/mcp',
    '/.well-known/oauth-authorization-server',
  ])
})

test('a server without a challenge is asked at the well-known places', async () => {
  server.challenge = ''
  server.lie = { scopes_supported: ['read', 'write'] }
  expect(await open()(target())).toMatchObject({ issuer: as.issuer, scopes: ['read', 'write'] })
})

test('what server.yaml says of scopes and resource counts', async () => {
  const found = await open()(target({ scopes: ['write'], resource: `${as.issuer}/` }))
  expect(found).toMatchObject({ resource: `${as.issuer}/`, scopes: ['write'] })
})

test('the resource of the metadata is asked for where it covers the url', async () => {
  server.lie = { resource: as.issuer }
  expect((await open()(target())).resource).toBe(as.issuer)
})

type Lie = {
  name: string
  lie?: () => Record<string, unknown>
  as?: () => Record<string, unknown>
  challenge?: () => string
  want: RegExp
}
test.each<Lie>([
  { name: 'metadata of another resource', lie: () => ({ resource: 'https://other.test/mcp' }), want: /that of another resource/ },
  { name: 'metadata of a deeper path', lie: () => ({ resource: `${server.url}/deeper` }), want: /that of another resource/ },
  { name: 'no authorization server', lie: () => ({ authorization_servers: [] }), want: /names no authorization server.*`credential.issuer`/ },
  { name: 'an authorization server at a private address', lie: () => ({ authorization_servers: [`http://127.0.0.1:${new URL(apart.url).port}`] }), want: /may not be used/ },
  { name: 'one behind a password', lie: () => ({ authorization_servers: ['https://a:b@as.test'] }), want: /may not be used/ },
  { name: 'one that is no URL', lie: () => ({ authorization_servers: ['file:///etc/passwd'] }), want: /may not be used|answers what it may not/ },
  { name: 'metadata elsewhere in the private network', challenge: () => `resource_metadata="http://127.0.0.1:1/x"`, want: /may not be used/ },
  { name: 'another issuer', as: () => ({ issuer: 'https://as.test' }), want: /names another issuer/ },
  { name: 'an issuer that differs by a slash', as: () => ({ issuer: `${as.issuer}/` }), want: /names another issuer/ },
  { name: 'no PKCE', as: () => ({ code_challenge_methods_supported: undefined }), want: /PKCE with S256/ },
  { name: 'plain PKCE alone', as: () => ({ code_challenge_methods_supported: ['plain'] }), want: /PKCE with S256/ },
  { name: 'a token endpoint in the private network', as: () => ({ token_endpoint: 'http://10.0.0.1/token' }), want: /an endpoint of .* may not be used/ },
  { name: 'an authorization endpoint that is a script', as: () => ({ authorization_endpoint: 'javascript:alert(1)' }), want: /may not be used|answers what it may not/ },
  { name: 'the page of somebody else', as: () => ({ authorization_endpoint: 'https://honest.test/authorize' }), want: /sends people to a page of another origin; .*`credential.issuer`/ },
  { name: 'the page of another port', as: () => ({ authorization_endpoint: `http://127.0.0.1:${new URL(apart.url).port}/x` }), want: /may not be used|of another origin/ },
  { name: 'a terminal escape in the issuer', lie: () => ({ authorization_servers: [`${as.issuer}/\u001b]0;owned\u0007x`] }), want: /^the issuer is no plain URL$/ },
  { name: 'a letter that is no ASCII in the issuer', lie: () => ({ authorization_servers: ['https://аpple.test'] }), want: /^the issuer is no plain URL$/ },
  { name: 'an issuer of a kibibyte', lie: () => ({ authorization_servers: [`${as.issuer}/${'x'.repeat(1024)}`] }), want: /^the issuer is no plain URL$/ },
  { name: 'an escape in an endpoint', as: () => ({ token_endpoint: `${as.issuer}/\u001b[2J` }), want: /is no plain URL$/ },
  { name: 'an escape in a scope', lie: () => ({ scopes_supported: ['read', '\u001b[2J'] }), challenge: () => '', want: /holds what is no scope/ },
  { name: 'a direction mark in a scope', lie: () => ({ scopes_supported: ['\u202edaer'] }), challenge: () => '', want: /holds what is no scope/ },
  { name: 'an escape in the resource', lie: () => ({ resource: `${server.url}?\u001b[2J` }), want: /holds what is no scope or no resource/ },
  { name: 'a secret as the host of an endpoint', as: () => ({ token_endpoint: 'http://a-secret-0123.test/' }), want: /^an endpoint of \S+ may not be used: it is not dialled over http/ },
  { name: 'a registration endpoint in the clear', as: () => ({ registration_endpoint: 'http://as.test/reg' }), want: /may not be used/ },
])('$name is refused', async (row) => {
  server.lie = row.lie?.() ?? {}
  as.lie = row.as?.() ?? {}
  server.challenge = row.challenge?.() ?? challenge()
  await expect(open()(target())).rejects.toThrow(row.want)
}) // biome-ignore format: one lie a line

test('an issuer that server.yaml states may have its page elsewhere', async () => {
  const page = 'https://login.elsewhere.test/authorize'
  as.lie = { authorization_endpoint: page }
  const found = await open()(target({ issuer: as.issuer }))
  expect(found.metadata.authorization_endpoint).toBe(page)
  const own = { kind: 'client_credentials' } as const
  expect((await open()(target(own))).issuer, 'nobody is sent to it').toBe(as.issuer)
})

test('a resource that is not that of the server is asked for nowhere', async () => {
  const elsewhere = target({ resource: 'https://victim.test/', issuer: as.issuer })
  await expect(open()(elsewhere)).rejects.toThrow('is not that of the server files')
  const deeper = target({ resource: `${server.url}/deeper`, issuer: as.issuer })
  await expect(open()(deeper)).rejects.toThrow('is not that of the server files')
})

test('an issuer that server.yaml spells with one slash more is another', async () => {
  await expect(open()(target({ issuer: `${as.issuer}/` }))).rejects.toThrow('names another issuer')
})

test('the dialer is told what the bundle states, and nothing that was discovered', async () => {
  await open()(target())
  expect(new Set(dialed.flatMap(({ origins }) => origins))).toEqual(new Set([as.issuer]))
  dialed.length = 0
  as.lie = { token_endpoint: 'https://elsewhere.test/token' }
  const found = await open()(target({ issuer: as.issuer }, 'https://files.test/mcp'))
  expect(found.metadata.token_endpoint).toBe('https://elsewhere.test/token')
  await expect(found.reach('http://127.0.0.1:1/token', {})).rejects.toThrow(
    'is not dialled over http',
  )
  expect(new Set(dialed.flatMap(({ origins }) => origins))).toEqual(new Set([as.issuer]))
})

test('a name counts as private by `private` alone', async () => {
  const named = target({}, 'https://files.internal/mcp')
  await expect(open()(named)).rejects.toThrow('names no authorization server')
  expect(dialed.at(-1)?.origins).toEqual([])
  const stated = target({ issuer: 'https://as.internal', private: true }, 'https://files.internal/mcp')
  await expect(open()(stated)).rejects.toThrow('cannot be reached')
  expect(dialed.at(-1)?.origins).toEqual(['https://as.internal'])
  await expect(open()({ ...named, private: true })).rejects.toThrow('names no authorization server')
  expect(dialed.at(-1)?.origins).toEqual(['https://files.internal'])
}) // biome-ignore format: short

test.each([
  { name: 'a redirect', status: 302, body: '', want: /redirect \(302\)/ },
  { name: 'an error', status: 500, body: '', want: /answers what it may not/ },
  { name: 'no JSON', status: 200, body: '<html>', want: /answers what it may not/ },
  { name: 'more than it may', status: 200, body: `{"issuer":"${'x'.repeat(OAUTH_ANSWER_BYTES_MAX)}"}`, want: /more than \d+ bytes/ },
])('an authorization server that answers with $name is not used', async ({ status, body, want }) => {
  as.fault = (_request, response) => {
    response.writeHead(status, { location: `${as.issuer}/elsewhere` }).end(body)
    return 'answered'
  }
  await expect(open()(target({ issuer: as.issuer }))).rejects.toThrow(want)
  expect(as.asked).not.toContain('GET /elsewhere')
}) // biome-ignore format: one answer a line

test('it is asked once for so long, and soon again after a failure', async () => {
  const discover = open()
  const stated = () => target({ issuer: as.issuer, scopes: ['read'] })
  as.fault = (_request, response) => {
    response.writeHead(500).end()
    return 'answered'
  }
  await expect(discover(stated())).rejects.toThrow('answers what it may not')
  as.fault = undefined
  const failed = dialed.length
  await expect(discover(stated())).rejects.toThrow('answers what it may not')
  expect(dialed.length).toBe(failed)
  nowMs = OAUTH_FAILURE_AGE_MS_MAX
  const asked = dialed.length
  await Promise.all([1, 2, 3].map(() => discover(stated())))
  expect(dialed.length).toBe(asked + 1)
  nowMs += OAUTH_METADATA_AGE_MS_MAX
  await discover(stated())
  expect(dialed.length).toBe(asked + 2)
})

test('the issuer that a token is bound to is asked, and no other', async () => {
  server.lie = { authorization_servers: ['https://evil.test'] }
  expect((await open()(target(), as.issuer)).issuer).toBe(as.issuer)
  expect(paths()).toEqual(['/.well-known/oauth-authorization-server'])
})
