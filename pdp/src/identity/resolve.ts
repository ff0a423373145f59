// Owns finding the grant of a credential: by token, by id, or by who came with an access token. Never keeps a token, and
// never says what a grant may do: that is policy.
import type { Row, Sql } from '../../../schemas/database/sql.ts'
import type { IdentifyResponse } from '../../../schemas/pep-api.ts'
import type { Clock } from '../../../schemas/ports.ts'
import type { ChangeFeed } from './change-feed.ts'
import {
  type ClientKey,
  FROM_GRANTS,
  type Grant,
  grantOf,
  IN_FORCE,
  originsOf,
  SELECT_GRANT,
} from './grant.ts'
import { type Remembered, remembered } from './remembered.ts'

/** Absent: unknown, expired, revoked, offboarded or disabled. Throws when the database does not answer in time. */
export type ResolveGrants = (keys: readonly string[]) => Promise<ReadonlyMap<string, Grant>>

export type GrantResolver = {
  /** By digest (hex SHA-256) of the gateway token. */
  readonly resolveGrants: ResolveGrants
  /** By id. */
  readonly resolveById: ResolveGrants
  /** By clientKey. Those that have expired are there too: `expiresAt` says so. */
  readonly resolveByClient: ResolveGrants
  /** Whose gateway token this is; of a token that was revoked nothing is said. */
  readonly identifyToken: (digest: string) => Promise<IdentifyResponse>
  /** Where we are in the order of changes: ask before resolving, for `stillHold`. */
  readonly position: () => number
  /**
   * Whether none of these, resolved since that position, has changed or expired: asked right before something is
   * allowed, however long that took to decide. Throws when it cannot be known.
   */
  readonly stillHold: (grants: readonly Grant[], since: number) => Promise<boolean>
}

type ResolverPorts = { readonly prompt: Sql; readonly clock: Clock; readonly feed: ChangeFeed }

export function openResolver({ prompt, clock, feed }: ResolverPorts): GrantResolver {
  const by = (where: string, keyOf: (row: Row) => string, name: string): Remembered<Grant> =>
    remembered({
      feed,
      originsOf,
      lookup: async (keys) => {
        const text = `${SELECT_GRANT}, g.token_sha256
          ${FROM_GRANTS} where ${where} and ${IN_FORCE}`
        const rows = await prompt.query(text, [keys], name)
        return new Map(rows.map((row) => [keyOf(row), grantOf(row)]))
      },
    })
  const byToken = by('g.token_sha256 = any($1::text[])', textOf('token_sha256'), 'grants-by-token')
  const byId = by('g.id = any($1::uuid[])', textOf('id'), 'grants-by-id')
  const byClient = by(BY_CLIENT, clientKeyOf, 'grants-by-client')
  return {
    resolveGrants: async (digests) => unexpired(await byToken(digests), clock.now()),
    resolveById: async (ids) => unexpired(await byId(ids), clock.now()),
    resolveByClient: byClient,
    async identifyToken(digest) {
      const grant = (await byToken([digest])).get(digest)
      if (grant === undefined) return { grant: null, fault: 'unknown' }
      if (clock.now() >= grant.expiresAt) return { grant: null, fault: 'expired' }
      return { grant: grant.id }
    },
    position: () => feed.position(),
    async stillHold(grants, since) {
      await feed.refresh()
      const now = clock.now()
      return grants.every((one) => now < one.expiresAt && !feed.isChanged(originsOf(one), since))
    },
  }
}

/** What resolveByClient is asked by. */
export function clientKey({ issuer, subject, client }: ClientKey): string {
  return JSON.stringify([issuer, subject, client])
}

const BY_CLIENT = `(g.issuer, g.subject, g.client) in (
  select key->>0, key->>1, key->>2 from (select unnest($1::text[])::json as key) as keys)`

function clientKeyOf(row: Row): string {
  const { issuer, subject, client } = row as ClientKey
  return clientKey({ issuer, subject, client })
}

function textOf(name: string): (row: Row) => string {
  return (row) => row[name] as string
}

function unexpired(found: ReadonlyMap<string, Grant>, now: number): ReadonlyMap<string, Grant> {
  for (const grant of found.values())
    if (now >= grant.expiresAt)
      return new Map([...found].filter(([, { expiresAt }]) => now < expiresAt))
  return found
}
