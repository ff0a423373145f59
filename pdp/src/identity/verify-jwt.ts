// Owns judging a JWT: signature, algorithm, issuer, audience, times, and that it is of the kind it is taken for (jose does
// the work). Never knows grants or revocation, and never follows what a header offers as a key.
import { hash } from 'node:crypto'
import {
  decodeJwt,
  errors,
  type JWTPayload,
  type JWTVerifyOptions,
  type JWTVerifyResult,
  jwtVerify,
} from 'jose'
import type { Identity, IdentityIssuer } from '../../../schemas/bundle.ts'
import {
  ID_TOKEN_AGE_MS_MAX,
  JWT_TOLERANCE_SECONDS,
  TOKEN_LENGTH_MAX,
  TOKENS_REMEMBERED_MAX,
} from '../../../schemas/limits.ts'
import type { Clock } from '../../../schemas/ports.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import type { Dialer } from '../egress/dialer.ts'
import { msOf, nameIn, readClaims } from './claims.ts'
import { type KeySet, type KeySource, openKeySets } from './jwks.ts'
import { TokenError } from './token-error.ts'
import type { VerifiedToken } from './verified.ts'

/** What a provider may sign by. `none` and everything with a shared secret is not among it. */
const ALGORITHMS = [
  'ES256', 'ES384', 'ES512', 'Ed25519', 'EdDSA',
  'PS256', 'PS384', 'PS512', 'RS256', 'RS384', 'RS512',
] // biome-ignore format: a list

/** RFC 9068 §2.1, and what providers say that do not know it. */
const ACCESS_TOKEN_TYPES: ReadonlySet<string> = new Set(['at+jwt', 'jwt', ''])
const ID_TOKEN_TYPES: ReadonlySet<string> = new Set(['jwt', ''])

/** What may be otherwise with newer keys; a provider may rotate without key ids. */
const SIGNED_BY_NONE = [errors.JWKSNoMatchingKey, errors.JWSSignatureVerificationFailed]

/** Claims that only an ID token has (OpenID Connect Core §2, §3.3.2.11). */
const ID_TOKEN_CLAIMS = ['nonce', 'at_hash', 'c_hash', 's_hash'] as const

/** Claims that only an access token has (RFC 9068 §2.2.3). */
const ACCESS_TOKEN_CLAIMS = ['scope', 'scp'] as const

export type TokenVerifier = {
  /**
   * What an access token says, of an issuer and a client in `identity`. The same object for the same token, while its
   * signature need not be checked again. Rejects with TokenError: `expired`, `wrong_audience` and `client_not_allowed`
   * are said of tokens that the provider signed, all else is `unknown`.
   */
  readonly verifyAccessToken: (text: string, identity: Identity) => Promise<VerifiedToken>
  /**
   * Who signed in at `issuer` through our own client, no longer than ID_TOKEN_AGE_MS_MAX ago. Rejects with TokenError.
   * Does NOT say that the token was not used before.
   */
  readonly verifyIdToken: (text: string, expected: ExpectedIdToken) => Promise<VerifiedIdToken>
}

export type ExpectedIdToken = {
  readonly issuer: string
  readonly clientId: string
  readonly jwksUri?: string | undefined
  readonly private?: boolean | undefined
  /** Compared where it is given. */
  readonly nonce?: string | undefined
}

/** Times in milliseconds since 1970. */
export type VerifiedIdToken = {
  readonly issuer: string
  readonly subject: string
  readonly claims: JsonObject
  readonly issuedAt: number
  readonly expiresAt: number
}

type Remembered = {
  readonly identity: Identity
  readonly source: KeySource
  readonly keys: KeySet
  readonly token: VerifiedToken
}

export function createTokenVerifier(ports: {
  readonly dial: Dialer
  readonly clock: Clock
}): TokenVerifier {
  const { clock } = ports
  const keySets = openKeySets(ports)
  const remembered = new Map<string, Remembered>()

  return {
    async verifyAccessToken(text, identity) {
      const digest = hash('sha256', text)
      const known = remembered.get(digest)
      if (known?.identity === identity && known.keys === (await keysOf(known.source))) {
        assertTimes(known.token, clock.now())
        return known.token
      }
      const source = issuerOf(text, identity)
      const { keys, result } = await verify(text, source, { audience: source.audience })
      assertAccessToken(result)
      const token = readClaims(result.payload, source)
      assertTimes(token, clock.now())
      remember(remembered, digest, { identity, source, keys, token })
      return token
    },

    async verifyIdToken(text, { clientId, nonce, ...source }) {
      const expected = { audience: clientId, maxTokenAge: ID_TOKEN_AGE_MS_MAX / 1000 }
      const { result } = await verify(text, source, expected)
      assertIdToken(result, clientId, nonce)
      const { payload } = result
      return {
        issuer: source.issuer,
        subject: nameIn(payload, 'sub'),
        claims: payload as JsonObject,
        issuedAt: msOf(payload.iat),
        expiresAt: msOf(payload.exp),
      }
    },
  }

  async function verify(
    text: string,
    source: KeySource,
    expected: JWTVerifyOptions,
  ): Promise<{ keys: KeySet; result: JWTVerifyResult }> {
    const keys = await keysOf(source)
    const options = {
      ...expected,
      issuer: source.issuer,
      algorithms: ALGORITHMS,
      requiredClaims: ['exp', 'iat', 'sub'],
      clockTolerance: JWT_TOLERANCE_SECONDS,
      currentDate: new Date(clock.now()),
    }
    assertLength(text)
    try {
      return { keys, result: await jwtVerify(text, keys.find, options) }
    } catch (error) {
      if (!SIGNED_BY_NONE.some((kind) => error instanceof kind)) throw faultOf(error)
    }
    const newer = await keysOf(source, keySets.renewed)
    if (newer === keys) throw new TokenError('unknown', `no key of ${source.issuer} signed it`)
    return { keys: newer, result: await jwtVerify(text, newer.find, options).catch(throwFault) }
  }

  async function keysOf(source: KeySource, look = keySets.current): Promise<KeySet> {
    return await look(source).catch((cause: unknown) => {
      throw new TokenError('unknown', `the keys of ${source.issuer} cannot be had`, { cause })
    })
  }
}

