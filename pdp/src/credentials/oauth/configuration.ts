// Owns how one client of ours speaks to one authorization server, as openid-client wants it told. Never discovers.
import {
  allowInsecureRequests,
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  Configuration,
  customFetch,
  None,
} from 'openid-client'
import { TOKEN_REQUEST_TIMEOUT_MS } from '../../../../schemas/limits.ts'
import type { Fetch } from '../../egress/dialer.ts'
import type { OauthClient } from '../secret.ts'
import type { AuthorizationServer } from './discover.ts'
import { OauthError } from './oauth-error.ts'

type Server = Pick<AuthorizationServer, 'metadata' | 'reach'>
type Client = Omit<OauthClient, 'issuer'>

/** `signal` ends its requests besides TOKEN_REQUEST_TIMEOUT_MS. */
export function configurationOf(
  { metadata, reach }: Server,
  { clientId, clientSecret, authMethod }: Client,
  signal?: AbortSignal,
): Configuration {
  const configured = new Configuration(
    metadata,
    clientId,
    undefined,
    AUTHENTICATE[authMethod](clientSecret ?? ''),
  )
  configured.timeout = TOKEN_REQUEST_TIMEOUT_MS / 1_000
  configured[customFetch] = (url, init) => withoutChallenge(reach, url, init as RequestInit, signal)
  // The endpoints were judged when they were discovered: http is loopback, or named by the bundle.
  allowInsecureRequests(configured)
  return configured
}

const AUTHENTICATE: Readonly<Record<OauthClient['authMethod'], (secret: string) => ClientAuth>> = {
  none: () => None(),
  client_secret_basic: (secret) => ClientSecretBasic(secret),
  client_secret_post: (secret) => ClientSecretPost(secret),
}

/** How a client with that secret proves who it is there. RFC 8414 §2: unsaid means client_secret_basic. */
export function authMethodOf(
  metadata: AuthorizationServer['metadata'],
  clientSecret: string | null,
): OauthClient['authMethod'] {
  if (clientSecret === null) return 'none'
  const offered = metadata.token_endpoint_auth_methods_supported ?? ['client_secret_basic']
  const method = (['client_secret_basic', 'client_secret_post'] as const).find((one) =>
    offered.includes(one),
  )
  if (method !== undefined) return method
  throw new OauthError(`${metadata.issuer} takes a client secret neither by Basic nor in the body`)
}

/** The body of a refusal says why; with a challenge beside it the library does not read it. */
async function withoutChallenge(
  reach: Fetch,
  url: string,
  init: RequestInit,
  signal: AbortSignal | undefined,
): Promise<Response> {
  const signals = [init.signal, signal].filter((one) => one instanceof AbortSignal)
  const answer = await reach(url, { ...init, signal: AbortSignal.any(signals) })
  answer.headers.delete('www-authenticate')
  return answer
}
