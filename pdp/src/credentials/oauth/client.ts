// Owns which client of ours goes to an authorization server: one that an operator registered, our metadata document, or one
// that registers itself. Never sends a secret to another issuer than the one it is of.
import { RegistrationRejectedError, registerClient } from '@modelcontextprotocol/client'
import { isHttpsOrLoopback } from '../../../../schemas/hosts.ts'
import { TOKEN_REQUEST_TIMEOUT_MS } from '../../../../schemas/limits.ts'
import type { Connections } from '../connections.ts'
import type { ClientSecret, OauthClient } from '../secret.ts'
import { authMethodOf } from './configuration.ts'
import { type AuthorizationServer, fetchOf, type OauthTarget } from './discover.ts'
import { OauthError, oauthErrorOf } from './oauth-error.ts'

/** What we are registered with. */
export type ClientStore = Pick<Connections, 'clientOf' | 'keepClient' | 'forgetClient'>

/** Rejects with OauthError; its message says what to register and what to set. */
export type ClientFor = (target: OauthTarget, at: AuthorizationServer) => Promise<OauthClient>

const GRANT_TYPES = ['authorization_code', 'refresh_token']

/**
 * Where authorization servers send people back to, and where our client metadata document stands: each server has its own
 * (RFC 9700 §4.4.2.2), so that what one was answered is never taken for another.
 */
export function oauthUrls(publicUrl: string, server: string) {
  return {
    callback: `${publicUrl}/oauth/callback/${server}`,
    document: `${publicUrl}/oauth/client/${server}`,
  }
}

/** The client metadata document (CIMD); `client_id` is its own address. Whether there is such a server it does not say. */
export function clientDocument(publicUrl: string, server: string): object {
  const { document } = oauthUrls(publicUrl, server)
  return { client_id: document, client_uri: publicUrl, ...ownMetadata(publicUrl, server) }
}

/** Its name says which server it is for: whoever is asked to agree there reads it. */
function ownMetadata(publicUrl: string, server: string) {
  return {
    client_name: `Cedargate (${server})`,
    redirect_uris: [oauthUrls(publicUrl, server).callback],
    grant_types: GRANT_TYPES,
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  }
}

type Ports = ClientStore & { readonly publicUrl: string }

export function createClientFor(ports: Ports): ClientFor {
  const { publicUrl } = ports
  return async function clientFor(target, at) {
    const { declaration, server } = target
    const { metadata, issuer } = at
    assertRedirects(publicUrl)
    const kept = await ports.clientOf(server)
    const stated = declaration.kind === 'oauth' ? declaration.clientId : undefined
    const isOperators = kept?.by === 'operator' && kept.clientId === (stated ?? kept.clientId)
    if (kept !== undefined && isOperators) return ownClient(target, at, kept)
    if (stated !== undefined) return publicClient(issuer, stated)
    if (metadata.client_id_metadata_document_supported === true && isHttps(publicUrl))
      return publicClient(issuer, oauthUrls(publicUrl, server).document)
    if (kept?.by === 'registration' && kept.issuer === issuer) return clientOfKept(kept, issuer, at)
    if (metadata.registration_endpoint === undefined) throw nobodyRegistered(target, at)
    const made = await register(publicUrl, server, at)
    await ports.keepClient(server, made)
    return clientOfKept(made, issuer, at)
  }

  function nobodyRegistered({ server }: OauthTarget, { issuer }: AuthorizationServer): OauthError {
    const { callback } = oauthUrls(publicUrl, server)
    return new OauthError(
      `${issuer} lets no client register itself; register one there with the redirect URI ${callback}, then name it as \`credential.clientId\` in the server.yaml of ${server}, or with its secret: ${setCommand(server)}`,
    )
  }
}

/** INVARIANT: what an operator set goes to the authorization server that it was set for, and to no other. */
function ownClient(
  { server }: OauthTarget,
  at: AuthorizationServer,
  kept: ClientSecret,
): OauthClient {
  if (kept.issuer !== at.issuer)
    throw new OauthError(
      `the client ${kept.clientId} of ${server} is one of ${kept.issuer}, and the authorization server is ${at.issuer} now; set the client that is registered there: ${setCommand(server)}`,
    )
  return clientOfKept(kept, at.issuer, at)
}

function setCommand(server: string): string {
  return `cedargate credentials set --server ${server} --client <id> --stdin`
}

function publicClient(issuer: string, clientId: string): OauthClient {
  return { issuer, clientId, clientSecret: null, authMethod: 'none' }
}

function clientOfKept(
  { clientId, clientSecret, authMethod }: ClientSecret,
  issuer: string,
  { metadata }: AuthorizationServer,
): OauthClient {
  const method = authMethod ?? authMethodOf(metadata, clientSecret)
  return { issuer, clientId, clientSecret, authMethod: method }
}

/** RFC 7591, as a public client: PKCE keeps its codes, and there is no secret that could end. */
async function register(
  publicUrl: string,
  server: string,
  at: AuthorizationServer,
): Promise<ClientSecret> {
  const { issuer, metadata, reach } = at
  const asked = {
    ...ownMetadata(publicUrl, server),
    application_type: isHttps(publicUrl) ? ('web' as const) : ('native' as const),
  }
  const timed: typeof reach = (url, init) =>
    reach(url, { ...init, signal: AbortSignal.timeout(TOKEN_REQUEST_TIMEOUT_MS) })
  try {
    const made = await registerClient(issuer, {
      metadata: metadata as never,
      clientMetadata: asked,
      fetchFn: fetchOf(timed),
    })
    const clientSecret = made.client_secret ?? null
    const method = made.token_endpoint_auth_method ?? (clientSecret === null ? 'none' : undefined)
    const authMethod = KNOWN.find((one) => one === method) ?? authMethodOf(metadata, clientSecret)
    const { client_id: clientId } = made
    return { kind: 'client', issuer, clientId, clientSecret, authMethod, by: 'registration' }
  } catch (error) {
    if (error instanceof RegistrationRejectedError)
      throw new OauthError(`${issuer} does not let the gateway register itself`)
    throw oauthErrorOf(error, `registering at ${issuer}`)
  }
}

const KNOWN = ['none', 'client_secret_basic', 'client_secret_post'] as const

/** OAuth 2.1 §2.3.1: nobody on the way may read where people come back to. */
function assertRedirects(publicUrl: string): void {
  if (!isHttpsOrLoopback(publicUrl))
    throw new OauthError(
      `accounts are connected over https; set CEDARGATE_PDP_PUBLIC_URL to the https URL of this PDP`,
    )
}

function isHttps(url: string): boolean {
  return url.startsWith('https://')
}
