// Owns how the parts of this room are joined: who may call, as one database and one change feed say it.
import type { Identity as IdentitySettings } from '../../../schemas/bundle.ts'
import type { Clock, Random } from '../../../schemas/ports.ts'
import type { Dialer } from '../egress/dialer.ts'
import type { Store } from '../store/open.ts'
import { type Agents, openAgents } from './agents.ts'
import { type Callers, openCallers } from './callers.ts'
import { type ChangeFeed, openChangeFeed } from './change-feed.ts'
import { type ClientGrants, openClientGrants } from './client-grants.ts'
import { type Grants, openGrants } from './grants.ts'
import { keepLastUse, type LastUse } from './last-use.ts'
import { openPeps, type Peps } from './peps.ts'
import { type GrantResolver, openResolver } from './resolve.ts'
import { openSignIn, type SignIn } from './sign-in.ts'
import type { TokenError } from './token-error.ts'
import { openUsers, type Users } from './users.ts'
import { createTokenVerifier, type TokenVerifier } from './verify-jwt.ts'

export type Identity = {
  /** Not started: nothing remembered is fresh until it is. */
  readonly feed: ChangeFeed
  readonly grants: Grants
  readonly users: Users
  readonly agents: Agents
  readonly peps: Peps
  readonly resolver: GrantResolver
  readonly lastUse: LastUse
  readonly verifier: TokenVerifier
  readonly signIn: SignIn
  readonly clientGrants: ClientGrants
  readonly callers: Callers
}

type Ports = {
  readonly store: Pick<Store, 'sql' | 'prompt' | 'listen'>
  readonly clock: Clock
  readonly random: Random
  readonly dial: Dialer
  /** What gateway.yaml says of identity providers now. */
  readonly settings: () => IdentitySettings
  readonly onFailure: (error: unknown) => void
  /** Told why an access token was not taken, when its PEP asks whose it is. */
  readonly onRefused: (error: TokenError) => void
}

export function openIdentity(given: Ports): Identity {
  const { store, clock, onFailure } = given
  const feed = openChangeFeed({ store, clock, onFailure })
  const ports = { ...given, sql: store.sql, prompt: store.prompt, feed }
  const resolver = openResolver(ports)
  const verifier = createTokenVerifier(ports)
  const signIn = openSignIn(ports)
  const clientGrants = openClientGrants(ports)
  return {
    feed,
    grants: openGrants(ports),
    users: openUsers(ports),
    agents: openAgents(ports),
    peps: openPeps(ports),
    resolver,
    lastUse: keepLastUse(ports),
    verifier,
    signIn,
    clientGrants,
    callers: openCallers({ ...ports, verifier, grants: resolver, signIn, clientGrants }),
  }
}
