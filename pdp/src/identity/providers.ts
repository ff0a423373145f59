// Owns how the parts are joined that know people and clients of identity providers.
import type { Identity as ProviderSettings } from '../../../schemas/bundle.ts'
import type { Sql } from '../../../schemas/database/sql.ts'
import type { Clock, Random } from '../../../schemas/ports.ts'
import { type Callers, openCallers } from './callers.ts'
import { type ClientGrants, openClientGrants } from './client-grants.ts'
import type { Identity } from './identity.ts'
import type { Fetch } from './jwks.ts'
import { openSignIn, type SignIn } from './sign-in.ts'
import type { TokenError } from './token-error.ts'
import { createTokenVerifier, type TokenVerifier } from './verify-jwt.ts'

export type Providers = {
  readonly verifier: TokenVerifier
  readonly signIn: SignIn
  readonly clientGrants: ClientGrants
  readonly callers: Callers
}

type Ports = {
  readonly sql: Sql
  readonly clock: Clock
  readonly random: Random
  readonly fetch: Fetch
  /** What gateway.yaml says of them now. */
  readonly settings: () => ProviderSettings
  /** Told why an access token was not taken, when its PEP asks whose it is. */
  readonly onRefused: (error: TokenError) => void
}

export function openProviders(
  { feed, resolver }: Pick<Identity, 'feed' | 'resolver'>,
  given: Ports,
): Providers {
  const ports = { ...given, feed }
  const verifier = createTokenVerifier(ports)
  const signIn = openSignIn(ports)
  const clientGrants = openClientGrants(ports)
  const callers = openCallers({ ...ports, verifier, grants: resolver, signIn, clientGrants })
  return { verifier, signIn, clientGrants, callers }
}
