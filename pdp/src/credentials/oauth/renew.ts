// Owns getting a new access token: with a refresh token, or for the gateway itself. Asks once, at the issuer and with the
// client that the credential is bound to; who asks again, and when, is the broker's.
import {
  type Configuration,
  clientCredentialsGrant,
  ResponseBodyError,
  refreshTokenGrant,
  type TokenEndpointResponse,
} from 'openid-client'
import { TOKEN_REQUEST_TIMEOUT_MS } from '../../../../schemas/limits.ts'
import type { Clock } from '../../../../schemas/ports.ts'
import type { Renewed } from '../renewal.ts'
import type { ConnectedSecret, OauthClient, RenewableSecret } from '../secret.ts'
import { unboundReason } from './bound-to.ts'
import type { ClientStore } from './client.ts'
import { authMethodOf, configurationOf } from './configuration.ts'
import type { AuthorizationServer, Discover, OauthTarget } from './discover.ts'
import { OauthError, oauthErrorOf } from './oauth-error.ts'
import { scopesOf, tokenOf } from './token.ts'

export type ToRenew = OauthTarget & {
  readonly secret: RenewableSecret
  readonly signal: AbortSignal
}

/** Rejects with OauthError when it is open whether the credential is good. Takes TOKEN_REQUEST_TIMEOUT_MS at most. */
export type Renew = (asked: ToRenew) => Promise<Renewed>

type Ports = {
  readonly discover: Discover
  readonly clock: Clock
  readonly forgetClient: ClientStore['forgetClient']
}

export function createRenew(ports: Ports): Renew {
  const { discover, clock } = ports
  return async function renew(asked) {
    const signal = AbortSignal.any([asked.signal, AbortSignal.timeout(TOKEN_REQUEST_TIMEOUT_MS)])
    const { secret } = asked
    return secret.kind === 'oauth'
      ? await refresh(asked, secret, signal)
      : await asOurselves(asked, secret, signal)
  }

  async function refresh(
    asked: ToRenew,
    secret: ConnectedSecret,
    signal: AbortSignal,
  ): Promise<Renewed> {
    const { client, token, resource } = secret
    const { refreshToken } = token
    const unbound = unboundReason(secret, asked)
    if (unbound !== undefined) throw new OauthError(unbound)
    if (refreshToken === null)
      return { kind: 'refused', why: 'it has expired, and its authorization server renews none' }
    const at = await orAborted(discover(targetOf(asked), client.issuer), signal)
    const answer = await request(at, client, signal, (configuration) =>
      refreshTokenGrant(configuration, refreshToken, { resource }),
    )
    if (answer.kind === 'refused') {
      if (isClientFault(answer.code)) await ports.forgetClient(asked.server, client.clientId)
      return refusedBy(client.issuer, answer.code)
    }
    return renewed({ ...secret, token: tokenOf(answer.given, clock.now(), token) }, client.issuer)
  }

  async function asOurselves(
    asked: ToRenew,
    secret: Exclude<RenewableSecret, ConnectedSecret>,
    signal: AbortSignal,
  ): Promise<Renewed> {
    const { clientId, clientSecret } = secret
    const at = await orAborted(discover(targetOf(asked)), signal)
    const { issuer, metadata, resource, scopes } = at
    if (secret.issuer !== issuer)
      throw new OauthError(
        `it was set for ${secret.issuer}, and the authorization server is ${issuer} now`,
      )
    const authMethod = authMethodOf(metadata, clientSecret)
    const client = { issuer, clientId, clientSecret, authMethod }
    const wanted = { resource, ...(scopes === null ? {} : { scope: scopes.join(' ') }) }
    const answer = await request(at, client, signal, (configuration) =>
      clientCredentialsGrant(configuration, wanted),
    )
    if (answer.kind === 'refused') return refusedBy(issuer, answer.code)
    // RFC 6749 §4.4.3: no refresh token; one that comes all the same is not kept.
    const token = { ...tokenOf(answer.given, clock.now()), refreshToken: null }
    return renewed({ ...secret, token }, issuer)
  }
}

function targetOf({ server, serverUrl, private: isPrivate, declaration }: ToRenew): OauthTarget {
  return { server, serverUrl, private: isPrivate, declaration }
}

function renewed(secret: RenewableSecret, issuer: string): Renewed {
  const scopes = secret.token === null ? null : scopesOf(secret.token)
  return { kind: 'renewed', secret, scopes, issuer }
}

/**
 * RFC 6749 §5.2: what asking again would not change. Not `invalid_scope` and `invalid_target` (RFC 8707): those a server.yaml
 * brings about, and mends.
 */
const FINAL: ReadonlySet<string> = new Set([
  'invalid_grant', 'invalid_client', 'unauthorized_client', 'unsupported_grant_type',
]) // biome-ignore format: a list
const FINAL_STATUS: ReadonlySet<number> = new Set([400, 401, 403])

type Answer =
  | { readonly kind: 'given'; readonly given: TokenEndpointResponse }
  | { readonly kind: 'refused'; readonly code: string }

/** One exchange, never repeated: a refresh token may be used up by it. */
async function request(
  at: AuthorizationServer,
  client: OauthClient,
  signal: AbortSignal,
  exchange: (configuration: Configuration) => Promise<TokenEndpointResponse>,
): Promise<Answer> {
  try {
    return { kind: 'given', given: await exchange(configurationOf(at, client, signal)) }
  } catch (error) {
    const code = refusalOf(error)
    if (code !== undefined) return { kind: 'refused', code }
    throw oauthErrorOf(error, `the token endpoint of ${at.issuer}`)
  }
}

/** The code of a refusal that is for good. */
export function refusalOf(error: unknown): string | undefined {
  if (!(error instanceof ResponseBodyError) || !FINAL_STATUS.has(error.status)) return undefined
  return FINAL.has(error.error) ? error.error : undefined
}

/** It is the client that is not known there, and not the token. */
export function isClientFault(code: string): boolean {
  return code === 'invalid_client' || code === 'unauthorized_client'
}

function refusedBy(issuer: string, code: string): Renewed {
  return { kind: 'refused', why: `${issuer} refuses it (${code})` }
}

/** The look itself goes on: others wait for it, too. */
async function orAborted<Found>(work: Promise<Found>, signal: AbortSignal): Promise<Found> {
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(oauthErrorOf(signal.reason, 'the authorization server'))
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
    aborted.promise.catch(() => undefined)
    work.catch(() => undefined)
  }
}
