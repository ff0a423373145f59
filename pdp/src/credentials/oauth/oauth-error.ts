// Owns saying why an authorization server could not be used, in words that hold nothing secret: no token, no code, and no
// text that a server chose.
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
  if (refused instanceof Error) return refused.message
  if (error instanceof IssuerMismatchError) return 'its metadata names another issuer'
  if (all.some((one) => one instanceof Error && TIMEOUTS.has(one.name))) return SLOW
  if (error instanceof ClientError && error.code === 'OAUTH_TIMEOUT') return SLOW
  const code = all.map(codeOf).find((one) => /^(?:E[A-Z_]+|UND_ERR_[A-Z_]+)$/.test(one))
  return code === undefined ? NONSENSE : `it cannot be reached (${code})`
}

const TIMEOUTS: ReadonlySet<string> = new Set(['TimeoutError', 'AbortError'])
const SLOW = 'it does not answer in time'
const NONSENSE = 'it answers what it may not'

function codeOf(error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' ? code : ''
}
