// Owns what a verified access token says, in our words. Types only: verify-jwt.ts makes one, callers.ts finds its grant.
import type { IdentityClient } from '../../../schemas/bundle.ts'
import type { Scope } from '../../../schemas/scopes.ts'

/** A JWT access token whose signature, issuer, audience and times hold. Says nothing of grants or revocation. */
export type VerifiedToken = {
  readonly issuer: string
  readonly subject: string
  /** `azp`, else `client_id`. */
  readonly client: string
  /** What gateway.yaml says of that client. */
  readonly settings: IdentityClient
  /** The user id they get here when they come first; null for a headless client, which acts for nobody. */
  readonly user: string | null
  readonly teams: readonly string[]
  /** Of the client's, those that the token has too, if it names any of ours. */
  readonly scopes: readonly Scope[]
  /** Milliseconds since 1970. `notBefore`: the later one of `nbf` and `iat`. */
  readonly issuedAt: number
  readonly notBefore: number
  readonly expiresAt: number
}
