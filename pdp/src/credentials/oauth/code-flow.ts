// Owns the authorization code flow with one authorization server: where a person is sent, and what their coming back is
// worth (PKCE S256, state, RFC 9207, RFC 8707). Keeps nothing: the caller holds what must come back.
import {
  AuthorizationResponseError,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  calculatePKCECodeChallenge,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
  type TokenEndpointResponse,
} from 'openid-client'
import type { OauthClient } from '../secret.ts'
import { configurationOf } from './configuration.ts'
import type { AuthorizationServer } from './discover.ts'
import { OauthError, refusedInBrowser } from './oauth-error.ts'

type Server = Pick<AuthorizationServer, 'metadata' | 'reach'>
type Client = Omit<OauthClient, 'issuer'>

/** What must be at hand when they come back, and nobody else may know. */
export type Pending = {
  readonly state: string
  readonly nonce: string
  readonly verifier: string
}

export function newPending(): Pending {
  return { state: randomState(), nonce: randomNonce(), verifier: randomPKCECodeVerifier() }
}

type Asked = {
  readonly redirectUri: string
  /** Null: none is named. */
  readonly scope: string | null
  readonly more: Readonly<Record<string, string>>
}

/** Where the person is sent. */
export async function authorizationUrl(
  at: Server,
  client: Client,
  { state, verifier }: Pending,
  { redirectUri, scope, more }: Asked,
): Promise<URL> {
  return buildAuthorizationUrl(configurationOf(at, client), {
    ...more,
    redirect_uri: redirectUri,
    state,
    code_challenge: await calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    ...(scope === null ? {} : { scope }),
  })
}

type CameBack = {
  readonly redirectUri: string
  /** The query they came back with. */
  readonly query: string
  readonly pending: Pending
  /** Null: no ID token is asked for. */
  readonly nonce: string | null
  readonly more: Readonly<Record<string, string>>
}

/**
 * Exchanges the code, once. Rejects with OauthError for an error that came back instead of a code and for an answer that is not
 * this server's, and with the library's error, which may hold what was answered, for all else.
 */
export async function exchangeCode(
  at: Server,
  client: Client,
  { redirectUri, query, pending, nonce, more }: CameBack,
): Promise<TokenEndpointResponse> {
  const { state: expectedState, verifier: pkceCodeVerifier } = pending
  const url = new URL(redirectUri)
  url.search = query
  assertFrom(at.metadata, url.searchParams)
  const checks = {
    expectedState,
    pkceCodeVerifier,
    ...(nonce === null ? {} : { expectedNonce: nonce, idTokenExpected: true }),
  }
  try {
    return await authorizationCodeGrant(configurationOf(at, client), url, checks, { ...more })
  } catch (error) {
    if (error instanceof AuthorizationResponseError)
      throw refusedInBrowser(at.metadata.issuer, error.error)
    throw error
  }
}

/** As the library checks it again (RFC 9207), in words for whoever reads the page: nothing of the query is in them. */
function assertFrom(metadata: Server['metadata'], answer: URLSearchParams): void {
  const { issuer, authorization_response_iss_parameter_supported: isAlwaysSaid } = metadata
  const said = answer.get('iss')
  if (said === null && isAlwaysSaid === true)
    throw new OauthError(`the answer does not say who sent it (\`iss\`), though ${issuer} always says so; ${UNUSED}`)
  if (said !== null && said !== issuer)
    throw new OauthError(`the answer says that another authorization server than ${issuer} sent it (\`iss\`), so ${UNUSED}`)
} // biome-ignore format: long lines

const UNUSED = 'its code was not used; open the link anew'
