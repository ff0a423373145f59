// Owns what of a token answer is kept: a bearer token that can be sent, and until when it is used. Pure.
import type { TokenEndpointResponse } from 'openid-client'
import { headerSecret, secretText } from '../../../../schemas/credentials.ts'
import { GRANT_LIFETIME_MS_MAX, TOKEN_LIFETIME_DEFAULT_MS } from '../../../../schemas/limits.ts'
import type { OauthToken } from '../secret.ts'
import { OauthError } from './oauth-error.ts'

/** Nobody asks again for a token that is said to live no time at all. */
const LIFETIME_MS_MIN = 1_000

/**
 * `before` is the token that is renewed: its refresh token goes on where the answer brings none. One that says no end and
 * cannot be renewed is used until the server refuses it. Throws OauthError for what no server could be sent.
 */
export function tokenOf(
  answer: TokenEndpointResponse,
  now: number,
  before?: OauthToken,
): OauthToken {
  const { access_token: accessToken, refresh_token: refresh } = answer
  if (answer.token_type !== 'bearer')
    throw new OauthError('the authorization server gave a token that is no Bearer token')
  if (!headerSecret.safeParse(accessToken).success)
    throw new OauthError('the authorization server gave a token that cannot be sent in a header')
  if (refresh !== undefined && !secretText.safeParse(refresh).success)
    throw new OauthError('the authorization server gave a refresh token of no usable length')
  const refreshToken = refresh ?? before?.refreshToken ?? null
  const unsaid = refreshToken === null ? GRANT_LIFETIME_MS_MAX : TOKEN_LIFETIME_DEFAULT_MS
  const saidMs = answer.expires_in === undefined ? unsaid : answer.expires_in * 1_000
  const lifetimeMs = Math.min(Math.max(saidMs, LIFETIME_MS_MIN), GRANT_LIFETIME_MS_MAX)
  const scope = (isScope(answer.scope) ? answer.scope : undefined) ?? before?.scope ?? null
  return { accessToken, refreshToken, expiresAt: now + Math.round(lifetimeMs), scope }
}

/** RFC 6749 §3.3. What is none is not kept: it is recorded and shown. */
function isScope(scope = ''): boolean {
  return scope.length <= SCOPE_LENGTH_MAX && /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/.test(scope)
}

const SCOPE_LENGTH_MAX = 4_096

/** The scopes a token has, where anybody said. */
export function scopesOf({ scope }: OauthToken): readonly string[] | null {
  return scope?.split(' ').filter(Boolean) ?? null
}
