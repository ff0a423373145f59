// Owns how the parts of this room are joined: who may call, as one database and one change feed say it.
import type { Clock, Random } from '../../../schemas/ports.ts'
import type { Store } from '../store/open.ts'
import { type Agents, openAgents } from './agents.ts'
import { type ChangeFeed, openChangeFeed } from './change-feed.ts'
import { type Grants, openGrants } from './grants.ts'
import { keepLastUse, type LastUse } from './last-use.ts'
import { openPeps, type Peps } from './peps.ts'
import { type GrantResolver, openResolver } from './resolve.ts'
import { openUsers, type Users } from './users.ts'

export type Identity = {
  /** Not started: nothing remembered is fresh until it is. */
  readonly feed: ChangeFeed
  readonly grants: Grants
  readonly users: Users
  readonly agents: Agents
  readonly peps: Peps
  readonly resolver: GrantResolver
  readonly lastUse: LastUse
}

type Ports = {
  readonly store: Pick<Store, 'sql' | 'prompt' | 'listen'>
  readonly clock: Clock
  readonly random: Random
  readonly onFailure: (error: unknown) => void
}

export function openIdentity({ store, clock, random, onFailure }: Ports): Identity {
  const feed = openChangeFeed({ store, clock, onFailure })
  const { sql, prompt } = store
  const ports = { sql, prompt, clock, random, feed }
  return {
    feed,
    grants: openGrants(ports),
    users: openUsers(ports),
    agents: openAgents(ports),
    peps: openPeps(ports),
    resolver: openResolver(ports),
    lastUse: keepLastUse({ sql, clock, onFailure }),
  }
}
