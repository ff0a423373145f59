// Owns a real OpenID provider for tests (oidc-provider, on loopback http): discovery, keys, codes with PKCE, device flow,
// client credentials, JWT access tokens. Its accounts, clients and keys are the test's; who signs in needs no password.
// What it would never sign itself, a test signs with `sign`.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
  type JWTHeaderParameters,
  SignJWT,
} from 'jose'
import {
  type AdapterFactory,
  type ClientMetadata,
  type Configuration,
  interactionPolicy,
  type KoaContextWithOIDC,
  Provider,
} from 'oidc-provider'
import { SCOPES } from '../../schemas/scopes.ts'
import { type Account, type Browser, openBrowser } from './idp-browser.ts'
import { memoryStorage } from './idp-storage.ts'

/** What an access token of this provider is for, unless a test says otherwise. */
export const AUDIENCE = 'https://gateway.test/'

/** Public native clients with loopback redirects, and one that acts for nobody. */
export const CLIENTS = {
  cli: 'cedargate-cli',
  agent: 'demo-agent',
  other: 'other-agent',
  robot: 'nightly',
  /** Confidential, for people in a browser. */
  web: 'cedargate-web',
} as const
export const WEB_SECRET = 'the-web-client-secret'
/** Where a test PDP has its people come back to. */
const WEB_REDIRECT = 'https://pdp.test/oauth/signed-in'
const ROBOT_SECRET = 'the-robot-secret'
const SCOPE = ['openid', 'profile', 'email', 'groups', ...SCOPES].join(' ')

export type Idp = {
  readonly issuer: string
  /** By subject; a test adds and changes them. `alice` is there. */
  readonly accounts: Map<string, Account>
  /** Every request it got, as `GET /jwks`. */
  readonly asked: string[]
  /** Answers in the provider's place; undefined goes on to the provider. */
  fault: ((request: IncomingMessage, response: ServerResponse) => 'answered' | undefined) | undefined
  /** Seconds that access tokens and ID tokens live from now on. */
  lifetimeSeconds: number
  /** Signs in as a browser would, and answers where the browser is sent at the end: the callback URL. */
  readonly login: Browser['login']
  /** Says yes to a device code: `url` is its `verification_uri_complete`. */
  readonly approveDevice: Browser['approveDevice']
  /** Code and PKCE, whole: what the token endpoint answered. */
  readonly tokens: (asked?: TokenAsked) => Promise<Tokens>
  readonly accessToken: (asked?: TokenAsked) => Promise<string>
  readonly idToken: (asked?: TokenAsked) => Promise<string>
  /** Of a client that acts for nobody. */
  readonly clientCredentials: (asked?: { readonly audience?: string; readonly scope?: string }) => Promise<string>
  /** New keys under new ids; the old ones are gone from the key set. */
  readonly rotateKeys: () => Promise<void>
  /** The ES256 key it signs access tokens with, private part included. */
  readonly key: () => JWK
  /** Signs anything by that key, or by another one. */
  readonly sign: (claims: Record<string, unknown>, as?: Partial<JWTHeaderParameters>, key?: JWK) => Promise<string>
  readonly stop: () => Promise<void>
} // biome-ignore format: one promise a line

export type TokenAsked = {
  /** Default `alice`. */
  readonly account?: string
  /** Default the agent's. */
  readonly client?: string
  /** Null: none is named, the access token is opaque. Default AUDIENCE. */
  readonly audience?: string | null
  readonly scope?: string
  readonly nonce?: string
}
export type Tokens = { readonly access_token: string; readonly id_token: string }

/** Listens on a free loopback port. */
export async function startIdp(): Promise<Idp> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const browser = openBrowser(issuer)
  let keys = await makeKeys(1)
  const adapter = memoryStorage()
  let provider: Provider
  let rotations = 1
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const path = (request.url ?? '').split('?')[0] ?? ''
    idp.asked.push(`${request.method} ${path}`)
    if (idp.fault?.(request, response) === 'answered') return
    const finish = path.startsWith('/interaction/') ? finishInteraction(provider) : undefined
    void (finish ?? provider.callback())(request, response)
  })
  const idp: Idp = {
    issuer,
    accounts: new Map([['alice', { groups: ['Staff'], email: 'alice@example.test' }]]),
    asked: [],
    fault: undefined,
    lifetimeSeconds: 300,
    login: browser.login,
    approveDevice: browser.approveDevice,
    tokens: ({ account = 'alice', client = CLIENTS.agent, audience = AUDIENCE, scope = SCOPE, nonce } = {}) => {
      return browser.tokens({ account, client, scope, ...(audience === null ? {} : { resource: audience }), ...(nonce === undefined ? {} : { nonce }) })
    },
    accessToken: async (asked) => (await idp.tokens(asked)).access_token,
    idToken: async (asked) => (await idp.tokens(asked)).id_token,
    clientCredentials: async ({ audience = AUDIENCE, scope = SCOPES.join(' ') } = {}) => {
      const form = { grant_type: 'client_credentials', resource: audience, scope }
      return (await browser.token(form, { id: CLIENTS.robot, secret: ROBOT_SECRET })).access_token
    },
    rotateKeys: async () => {
      keys = await makeKeys(++rotations)
      provider = new Provider(issuer, configuration(keys, idp, adapter))
    },
    key: () => keys[0] ?? {},
    sign: async (claims, as = {}, key = keys[0] ?? {}) => {
      const header = { alg: 'ES256', typ: 'at+jwt', ...(key.kid === undefined ? {} : { kid: key.kid }), ...as }
      return await new SignJWT(claims).setProtectedHeader(header).sign(await importJWK(key, header.alg))
    },
    stop: () => close(server),
  } // biome-ignore format: one promise a line

  provider = new Provider(issuer, configuration(keys, idp, adapter))
  return idp
}

