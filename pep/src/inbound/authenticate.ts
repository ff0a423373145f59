// Owns reading what a request authenticates with: exactly one bearer token, in the header. Does NOT say that the token
// is known, unexpired or unrevoked: the PDP does, for every message.
import { hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { isWellFormedToken, TOKEN_PREFIXES } from '../../../schemas/identifiers.ts'
import { TOKEN_LENGTH_MAX } from '../../../schemas/limits.ts'
import type { TokenFault } from '../../../schemas/pep-api.ts'

/** Why a request is nobody's; RFC 6750 §3.1 has words for some of it (refuse.ts). */
export type AuthFault = TokenFault | 'missing' | 'malformed' | 'repeated' | 'in_query' | 'revoked'

/** A token that is spelled well. */
export type Credential = {
  /** Lower-case hex SHA-256 of the token. */
  readonly token: string
  /** The token itself where it is a JWT: the PDP verifies it. A gateway token goes no further than here. */
  readonly jwt: string | null
}

/** The credential, or what is wrong. A token in the query refuses the request, whatever else it brings. */
export function readCredential({
  url,
  headers,
  rawHeaders,
}: Pick<IncomingMessage, 'url' | 'headers' | 'rawHeaders'>): Credential | AuthFault {
  if (namesToken(url ?? '')) return 'in_query'
  if (isRepeated(rawHeaders, 'authorization')) return 'repeated'
  const { authorization = '' } = headers
  if (!/^bearer(?![^ \t])/i.test(authorization)) return 'missing'
  const token = /^bearer +([\w.-]+)$/i.exec(authorization)?.[1] ?? ''
  if (token.length > TOKEN_LENGTH_MAX) return 'malformed'
  if (isWellFormedToken('grant', token, sha256)) return { token: sha256(token), jwt: null }
  return isJwtShaped(token) ? { token: sha256(token), jwt: token } : 'malformed'
}

/** Whether a header is there twice: node:http keeps the first of some and drops the rest. */
export function isRepeated(rawHeaders: readonly string[], name: string): boolean {
  let count = 0
  for (let index = 0; index < rawHeaders.length; index += 2)
    if (rawHeaders[index]?.toLowerCase() === name) count += 1
  return count > 1
}

/**
 * When a JWT that the PDP has verified ends, in milliseconds since 1970; 0 where it does not say. Verifies nothing itself.
 */
export function endOfJwt(jwt: string): number {
  const claims = parsePart(jwt, 1)
  const end = typeof claims === 'object' && claims !== null && 'exp' in claims ? claims.exp : 0
  return typeof end === 'number' ? end * 1000 : 0
}

/** RFC 6750 §2.3: a query is kept in logs and histories, whatever name a token has there. */
function namesToken(url: string): boolean {
  const start = url.indexOf('?')
  if (start < 0) return false
  // Whoever encodes twice, or sets it in quotes, shows it all the same.
  const query = decoded(decoded(url.slice(start + 1)))
  if (/(^|[&;\s])access_token\s*([=&;]|$)/i.test(query) || GATEWAY_TOKEN.test(query)) return true
  const shaped = query.match(/(?<![\w-])[\w-]+\.[\w-]+\.[\w-]+/g) ?? []
  return shaped.slice(0, JWTS_READ_MAX).some(isJwt)
}

/** A query full of what may be one is read no further. */
const JWTS_READ_MAX = 16

/** Of any kind, whole or not. */
const GATEWAY_TOKEN = new RegExp(`(${Object.values(TOKEN_PREFIXES).join('|')})_[\\w-]{20}`)

function decoded(text: string): string {
  return text.replaceAll('+', ' ').replace(/(%[\da-f]{2})+/gi, (bytes) => {
    return Buffer.from(bytes.replaceAll('%', ''), 'hex').toString('utf8')
  })
}

/** Beyond its shape, which versions and host names have too: its header names an algorithm. */
function isJwt(shaped: string): boolean {
  const header = parsePart(shaped, 0)
  return typeof header === 'object' && header !== null && 'alg' in header
}

/** One part of a JWT; undefined where it is no JSON. */
function parsePart(jwt: string, index: 0 | 1): unknown {
  try {
    return JSON.parse(Buffer.from(jwt.split('.')[index] ?? '', 'base64url').toString('utf8'))
  } catch {
    return undefined // Whoever sent it may have written anything there.
  }
}

function isJwtShaped(text: string): boolean {
  return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text)
}

function sha256(text: string): string {
  return hash('sha256', text)
}
