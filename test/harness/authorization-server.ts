// Owns a real OAuth authorization server for tests (oidc-provider, on loopback http), as MCP servers name one: resource
// indicators, client metadata documents, registration, rotated refresh tokens. It lies, waits and fails as a test says.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createLocalJWKSet, type JWTPayload, jwtVerify } from 'jose'
import { type AdapterFactory, type Configuration, Provider } from 'oidc-provider'
import { sleep } from './command.ts'
import { close, finishInteraction, makeKeys, withoutConsent } from './idp.ts'
import { type Browser, openBrowser } from './idp-browser.ts'
import { memoryStorage } from './idp-storage.ts'

export type TokenRequest = {
  readonly form: URLSearchParams
  readonly authorization: string | undefined
}
type Handler = (request: IncomingMessage, response: ServerResponse) => void

export type AuthorizationServer = {
  readonly issuer: string
  /** Every request it got, as `POST /token`. */
  readonly asked: string[]
  /** What its token endpoint was asked, in order. */
  readonly tokenRequests: TokenRequest[]
  /** Seconds that access tokens live from now on. */
  lifetimeSeconds: number
  /** Whether each refresh token is good once. */
  rotates: boolean
  /** Put over its metadata documents. */
  lie: Readonly<Record<string, unknown>>
  /** Answers in its place; undefined goes on to the provider. */
  fault: ((request: IncomingMessage, response: ServerResponse) => 'answered' | undefined) | undefined
  /** Milliseconds before each answer of the token endpoint. */
  tokenDelayMs: number
  /** How it fetches client metadata documents. */
  fetchDocument: (url: string) => Promise<Response>
  /** A server on the same origin: it gets `/mcp` and the metadata of protected resources. */
  mounted: Handler | undefined
  /** Signs somebody in there, in a browser of their own; answers the address that they are sent back to. */
  readonly login: Browser['login']
  /** Every token it has given, and every consent. */
  readonly revokeAll: () => void
  /** The claims of an access token of its own for that audience; undefined when it is none, or has expired. */
  readonly claimsOf: (token: string, audience: string) => Promise<JWTPayload | undefined>
  readonly stop: () => Promise<void>
} // biome-ignore format: one promise a line

export const AS_CLIENT = {
  id: 'gateway',
  secret: 'the-secret-of-the-gateway',
  redirect: 'https://pdp.test/oauth/callback/everything',
}
export const AS_SCOPES = 'read write'

/** Listens on a free loopback port. */
export async function startAuthorizationServer(): Promise<AuthorizationServer> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const keys = await makeKeys(1)
  const keySet = createLocalJWKSet({ keys: keys.map(({ d: _private, ...open }) => open) })
  const storage = forgetful(memoryStorage())
  const it: AuthorizationServer = {
    issuer,
    asked: [],
    tokenRequests: [],
    lifetimeSeconds: 300,
    rotates: true,
    lie: {},
    fault: undefined,
    tokenDelayMs: 0,
    fetchDocument: fetch,
    mounted: undefined,
    login: openBrowser(issuer).login,
    revokeAll: storage.forget,
    claimsOf: async (token, audience) => {
      const verified = jwtVerify(token, keySet, { issuer, audience })
      return await verified.then(({ payload }) => payload).catch(() => undefined)
    },
    stop: () => close(server),
  }
  const provider = new Provider(issuer, configuration(it, keys, storage.adapter))
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    void answer(it, provider, request, response)
  })
  return it
}

