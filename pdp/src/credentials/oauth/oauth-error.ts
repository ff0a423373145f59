// Owns saying why an authorization server could not be used, in words that hold nothing secret: no token, no code, and no
// text that a server chose, but the issuer that it is known by. What is quoted of an answer is a word of a closed list here.
import { IssuerMismatchError } from '@modelcontextprotocol/client'
import { ClientError } from 'openid-client'
import { DialRefused } from '../../../../schemas/dial.ts'
import { AnswerError } from '../../egress/bounded.ts'

/** It is open whether the next attempt succeeds. The message names the fix where it is ours to make. */
export class OauthError extends Error {
  override readonly name = 'OauthError'
}

/** `what`: who was asked for what, as an operator knows it. Never keeps `error`: its cause may hold an answer with tokens. */
export function oauthErrorOf(error: unknown, what: string): OauthError {
  return error instanceof OauthError ? error : new OauthError(`${what}: ${reasonOf(error)}`)
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return NONSENSE
  const { cause } = error
  // What the dialer or the bounds refused stands within what fetch or the library throws.
  const all = [error, cause, cause instanceof Error ? cause.cause : undefined]
  const refused = all.find((one) => one instanceof AnswerError || one instanceof DialRefused)
  if (refused instanceof DialRefused) return refused.why
  if (refused instanceof AnswerError) return refused.message
  if (error instanceof IssuerMismatchError) return 'its metadata names another issuer'
  if (all.some((one) => one instanceof Error && TIMEOUTS.has(one.name))) return SLOW
  if (error instanceof ClientError && error.code === 'OAUTH_TIMEOUT') return SLOW
  const code = all.map(codeOf).find((one) => UNREACHABLE.has(one))
  return code === undefined ? NONSENSE : `it cannot be reached (${code})`
}

/** Of node and undici: a library may put a word of the answer in the same place. */
const UNREACHABLE: ReadonlySet<string> = new Set([
  'ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EPIPE', 'EPROTO',
  'UND_ERR_SOCKET', 'UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT',
  'ERR_TLS_CERT_ALTNAME_INVALID', 'CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID', 'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]) // biome-ignore format: a list
const TIMEOUTS: ReadonlySet<string> = new Set(['TimeoutError', 'AbortError'])
const SLOW = 'it does not answer in time'
const NONSENSE = 'it answers what it may not'

/** RFC 6749 §4.1.2.1, RFC 8707 §2, OpenID Connect Core §3.1.2.6: why somebody comes back without a code. */
const SAID: ReadonlySet<string> = new Set([
  'access_denied', 'invalid_request', 'unauthorized_client', 'unsupported_response_type', 'invalid_scope',
  'invalid_target', 'server_error', 'temporarily_unavailable', 'login_required', 'interaction_required',
  'consent_required', 'account_selection_required',
]) // biome-ignore format: a list

/** Of an answer that came through somebody's browser; its description is not read. */
export function refusedInBrowser(issuer: string, error: string): OauthError {
  return new OauthError(`${issuer} refuses it (${SAID.has(error) ? error : 'it does not say why'})`)
}

function codeOf(error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' ? code : ''
}
