// Owns grants: leave for one agent of one user to speak to some servers, under a bearer token that is shown once.
// Never keeps a token, and never says what a grant may do there: that is policy.
import { hash } from 'node:crypto'
import type {
  CreatedGrant,
  GrantRequest,
  GrantRow,
  GrantsQuery,
} from '../../../schemas/admin-api.ts'
import type { Row, Sql } from '../../../schemas/database/sql.ts'
import { formatToken, TOKEN_RANDOM_BYTES } from '../../../schemas/identifiers.ts'
import type { Clock, Random } from '../../../schemas/ports.ts'
import { SCOPES } from '../../../schemas/scopes.ts'
import { uuidV7 } from '../../../schemas/uuid.ts'
import type { ChangeFeed } from './change-feed.ts'
import type { Origin } from './changes.ts'
import { FROM_GRANTS, TEAMS } from './grant.ts'
import { grantRowOf, listStatement, showStatement } from './grant-rows.ts'
import { isUnvouched, refusalFor } from './link.ts'
import { Refused } from './refused.ts'

/** `revokedAt` in ms since 1970. */
export type RevokedGrant = { readonly id: string; readonly revokedAt: number }

export type Grants = {
  /**
   * Makes user and agent if there are none, and adds the teams to the user. Throws Refused for an offboarded user, a
   * disabled agent, and more teams for a user whom nobody vouched for. Does NOT check that the servers exist.
   */
  readonly createGrant: (request: GrantRequest) => Promise<CreatedGrant>
  /** Newest first, expired and revoked ones included. */
  readonly listGrants: (query: GrantsQuery) => Promise<GrantRow[]>
  /** Undefined when there is no such grant. */
  readonly showGrant: (id: string) => Promise<GrantRow | undefined>
  /**
   * A new token for it; the old one ends here at once. Undefined when there is no such grant; throws Refused for one that
   * is not active or has no token.
   */
  readonly rotateGrant: (id: string) => Promise<CreatedGrant | undefined>
  /** Undefined when there is no such grant; revoking twice keeps the first time. In force here at once. */
  readonly revokeGrant: (id: string) => Promise<RevokedGrant | undefined>
}

export type IdentityPorts = {
  readonly sql: Sql
  readonly clock: Clock
  readonly random: Random
  readonly feed: ChangeFeed
}

export function openGrants({ sql, clock, random, feed }: IdentityPorts): Grants {
  // A write whose answer is lost may have been made: what was known before it is not used again.
  const change = (text: string, params: unknown[], changed: readonly Origin[]): Promise<Row[]> => {
    return sql.query(text, params).finally(() => feed.note(changed))
  }
  const newToken = (): string => formatToken('grant', random(TOKEN_RANDOM_BYTES), sha256)
  const showGrant = async (id: string): Promise<GrantRow | undefined> => {
    const { text, params } = showStatement(id, new Date(clock.now()))
    return (await sql.query(text, params)).map(grantRowOf)[0]
  }
  return {
    async createGrant({ user, agent, servers, teams = [], scopes = [...SCOPES], expiresInMs }) {
      const now = clock.now()
      const token = newToken()
      const id = uuidV7(now, 0, random(8))
      const params = [
        user, teams, new Date(now), id, sha256(token), token.slice(-4), agent, [...new Set(servers)],
        new Date(now + expiresInMs), [...new Set(scopes)].toSorted(),
      ] // biome-ignore format: a list
      // They may be in more teams now; of a new grant nothing is remembered.
      const changed = user === null ? [] : [{ kind: 'user', id: user }]
      const [made] = await change(CREATE, params, changed)
      if (made === undefined) throw await refusalOf(sql, user, agent)
      return createdOf(made, token)
    },
    async listGrants(query) {
      const { text, params } = listStatement(query, new Date(clock.now()))
      return (await sql.query(text, params)).map(grantRowOf)
    },
    showGrant,
    async rotateGrant(id) {
      const token = newToken()
      const params = [id, sha256(token), token.slice(-4), new Date(clock.now())]
      const [rotated] = await change(ROTATE, params, [{ kind: 'grant', id }])
      if (rotated !== undefined) return createdOf(rotated, token)
      const grant = await showGrant(id)
      if (grant === undefined) return undefined
      const { client, state } = grant
      throw new Refused(
        client === null
          ? `the grant is ${state}: only an active one gets a new token`
          : 'the grant has no token: access tokens of its client stand for it',
      )
    },
    async revokeGrant(id) {
      const params = [id, new Date(clock.now())]
      const [row] = await change(REVOKE, params, [{ kind: 'grant', id }])
      return row === undefined
        ? undefined
        : { id: row['id'] as string, revokedAt: (row['revoked'] as Date).getTime() }
    },
  }
}

/** Two statements would need a transaction: user, agent and grant are made together, or none of them. */
const CREATE = `with owner as (
    insert into users as u (id, teams, created)
    select $1::text, (select coalesce(array_agg(distinct team order by team), '{}')
      from unnest($2::text[]) as team), $3::timestamptz where $1 is not null
    on conflict (id) do update set teams = (
      select coalesce(array_agg(distinct team order by team), '{}')
      from unnest(u.teams || excluded.teams) as team)
    where u.offboarded is null and (not ${isUnvouched('u')} or $2::text[] <@ u.teams)
    returning u.id, ${TEAMS} as teams
  ), acting as (
    insert into agents (id, created) values ($7, $3) on conflict (id) do nothing
  ), made as (
    insert into grants (id, token_sha256, token_last4, user_id, agent, servers, scopes, created, expires)
    select $4::uuid, $5, $6, owner.id, $7, $8::text[], $10::text[], $3, $9::timestamptz
    from (select id from owner union all select null where $1 is null) as owner
    where not exists (select from agents where id = $7 and disabled is not null)
    returning *
  ) select made.*, coalesce((select teams from owner), '{}') as teams from made`

const ROTATE = `with rotated as (
    update grants g set token_sha256 = $2, token_last4 = $3
    where id = $1 and token_sha256 is not null and revoked is null and expires > $4
      and not exists (select from users where id = g.user_id and offboarded is not null)
      and not exists (select from agents where id = g.agent and disabled is not null)
    returning *
  ) select g.*, ${TEAMS} as teams ${FROM_GRANTS.replace('from grants', 'from rotated')}`

const REVOKE = `update grants set revoked = coalesce(revoked, $2) where id = $1
  returning id, revoked`

async function refusalOf(sql: Sql, user: string | null, agent: string): Promise<Refused> {
  const disabled = `the agent ${agent} is disabled; \`cedargate agents enable ${agent}\` takes that back`
  const [found] = await sql.query('select from agents where id = $1 and disabled is not null', [
    agent,
  ])
  if (found !== undefined) return new Refused(disabled)
  return (await refusalFor(sql, user)) ?? new Refused('user or agent changed meanwhile; try again')
}

function createdOf(row: Row, token: string): CreatedGrant {
  return {
    id: row['id'] as string,
    token,
    user: row['user_id'] as string | null,
    agent: row['agent'] as string,
    servers: row['servers'] as string[],
    teams: row['teams'] as string[],
    scopes: row['scopes'] as string[],
    expiresAt: (row['expires'] as Date).toISOString(),
  }
}

function sha256(text: string): string {
  return hash('sha256', text)
}
