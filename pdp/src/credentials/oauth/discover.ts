// Owns which authorization server is a server's, and what it says of itself: server.yaml, RFC 9728, RFC 8414. What is
// discovered is believed as far as its issuer and resource fit, and never leads to a private address that the bundle does not
// name. Never sends a secret.
import {
  discoverAuthorizationServerMetadata,
  discoverOAuthProtectedResourceMetadata,
  extractWWWAuthenticateParams,
} from '@modelcontextprotocol/client'
import type { ServerMetadata } from 'openid-client'
import { type CredentialDeclaration, oauthScopes } from '../../../../schemas/credentials.ts'
import {
  BUNDLE_SERVERS_MAX,
  OAUTH_ANSWER_BYTES_MAX,
  TOKEN_REQUEST_TIMEOUT_MS,
} from '../../../../schemas/limits.ts'
import type { Clock } from '../../../../schemas/ports.ts'
import { covers } from '../../../../schemas/resource.ts'
import { boundedFetch } from '../../egress/bounded.ts'
import type { Dialer, Fetch } from '../../egress/dialer.ts'
import { openHeld } from './held.ts'
import { OauthError, oauthErrorOf } from './oauth-error.ts'
import { assertSafe, isPlain, statedOrigins } from './stated-origins.ts'

export type OauthDeclaration = Extract<
  CredentialDeclaration,
  { kind: 'oauth' | 'client_credentials' }
>

/** A server of the bundle whose `credential` is an OAuth one. */
export type OauthTarget = {
  readonly server: string
  /** Its variables expanded. */
  readonly serverUrl: string
  /** server.yaml `private`. */
  readonly private: boolean
  readonly declaration: OauthDeclaration
}

export type AuthorizationServer = {
  /** Exactly as the metadata and whoever named it spell it. */
  readonly issuer: string
  readonly metadata: ServerMetadata
  /** The resource indicator (RFC 8707). */
  readonly resource: string
  /** What to ask for; null: whatever the authorization server gives. */
  readonly scopes: readonly string[] | null
  /** How its endpoints are reached: bounded, and nowhere that the bundle does not allow. */
  readonly reach: Fetch
}

/**
 * Rejects with OauthError. `issuer`: the one that a token or a client is bound to, which is then asked and no other.
 * What it answers is used for OAUTH_METADATA_AGE_MS_MAX.
 */
export type Discover = (target: OauthTarget, issuer?: string) => Promise<AuthorizationServer>

export function openDiscover(ports: { readonly dial: Dialer; readonly clock: Clock }): Discover {
  const { dial, clock } = ports
  const held = openHeld<AuthorizationServer>(clock, BUNDLE_SERVERS_MAX)
  return function discover(target, issuer) {
    const key = JSON.stringify([target, issuer])
    return held(key, () => look(dial, target, issuer))
  }
}

async function look(
  dial: Dialer,
  target: OauthTarget,
  bound: string | undefined,
): Promise<AuthorizationServer> {
  const { declaration, serverUrl } = target
  const known = bound ?? declaration.issuer
  const origins = statedOrigins(target)
  const reach = boundedFetch(dial(origins), OAUTH_ANSWER_BYTES_MAX)
  const timed = withTimeout(reach)
  const asked = () => askServer(dial(origins), timed, target)
  const named = known === undefined ? await asked() : undefined
  const issuer = known ?? named?.issuer ?? ''
  assertSafe(issuer, origins, 'the issuer')
  const metadata = await metadataOf(timed, issuer)
  for (const endpoint of [
    metadata.token_endpoint,
    metadata.authorization_endpoint,
    metadata.registration_endpoint,
  ])
    if (endpoint !== undefined) assertSafe(endpoint, origins, `an endpoint of ${issuer}`)
  if (declaration.kind === 'oauth') assertCodeFlow(metadata)
  if (declaration.kind === 'oauth' && named !== undefined) assertOwnPage(metadata)
  const [ownResource = serverUrl] = serverUrl.split('#')
  const resource = declaration.resource ?? named?.resource ?? ownResource
  if (!covers(resource, serverUrl))
    throw new OauthError(`the resource ${resource} is not that of the server ${target.server}`)
  const isToConnect = declaration.kind === 'oauth' && bound === undefined
  const scopes = named?.scopes ?? (isToConnect ? await scopesAt(issuer) : null)
  return { issuer, metadata, resource, scopes: declaration.scopes ?? scopes, reach }

  /** Of a server whose issuer is stated, when it names the same: it may as well say nothing. */
  async function scopesAt(stated: string): Promise<readonly string[] | null> {
    if (declaration.scopes !== undefined) return null
    const said = await asked().catch(() => undefined)
    return said?.issuer === stated ? said.scopes : null
  }
}

