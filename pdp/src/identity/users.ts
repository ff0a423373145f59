// Owns the people the gateway knows: who they are, the teams they are in and what they may do at most. Never a credential.
import type { Offboarded, UserRequest, UserRow, UsersQuery } from '../../../schemas/admin-api.ts'
import type { Row } from '../../../schemas/database/sql.ts'
import { SCOPES } from '../../../schemas/scopes.ts'
import { IN_FORCE } from './grant.ts'
import type { IdentityPorts } from './grants.ts'
import { isUnvouched, offboardedRefusal, refusalFor } from './link.ts'
import { Refused } from './refused.ts'

export type Users = {
  /**
   * Makes the user, or changes what is named. Throws Refused when the link is another than they have, or is somebody
   * else's, and when more would be given to whom nobody vouched for: a link named here is vouched for.
   */
  readonly putUser: (id: string, request: UserRequest) => Promise<UserRow>
  readonly listUsers: (query: UsersQuery) => Promise<UserRow[]>
  /** Undefined when there is no such user. */
  readonly showUser: (id: string) => Promise<UserRow | undefined>
  /**
   * Ends all grants, login sessions and roles of the user at once and for good; nobody else's. In force here at once.
   * Undefined when there is no such user.
   */
  readonly offboardUser: (id: string) => Promise<Offboarded | undefined>
  /** The user may have grants again; those of before stay revoked. Undefined when there is no such user. */
  readonly reinstateUser: (id: string) => Promise<UserRow | undefined>
  /**
   * Takes their link, what claims gave, the grants of clients and all login sessions, at once. Grants with a token of
   * their own stay. Whoever it was is refused then as anybody whose name is taken. Undefined: no such user. Throws Refused
   * for who is offboarded: they would be let in again, under another name.
   */
  readonly unlinkUser: (id: string) => Promise<UserRow | undefined>
}

export function openUsers({ sql, clock, feed }: Omit<IdentityPorts, 'random'>): Users {
  const change = (text: string, [id, ...params]: [string, ...unknown[]]): Promise<Row[]> => {
    return sql.query(text, [id, ...params]).finally(() => feed.note([{ kind: 'user', id }]))
  }
  const select = async (rest: string, params: unknown[]): Promise<UserRow[]> =>
    (await sql.query(`${SELECT} ${rest}`, [new Date(clock.now()), ...params])).map(userRowOf)
  const showUser = async (id: string): Promise<UserRow | undefined> =>
    (await select('where u.id = $2', [id]))[0]
  return {
    async putUser(id, { teams, scopes, link }) {
      const set = [sorted(teams), sorted(scopes), link?.issuer ?? null, link?.subject ?? null]
      const params = [new Date(clock.now()), ...set, [...SCOPES]]
      const [put] = await change(PUT, [id, ...params]).catch(whoseLink)
      if (put === undefined) throw await refusalOf(id, link)
      return (await showUser(id)) as UserRow
    },
    listUsers: ({ team, limit, after }) =>
      select(
        `where ($3::text is null or $3 = any(u.teams || u.claim_teams))
           and ($4::text is null or u.id > $4) order by u.id limit $2`,
        [limit, team ?? null, after ?? null],
      ),
    showUser,
    async offboardUser(id) {
      const [row] = await change(OFFBOARD, [id, new Date(clock.now())])
      if (row === undefined) return undefined
      return {
        user: id,
        offboardedAt: (row['offboarded'] as Date).toISOString(),
        grants: row['grants'] as string[],
        sessions: row['sessions'] as number,
      }
    },
    async reinstateUser(id) {
      await change(REINSTATE, [id, new Date(clock.now())])
      return showUser(id)
    },
    async unlinkUser(id) {
      const params: [string, Date] = [id, new Date(clock.now())]
      const [unlinked] = await change(UNLINK, params)
      // What was being made then was not seen by that statement, which waited for it.
      if (unlinked !== undefined) await change(END_LINKED, params)
      const user = await showUser(id)
      if (unlinked === undefined && user !== undefined) throw offboardedRefusal(id)
      return user
    },
  }

  async function refusalOf(id: string, link: UserRequest['link']): Promise<Refused> {
    const unvouched = link === undefined ? await refusalFor(sql, id) : undefined
    const command = `cedargate users unlink ${id}`
    return (
      unvouched ??
      new Refused(`the user ${id} is linked to somebody else already; \`${command}\` ends that`)
    )
  }
}