async function answer(
  it: AuthorizationServer,
  provider: Provider,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? '').split('?')[0] ?? ''
  const isTruth = request.headers['x-test-truth'] !== undefined
  if (!isTruth) it.asked.push(`${request.method} ${path}`)
  if (it.mounted !== undefined && /^\/(mcp|\.well-known\/oauth-protected-resource)/.test(path))
    return it.mounted(request, response)
  if (path === '/token') await noteTokenRequest(it, request)
  if (response.destroyed || it.fault?.(request, response) === 'answered') return
  if (path.startsWith('/.well-known/o') && Object.keys(it.lie).length > 0 && !isTruth) {
    const truth = await fetch(new URL(path, it.issuer), { headers: { 'x-test-truth': 'yes' } })
    const body = JSON.stringify({ ...((await truth.json()) as object), ...it.lie })
    response.writeHead(truth.status, { 'content-type': 'application/json' }).end(body)
    return
  }
  const finish = path.startsWith('/interaction/') ? finishInteraction(provider) : undefined
  await (finish ?? provider.callback())(request, response)
}

/** Looks at what the parser pushes, so that the provider still reads it. */
async function noteTokenRequest(it: AuthorizationServer, request: IncomingMessage): Promise<void> {
  const chunks: Buffer[] = []
  const push = request.push.bind(request)
  await new Promise<void>((resolve) => {
    request.push = (chunk: Buffer | null) => {
      if (chunk === null) resolve()
      else chunks.push(chunk)
      return push(chunk)
    }
  })
  const form = new URLSearchParams(Buffer.concat(chunks).toString())
  it.tokenRequests.push({ form, authorization: request.headers.authorization })
  await sleep(it.tokenDelayMs)
}

function configuration(
  it: AuthorizationServer,
  keys: Awaited<ReturnType<typeof makeKeys>>,
  adapter: AdapterFactory,
): Configuration {
  const scope = `${AS_SCOPES} offline_access`
  return {
    adapter,
    jwks: { keys },
    clients: [
      {
        client_id: AS_CLIENT.id,
        client_secret: AS_CLIENT.secret,
        redirect_uris: [AS_CLIENT.redirect],
        response_types: ['code'],
        grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
      },
    ],
    cookies: { keys: ['for tests'], short: { path: '/' } },
    scopes: scope.split(' '),
    findAccount: (_context, accountId) => ({ accountId, claims: async () => ({ sub: accountId }) }),
    fetch: (url: string | URL | Request) => it.fetchDocument(String(url instanceof Request ? url.url : url)),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      clientIdMetadataDocument: { enabled: true, ack: 'draft-02' },
      registration: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => [],
        useGrantedResource: () => true,
        getResourceServerInfo: (_context, resource) => ({
          scope: AS_SCOPES,
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: it.lifetimeSeconds,
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
    interactions: { policy: withoutConsent(), url: (_context, { uid }) => `/interaction/${uid}` },
    issueRefreshToken: async (_context, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: () => it.rotates,
    async loadExistingGrant(context) {
      const { client, session, provider, params } = context.oidc
      if (client === undefined || session?.accountId === undefined) return undefined
      const { clientId } = client
      const grant = new provider.Grant({ clientId, accountId: session.accountId })
      grant.addOIDCScope(scope)
      const resource = params?.['resource']
      if (typeof resource === 'string') grant.addResourceScope(resource, AS_SCOPES)
      await grant.save()
      return grant
    },
    pkce: { required: () => true },
    renderError: (context, out) => {
      context.type = 'json'
      context.body = JSON.stringify(out)
    },
    ttl: { AccessToken: 300, ClientCredentials: () => it.lifetimeSeconds, RefreshToken: 3600, Session: 3600, Interaction: 600, Grant: 3600, IdToken: 300 },
  } // biome-ignore format: one setting a line
}

/** Forgets all it was told, but clients. */
function forgetful(factory: AdapterFactory) {
  const revoked = new Set<string>()
  const all = new Set<string>()
  const adapter: AdapterFactory = (model) => {
    const kept = factory(model)
    return {
      ...kept,
      upsert: (id, payload, expiresIn) => {
        all.add(`${model}:${id}`)
        return kept.upsert(id, payload, expiresIn)
      },
      find: async (id) => (revoked.has(`${model}:${id}`) ? undefined : await kept.find(id)),
    }
  }
  const forget = (): void => {
    for (const key of all) if (!key.startsWith('Client:')) revoked.add(key)
  }
  return { adapter, forget }
}