type Named = { issuer: string; resource: string; scopes: readonly string[] | null }

/** RFC 9728: what the server says of itself, in its challenge or at the well-known places. */
async function askServer(raw: Fetch, reach: Fetch, target: OauthTarget): Promise<Named> {
  const { server, serverUrl } = target
  const what = `the server ${server} names no authorization server`
  try {
    const { resourceMetadataUrl, scope } = await challengeOf(raw, serverUrl)
    if (resourceMetadataUrl !== undefined)
      assertSafe(resourceMetadataUrl.href, statedOrigins(target), '`resource_metadata`')
    const found = await discoverOAuthProtectedResourceMetadata(
      serverUrl,
      resourceMetadataUrl === undefined ? {} : { resourceMetadataUrl },
      fetchOf(reach),
    )
    const { resource, authorization_servers: [issuer] = [], scopes_supported: supported } = found
    if (!covers(resource, serverUrl))
      throw new OauthError(`${what}: its metadata is that of another resource`)
    if (issuer === undefined) throw new OauthError(what)
    const scopes = scope?.split(' ').filter(Boolean) ?? supported ?? null
    if (!oauthScopes.nullable().safeParse(scopes).success || !isPlain(resource))
      throw new OauthError(`${what}: its metadata holds what is no scope or no resource`)
    return { issuer, resource, scopes }
  } catch (error) {
    const { message } = oauthErrorOf(error, what)
    throw new OauthError(`${message}; \`credential.issuer\` of its server.yaml can name it`)
  }
}

/** A ping without a token: what demands one says so before it reads it. */
async function challengeOf(reach: Fetch, serverUrl: string) {
  const answer = await reach(serverUrl, {
    method: 'POST',
    headers: {
      accept: 'application/json, text/event-stream',
      'content-type': 'application/json',
    },
    body: '{"jsonrpc":"2.0","id":1,"method":"ping"}',
    redirect: 'manual',
    signal: AbortSignal.timeout(TOKEN_REQUEST_TIMEOUT_MS),
  })
  await answer.body?.cancel()
  return answer.status === 401 ? extractWWWAuthenticateParams(answer) : {}
}

/** RFC 8414 §3.3: the issuer is the very text that was asked for. */
export async function metadataOf(reach: Fetch, issuer: string): Promise<ServerMetadata> {
  const what = `the authorization server ${issuer}`
  try {
    const found = await discoverAuthorizationServerMetadata(issuer, { fetchFn: fetchOf(reach) })
    if (found === undefined) throw new OauthError(`${what} has no metadata (RFC 8414)`)
    if (found.issuer !== issuer) throw new OauthError(`${what}: its metadata names another issuer`)
    return found as ServerMetadata
  } catch (error) {
    throw oauthErrorOf(error, what)
  }
}

function assertCodeFlow(metadata: ServerMetadata): void {
  const { issuer, authorization_endpoint: endpoint } = metadata
  if (endpoint === undefined) throw new OauthError(`${issuer} has no authorization endpoint`)
  if (!metadata.code_challenge_methods_supported?.includes('S256'))
    throw new OauthError(`${issuer} does not say that it takes PKCE with S256`)
}

/**
 * RFC 9700 §4.4, mix-up: whom nobody but the server named could send people to the page of somebody else, and get the code
 * that is given there. Real ones have that page elsewhere, too: then server.yaml says that it is meant.
 */
function assertOwnPage({ issuer, authorization_endpoint: page = '' }: ServerMetadata): void {
  if (URL.parse(page)?.origin === new URL(issuer).origin) return
  throw new OauthError(
    `${issuer}, which the server itself names, sends people to a page of another origin; if that is right, state it as \`credential.issuer\` in its server.yaml`,
  )
}

export function withTimeout(reach: Fetch): Fetch {
  return (url, init) => {
    return reach(url, {
      ...init,
      signal: init.signal ?? AbortSignal.timeout(TOKEN_REQUEST_TIMEOUT_MS),
    })
  }
}

/** As the SDK calls it. */
export function fetchOf(
  reach: Fetch,
): (url: string | URL, init?: RequestInit) => Promise<Response> {
  return (url, init) => reach(String(url), init ?? {})
}