/** `$1` is now. */
const SELECT = `select u.*,
  (select count(*) from grants g join agents a on a.id = g.agent where g.user_id = u.id
    and g.expires > $1 and ${IN_FORCE}) as grants,
  (select count(*) from login_sessions s where s.user_id = u.id
    and s.revoked is null and s.expires > $1) as sessions
  from users u`

/** Answers nothing when they are linked to somebody else, or get more than they have and nobody vouched for them. */
const PUT = `insert into users as u (id, created, teams, scopes, issuer, subject, vouched)
  values ($1, $2, coalesce($3::text[], '{}'),
    coalesce($4::text[], $7::text[]), $5::text, $6::text, $5::text is not null)
  on conflict (id) do update set teams = coalesce($3::text[], u.teams),
    scopes = coalesce($4::text[], u.scopes),
    issuer = coalesce($5, u.issuer), subject = coalesce($6, u.subject),
    vouched = u.vouched or $5 is not null
  where case when $5 is null
    then not ${isUnvouched('u')} or (coalesce($3 <@ u.teams, true) and coalesce($4 <@ u.scopes, true))
    else u.issuer is null or (u.issuer = $5 and u.subject = $6) end
  returning id`

/** One statement: all of it, or nothing. Roles go too: whoever is reinstated does not come back as an operator. */
const OFFBOARD = `with gone as (
    update users set offboarded = coalesce(offboarded, $2), roles = '{}' where id = $1
    returning offboarded
  ), ended as (
    update grants set revoked = $2 where user_id = $1 and revoked is null returning id, expires
  ), signed_out as (
    update login_sessions set revoked = $2 where user_id = $1 and revoked is null returning expires
  ), disconnected as (
    delete from credentials where user_id = $1
  ) select offboarded,
    (select coalesce(array_agg(id::text order by id), '{}') from ended where expires > $2) as grants,
    (select count(*) from signed_out where expires > $2) as sessions
  from gone`

/** What was made in the moment of offboarding, and was dead since, stays so. */
const REINSTATE = `with back as (
    update users set offboarded = null where id = $1 and offboarded is not null returning id
  ), ended as (
    update grants set revoked = $2 where user_id in (select id from back) and revoked is null
  ) update login_sessions set revoked = $2
    where user_id in (select id from back) and revoked is null`

/** Of the user `$1`: what the link brought. */
const ended = (condition: string): string => `ended as (
    update grants set revoked = $2 where user_id = $1 and issuer is not null and revoked is null
      ${condition}
  ), signed_out as (
    update login_sessions set revoked = $2 where user_id = $1 and revoked is null ${condition}
  )`

/** Not of who is offboarded: that is known by the link, and they would come back under another name. */
const UNLINK = `with unlinked as (
    update users set issuer = null, subject = null, vouched = false, claim_teams = '{}',
      claims_at = null where id = $1 and offboarded is null returning id
  ), ${ended('and exists (select from unlinked)')} select id from unlinked`

const END_LINKED = `with ${ended('')} select 1`

const UNIQUE_VIOLATION = '23505'

function whoseLink(error: unknown): never {
  if ((error as { code?: unknown }).code !== UNIQUE_VIOLATION) throw error
  throw new Refused('another user is linked to that issuer and subject; `cedargate users ls`')
}

function sorted(names: readonly string[] | undefined): string[] | null {
  return names === undefined ? null : [...new Set(names)].toSorted()
}

function userRowOf(row: Row): UserRow {
  return {
    id: row['id'] as string,
    teams: row['teams'] as string[],
    claimTeams: row['claim_teams'] as string[],
    scopes: row['scopes'] as string[],
    roles: row['roles'] as string[],
    link: linkOf(row),
    grants: row['grants'] as number,
    sessions: row['sessions'] as number,
    createdAt: (row['created'] as Date).toISOString(),
    offboardedAt: (row['offboarded'] as Date | null)?.toISOString() ?? null,
  }
}

function linkOf(row: Row): UserRow['link'] {
  const issuer = row['issuer'] as string | null
  if (issuer === null) return null
  return { issuer, subject: row['subject'] as string, vouched: row['vouched'] === true }
}
