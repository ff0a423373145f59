// Owns grants: leave for one agent of one user to speak to some servers, under a bearer token that
// is shown once. Never keeps a token, and never says what a grant may do there: that is policy.
import { hash } from 'node:crypto'
import type { CreatedGrant, GrantRequest, GrantRow } from '../../../schemas/admin-api.ts'
import type { Row, Sql } from '../../../schemas/database/sql.ts'
import { formatToken, TOKEN_RANDOM_BYTES } from '../../../schemas/identifiers.ts'
import type { Clock, Random } from '../../../schemas/ports.ts'
import { type Ceilings, NO_CEILINGS, SCOPES } from '../../../schemas/scopes.ts'
import { uuidV7 } from '../../../schemas/uuid.ts'
import { rememberRecent } from './recent.ts'

/** A grant in force at the moment it was resolved. */
export type Grant = {
  readonly id: string
  readonly user: string
  readonly agent: string
  readonly teams: readonly string[]
  readonly servers: readonly string[]
  readonly scopes: Ceilings
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

/**
 * Grants by token digest (hex SHA-256), as they stood no longer than GRANT_AGE_MS_MAX ago. Unknown,
 * expired and revoked tokens are absent. Throws when the database does not answer in that time.
 */
export type ResolveGrants = (digests: readonly string[]) => Promise<ReadonlyMap<string, Grant>>

/** `token` is the digest of the token; `revokedAt` in ms since 1970. */
export type RevokedGrant = {
  readonly id: string
  readonly token: string
  readonly revokedAt: number
}

export type Grants = {
  /**
   * Makes the user if there is none, and adds the teams to them. Does NOT check that the servers
   * exist.
   */
  readonly createGrant: (request: GrantRequest) => Promise<CreatedGrant>
  /** All, newest first, expired and revoked ones included. */
  readonly listGrants: () => Promise<GrantRow[]>
  /**
   * Undefined when there is no such grant; revoking twice keeps the first time. In force here at
   * once.
   */
  readonly revokeGrant: (id: string) => Promise<RevokedGrant | undefined>
  readonly resolveGrants: ResolveGrants
  /** What any PDP revoked at `since` (ms since 1970) or later. */
  readonly revokedSince: (since: number) => Promise<RevokedGrant[]>
}

export type IdentityPorts = { readonly sql: Sql; readonly clock: Clock; readonly random: Random }

export function openGrants({ sql, clock, random }: IdentityPorts): Grants {
  const recent = rememberRecent((digests) => lookup(sql, digests), clock.monotonic)
  // A write whose answer is lost may have been made: what was known before it is not used again.
  const change = (text: string, params: unknown[]): Promise<Row[]> => {
    return sql.query(text, params).finally(recent.forget)
  }
  return {
    async createGrant({ user, agent, servers, teams = [], expiresInMs }) {
      const now = clock.now()
      const token = formatToken('grant', random(TOKEN_RANDOM_BYTES), sha256)
      const id = uuidV7(now, 0, random(8))
      const expires = new Date(now + expiresInMs)
      const [row] = await change(CREATE, [
        user, teams, new Date(now), id, sha256(token), token.slice(-4), agent, servers, expires,
      ]) // biome-ignore format: a list
      return {
        id,
        token,
        user,
        agent,
        servers,
        teams: row?.['teams'] as string[],
        scopes: [...SCOPES],
        expiresAt: expires.toISOString(),
      }
    },
    listGrants: async () => (await sql.query(LIST)).map(grantRowOf),
    async revokeGrant(id) {
      const [row] = await change(REVOKE, [id, new Date(clock.now())])
      return row === undefined ? undefined : revokedOf(row)
    },
    async resolveGrants(digests) {
      const found = await recent.get(digests)
      const now = clock.now()
      return new Map([...found].filter(([, grant]) => now < grant.expiresAt))
    },
    revokedSince: async (since) =>
      (await sql.query(REVOKED_SINCE, [new Date(since)])).map(revokedOf),
  }
}

/**
 * Two statements would need a transaction: the user and the grant are made together, or neither.
 */
const CREATE = `with owner as (
    insert into users (id, teams, created)
    values ($1, (select coalesce(array_agg(distinct team order by team), '{}')
      from unnest($2::text[]) as team), $3)
    on conflict (id) do update set teams = (
      select coalesce(array_agg(distinct team order by team), '{}')
      from unnest(users.teams || excluded.teams) as team)
    returning id, teams
  ), acting as (
    insert into agents (id, created) values ($7, $3) on conflict (id) do nothing
  ), made as (
    insert into grants (id, token_sha256, token_last4, user_id, agent, servers, created, expires)
    select $4, $5, $6, id, $7, $8, $3, $9 from owner
  ) select teams from owner`

const LIST = `select g.*, u.teams from grants g join users u on u.id = g.user_id
  order by g.created desc, g.id desc`

const REVOKE = `update grants set revoked = coalesce(revoked, $2) where id = $1
  returning id, token_sha256, revoked`

const REVOKED_SINCE = `select id, token_sha256, revoked from grants where revoked >= $1
  order by revoked`

async function lookup(sql: Sql, digests: readonly string[]): Promise<Map<string, Grant>> {
  const rows = await sql.query(
    `select g.token_sha256, g.id, g.user_id, g.agent, g.servers, g.expires, u.teams
     from grants g join users u on u.id = g.user_id
     where g.token_sha256 = any($1::text[]) and g.revoked is null`,
    [digests],
    'grants',
  )
  return new Map(rows.map((row) => [row['token_sha256'] as string, grantOf(row)]))
}

function grantOf(row: Row): Grant {
  return {
    id: row['id'] as string,
    user: row['user_id'] as string,
    agent: row['agent'] as string,
    teams: row['teams'] as string[],
    servers: row['servers'] as string[],
    scopes: NO_CEILINGS,
    expiresAt: (row['expires'] as Date).getTime(),
  }
}

function grantRowOf(row: Row): GrantRow {
  const revoked = row['revoked'] as Date | null
  return {
    id: row['id'] as string,
    user: row['user_id'] as string,
    agent: row['agent'] as string,
    servers: row['servers'] as string[],
    teams: row['teams'] as string[],
    scopes: row['scopes'] as string[],
    client: null,
    state: 'active',
    lastUsedAt: null,
    lastSource: null,
    tokenLast4: row['token_last4'] as string,
    createdAt: (row['created'] as Date).toISOString(),
    expiresAt: (row['expires'] as Date).toISOString(),
    revokedAt: revoked?.toISOString() ?? null,
  }
}

function revokedOf(row: Row): RevokedGrant {
  return {
    id: row['id'] as string,
    token: row['token_sha256'] as string,
    revokedAt: (row['revoked'] as Date).getTime(),
  }
}

function sha256(text: string): string {
  return hash('sha256', text)
}