export async function makeKeys(rotation: number): Promise<JWK[]> {
  const pairs = ['ES256', 'RS256'].map(async (alg) => {
    const { privateKey } = await generateKeyPair(alg, { extractable: true })
    return { ...(await exportJWK(privateKey)), alg, use: 'sig', kid: `${alg}-${rotation}` }
  })
  return await Promise.all(pairs)
}

function configuration(jwks: JWK[], idp: Idp, adapter: AdapterFactory): Configuration {
  const lifetime = (): number => idp.lifetimeSeconds
  return {
    adapter,
    jwks: { keys: jwks },
    clients: clients(),
    cookies: { keys: ['for tests'], short: { path: '/' } },
    // Groups stand in every token, as company providers are set up for gateways.
    claims: { openid: ['sub', 'groups', 'email', 'email_verified'], email: [], groups: [], profile: [] },
    conformIdTokenClaims: false,
    scopes: ['openid', 'profile', 'email', 'groups'],
    findAccount: (_context, accountId) => {
      const claims = claimsOf(idp, accountId)
      return claims && { accountId, claims: async () => ({ sub: accountId, ...claims }) }
    },
    extraTokenClaims: async (_context, token) => {
      return 'accountId' in token ? claimsOf(idp, token.accountId) : undefined
    },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      deviceFlow: {
        enabled: true,
        userCodeInputSource: async (context, _form, _out, error) => {
          context.body = String(error)
        },
        userCodeConfirmSource: plainForm,
        successSource: plainPage,
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => [],
        getResourceServerInfo: (_context, resource) => ({
          scope: SCOPES.join(' '),
          audience: resource,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
    interactions: { policy: withoutConsent(), url: (_context, { uid }) => `/interaction/${uid}` },
    loadExistingGrant: consentToAll,
    pkce: { required: () => true },
    renderError: (context, out) => {
      context.type = 'json'
      context.body = JSON.stringify(out)
    },
    ttl: { AccessToken: lifetime, ClientCredentials: lifetime, IdToken: lifetime, Session: 3600, Interaction: 600, Grant: 3600, DeviceCode: 600 },
  } // biome-ignore format: one setting a line
}

function clients(): ClientMetadata[] {
  const native = [CLIENTS.cli, CLIENTS.agent, CLIENTS.other].map((client_id): ClientMetadata => {
    return {
      client_id,
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://127.0.0.1/callback'],
      grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
      response_types: ['code'],
    }
  })
  const robot = { client_id: CLIENTS.robot, client_secret: ROBOT_SECRET, redirect_uris: [], response_types: [], grant_types: ['client_credentials'] } // biome-ignore format: short
  const web: ClientMetadata = {
    client_id: CLIENTS.web,
    client_secret: WEB_SECRET,
    redirect_uris: [WEB_REDIRECT],
    response_types: ['code'],
    grant_types: ['authorization_code'],
  }
  return [...native, robot, web]
}

function claimsOf(idp: Idp, subject: string): Record<string, unknown> | undefined {
  const account = idp.accounts.get(subject)
  if (account === undefined) return undefined
  const { email, emailVerified = true, groups, claims = {} } = account
  const named = email === undefined ? {} : { email, email_verified: emailVerified }
  return { ...named, ...(groups === undefined ? {} : { groups }), ...claims }
}

export function withoutConsent() {
  const policy = interactionPolicy.base()
  policy.remove('consent')
  return policy
}

async function consentToAll(context: KoaContextWithOIDC) {
  const { client, session, provider, params } = context.oidc
  if (client === undefined || session?.accountId === undefined) return undefined
  const { clientId } = client
  const grant = new provider.Grant({ clientId, accountId: session.accountId })
  grant.addOIDCScope('openid profile email groups')
  const resource = params?.['resource']
  if (typeof resource === 'string') grant.addResourceScope(resource, SCOPES.join(' '))
  await grant.save()
  return grant
}

/** The login page that nobody sees: the browser of the test says whom it signs in. */
export function finishInteraction(provider: Provider) {
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const accountId = String(request.headers['x-test-account'])
    await provider.interactionFinished(request, response, { login: { accountId } })
  }
}

async function plainForm(context: KoaContextWithOIDC, form: string): Promise<void> {
  context.body = form
}

async function plainPage(context: KoaContextWithOIDC): Promise<void> {
  context.body = 'signed in'
}

export async function close(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise<void>((resolve) => server.close(() => resolve()))
}