function assertLength(text: string): void {
  if (text.length > TOKEN_LENGTH_MAX)
    throw new TokenError('unknown', `it is longer than ${TOKEN_LENGTH_MAX} characters`)
}

/** By what the token says of itself, which is then verified. */
function issuerOf(text: string, { issuers }: Identity): IdentityIssuer {
  assertLength(text)
  let claims: JWTPayload
  try {
    claims = decodeJwt(text)
  } catch (cause) {
    throw new TokenError('unknown', 'it is no JWT', { cause })
  }
  const found = issuers.find(({ issuer }) => issuer === claims.iss)
  if (found === undefined) throw new TokenError('unknown', 'gateway.yaml does not list its issuer')
  return found
}

function assertAccessToken({ protectedHeader, payload }: JWTVerifyResult): void {
  const type = typeOf(protectedHeader.typ)
  if (!ACCESS_TOKEN_TYPES.has(type)) throw new TokenError('unknown', 'its typ is another one')
  // What says that it is an access token is believed; else a claim of ID tokens says that it is none. Keycloak says
  // `ID` in the payload.
  const isIdToken = ID_TOKEN_CLAIMS.some((claim) => claim in payload) || payload['typ'] === 'ID'
  if (type !== 'at+jwt' && isIdToken) throw new TokenError('unknown', 'it is an ID token')
}

/** OpenID Connect Core §3.1.3.7. */
function assertIdToken(
  { protectedHeader, payload }: JWTVerifyResult,
  clientId: string,
  nonce: string | undefined,
): void {
  const { aud, azp } = payload
  const fault =
    (!ID_TOKEN_TYPES.has(typeOf(protectedHeader.typ)) && 'it is no ID token') ||
    (Array.isArray(aud) && aud.length > 1 && azp === undefined && 'it has audiences and no azp') ||
    ([azp, payload['client_id']].some((made) => made !== undefined && made !== clientId) &&
      'it was made for another client') ||
    (isAccessToken(payload) && 'it is an access token') ||
    (nonce !== undefined && payload['nonce'] !== nonce && 'its nonce is another one')
  if (fault !== false) throw new TokenError('unknown', fault)
}

/**
 * A provider may make access tokens whose audience is the client itself; each says in its own way that it is one: `typ`
 * Keycloak, `token_use` Cognito, `scp` Entra ID and Okta.
 */
function isAccessToken(payload: JWTPayload): boolean {
  return (
    ACCESS_TOKEN_CLAIMS.some((claim) => claim in payload) ||
    String(payload['typ']).toLowerCase() === 'bearer' ||
    payload['token_use'] === 'access'
  )
}

/** Media types are spelled without `application/`, in any case (RFC 7515 §4.1.9). */
function typeOf(typ: string | undefined): string {
  return (typ ?? '').toLowerCase().replace(/^application\//, '')
}

/** In whole seconds, as jose does it. */
function assertTimes({ notBefore, expiresAt }: VerifiedToken, nowMs: number): void {
  const now = Math.floor(nowMs / 1000) * 1000
  const tolerance = JWT_TOLERANCE_SECONDS * 1000
  if (now + tolerance < notBefore) throw new TokenError('unknown', 'it is not good yet')
  if (expiresAt <= now - tolerance) throw new TokenError('expired', 'it has expired')
}

function remember(all: Map<string, Remembered>, digest: string, one: Remembered): void {
  all.delete(digest)
  all.set(digest, one)
  if (all.size <= TOKENS_REMEMBERED_MAX) return
  const [oldest = ''] = all.keys()
  all.delete(oldest)
}

function throwFault(error: unknown): never {
  throw faultOf(error)
}

/** jose's messages name claims and never quote the token. */
function faultOf(cause: unknown): TokenError {
  const message = cause instanceof errors.JOSEError ? cause.message : 'it could not be verified'
  if (cause instanceof errors.JWTExpired) return new TokenError('expired', message)
  const isAudience = cause instanceof errors.JWTClaimValidationFailed && cause.claim === 'aud'
  return new TokenError(isAudience ? 'wrong_audience' : 'unknown', message)
}
