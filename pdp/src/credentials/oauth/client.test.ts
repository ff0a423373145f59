// Which client of ours goes to an authorization server, of a real one: in order, kept, and each for its own issuer.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  type AuthorizationServer,
  startAuthorizationServer,
} from '../../../../test/harness/authorization-server.ts'
import { type Kept, keepClients } from '../../../../test/harness/connected.ts'
import { notingDialer } from '../../../../test/harness/dial.ts'
import type { ClientSecret } from '../secret.ts'
import { clientDocument, createClientFor } from './client.ts'
import { type OauthTarget, openDiscover } from './discover.ts'

const HTTPS = 'https://gate.test/pdp'
const LOOPBACK = 'http://127.0.0.1:8181'
let as: AuthorizationServer
let kept: Kept
beforeAll(async () => {
  as = await startAuthorizationServer()
})
afterAll(() => as.stop())
beforeEach(() => {
  kept = keepClients()
  as.lie = {}
  as.fault = undefined
  as.asked.length = 0
})

async function clientFor(publicUrl: string, clientId?: string) {
  const clock = { now: () => Date.now(), monotonic: () => performance.now() }
  const discover = openDiscover({ dial: notingDialer(), clock })
  const declaration = { kind: 'oauth', per: 'user', issuer: as.issuer, required: true, private: false } as const
  const stated = clientId === undefined ? declaration : { ...declaration, clientId }
  const target: OauthTarget = { server: 'files', serverUrl: 'https://files.test/mcp', private: false, declaration: stated }
  return await createClientFor({ ...kept, publicUrl })(target, await discover(target))
} // biome-ignore format: short

const operators = (): ClientSecret => ({
  kind: 'client',
  issuer: as.issuer,
  clientId: 'ours',
  clientSecret: 'the-secret-of-ours',
  authMethod: null,
  by: 'operator',
})
const registrations = () => as.asked.filter((one) => one === 'POST /reg').length

test('the client that server.yaml names goes first, with the secret that an operator set for it', async () => {
  kept.clients.set('files', operators())
  const secret = { clientSecret: 'the-secret-of-ours', authMethod: 'client_secret_basic' }
  expect(await clientFor(HTTPS, 'ours')).toEqual({ issuer: as.issuer, clientId: 'ours', ...secret })
  const bare = { clientSecret: null, authMethod: 'none' }
  expect(await clientFor(HTTPS, 'public')).toEqual({
    issuer: as.issuer,
    clientId: 'public',
    ...bare,
  })
})

test('one that an operator set needs no server.yaml, and is shown to no other issuer', async () => {
  kept.clients.set('files', operators())
  expect(await clientFor(HTTPS)).toMatchObject({ clientId: 'ours' })
  kept.clients.set('files', { ...operators(), issuer: 'https://as.test' })
  await expect(clientFor(HTTPS)).rejects.toThrow(
    /one of https:\/\/as.test.*cedargate credentials set --server files --client <id> --stdin/,
  )
})

test('over https the gateway presents its metadata document', async () => {
  const client = await clientFor(HTTPS)
  expect(client).toMatchObject({ clientId: `${HTTPS}/oauth/client/files`, authMethod: 'none' })
  expect(registrations()).toBe(0)
  expect(clientDocument(HTTPS, 'files')).toEqual({
    client_id: `${HTTPS}/oauth/client/files`,
    client_uri: HTTPS,
    client_name: 'Cedargate (files)',
    redirect_uris: [`${HTTPS}/oauth/callback/files`],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  })
})

test.each([
  { publicUrl: LOOPBACK, lie: {}, type: 'native' },
  { publicUrl: HTTPS, lie: { client_id_metadata_document_supported: false }, type: 'web' },
])('else it registers itself, once, as $type', async ({ publicUrl, lie, type }) => {
  as.lie = lie
  let asked = ''
  as.fault = (request) => {
    if (request.url === '/reg') request.on('data', (chunk) => (asked += String(chunk)))
    return undefined
  }
  const client = await clientFor(publicUrl)
  expect(JSON.parse(asked)).toMatchObject({
    application_type: type,
    client_name: 'Cedargate (files)',
    redirect_uris: [`${publicUrl}/oauth/callback/files`],
    token_endpoint_auth_method: 'none',
  })
  expect(kept.clients.get('files')).toEqual({ kind: 'client', by: 'registration', ...client })
  expect(await clientFor(publicUrl)).toEqual(client)
  expect(registrations()).toBe(1)
})

test('what it registered elsewhere is not used here', async () => {
  const first = await clientFor(LOOPBACK)
  const kind = { kind: 'client', by: 'registration' } as const
  kept.clients.set('files', { ...kind, ...first, issuer: 'https://as.test' })
  const second = await clientFor(LOOPBACK)
  expect(second.issuer).toBe(as.issuer)
  expect(second.clientId).not.toBe(first.clientId)
})

test('where nobody can register, it says what to register and what to set', async () => {
  as.lie = { registration_endpoint: undefined }
  await expect(clientFor(LOOPBACK)).rejects.toThrow(
    /redirect URI http:\/\/127.0.0.1:8181\/oauth\/callback\/files,.*`credential.clientId`.*cedargate credentials set --server files/,
  )
})

test('a registration that is refused is told without its answer', async () => {
  as.fault = (request, response) => {
    if (request.url !== '/reg') return undefined
    response.writeHead(400, { 'content-type': 'application/json' }).end('{"error":"a-secret"}')
    return 'answered'
  }
  await expect(clientFor(LOOPBACK)).rejects.toThrow(/does not let the gateway register itself$/)
})

test('a public URL in the clear is refused', async () => {
  await expect(clientFor('http://gate.test')).rejects.toThrow(/set CEDARGATE_PDP_PUBLIC_URL/)
})
