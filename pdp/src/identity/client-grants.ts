// Owns the grants behind access tokens of an identity provider: one per issuer, subject and client. The first use makes
// one where gateway.yaml says so; one that was revoked is never made anew but by an admin.
import type { ClientGrantRequest } from '../../../schemas/admin-api.ts'
import type { Identity, IdentityClient } from '../../../schemas/bundle.ts'
import type { Row } from '../../../schemas/database/sql.ts'
import { durationMs } from '../../../schemas/duration.ts'
import { uuidV7 } from '../../../schemas/uuid.ts'
import { clientIn } from './claims.ts'
import type { IdentityPorts } from './grants.ts'
import { refusalFor } from './link.ts'
import { Refused } from './refused.ts'
import { TokenError } from './token-error.ts'
import type { VerifiedToken } from './verified.ts'

export type ClientGrants = {
  /**
   * Makes the grant of that token's first use, renews one that expired, and lets it follow gateway.yaml, all only where
   * that says `firstUse`; writes nothing when it stands as it should. Rejects with TokenError when there is none and may
   * be none. Does NOT say that user and agent are in force.
   */
  readonly admit: (token: VerifiedToken, user: string | null) => Promise<void>
  /**
   * Makes the grant that tokens of this client stand for, or lets the one there is live on: so also after a revocation.
   * Answers its id. Rejects with Refused.
   */
  readonly createClientGrant: (request: ClientGrantRequest, identity: Identity) => Promise<string>
}

export function openClientGrants({ sql, clock, random, feed }: IdentityPorts): ClientGrants {
  return {
    async admit(token, user) {
      const { issuer, subject, client, settings } = token
      const [row] = await sql.query(LAST, [issuer, subject, client], 'client-grant')
      if (row?.['revoked'] instanceof Date)
        throw new TokenError('unknown', `the grant ${String(row['id'])} is revoked`)
      if (row !== undefined && isAsItShouldBe(row, settings, user)) return
      if (!settings.firstUse) throw notAdmitted(row, token)
      const id = row === undefined ? newId() : String(row['id'])
      const values = [id, issuer, subject, client, user, ...written(settings)]
      // A write whose answer is lost may have been made.
      await sql
        .query(row === undefined ? FIRST_USE : RENEW, values)
        .finally(() => feed.note([{ kind: 'grant', id }]))
    },

    async createClientGrant({ user, issuer, client, expiresInMs }, identity) {
      const settings = clientIn(identity, { issuer, client })
      if (settings === undefined)
        throw new Refused(`gateway.yaml does not list the client ${client} of ${issuer}`)
      if (settings.headless)
        throw new Refused(`the client ${client} acts for nobody, not for ${user}`)
      const [row] = await sql.query(WHOSE, [user, settings.agent])
      if (row === undefined || row['issuer'] !== issuer)
        throw new Refused(`user ${user} is not linked to ${issuer}; \`cedargate users add\` links`)
      const refusal = await refusalFor(sql, user)
      if (refusal !== undefined) throw refusal
      if (row['disabled'] !== null)
        throw new Refused(`agent ${settings.agent} is disabled; see \`cedargate agents enable\``)
      const known = [newId(), issuer, row['subject'], client, user]
      const [made] = await sql
        .query(ORDERED, [...known, ...written(settings, expiresInMs)])
        .finally(() => feed.note([{ kind: 'user', id: user }]))
      return String(made?.['id'])
    },
  }

  function newId(): string {
    return uuidV7(clock.now(), 0, random(8))
  }

  /** agent, servers, scopes, now, expires: $6 to $10. */
  function written(settings: IdentityClient, expiresInMs = durationMs(settings.expires) ?? 0) {
    const now = clock.now()
    const expires = new Date(now + expiresInMs)
    const { agent, servers, scopes } = settings
    return [agent, servers, scopes, new Date(now), expires]
  }

  function isAsItShouldBe(row: Row, settings: IdentityClient, user: string | null): boolean {
    const { agent, servers, scopes, firstUse } = settings
    const lives = clock.now() < (row['expires'] as Date).getTime()
    const fits = lives && row['user_id'] === user && row['agent'] === agent
    if (!fits || !firstUse) return fits
    return isSame(row['servers'], servers) && isSame(row['scopes'], scopes)
  }
}

function isSame(before: unknown, now: readonly string[]): boolean {
  return JSON.stringify((before as string[]).toSorted()) === JSON.stringify(now.toSorted())
}

function notAdmitted(row: Row | undefined, { client, subject }: VerifiedToken): TokenError {
  if (row !== undefined)
    return new TokenError('expired', `the grant ${String(row['id'])} has expired`)
  const message = `gateway.yaml lets nobody in by the first use of ${client}, and ${subject} has no grant`
  return new TokenError('client_not_allowed', message)
}

const WHOSE = `select issuer, subject,
    (select disabled from agents where id = $2) as disabled from users where id = $1`

/** The one that is not revoked, else the last. */
const LAST = `select id, user_id, agent, servers, scopes, expires, revoked from grants
  where issuer = $1 and subject = $2 and client = $3
  order by (revoked is null) desc, created desc limit 1`

const ACTING = `with acting as (
    insert into agents (id, created) values ($6, $9) on conflict (id) do nothing
  )`
const INSERT = `${ACTING} insert into grants
    (id, issuer, subject, client, user_id, agent, servers, scopes, created, expires)
  select $1::uuid, $2, $3, $4, $5, $6, $7::text[], $8::text[], $9::timestamptz, $10::timestamptz`

/** Never beside another, whatever became of that: a revocation would be undone. */
const FIRST_USE = `${INSERT}
  where not exists (
    select from grants where issuer = $2 and subject = $3 and client = $4)
  on conflict do nothing`

const RENEW = `${ACTING} update grants set user_id = $5, agent = $6, servers = $7, scopes = $8,
    expires = case when expires <= $9 then $10::timestamptz else expires end
  where id = $1 and issuer = $2 and subject = $3 and client = $4 and revoked is null`

const ORDERED = `${INSERT}
  on conflict (issuer, subject, client) where issuer is not null and revoked is null
  do update set user_id = excluded.user_id, agent = excluded.agent, servers = excluded.servers,
    scopes = excluded.scopes, expires = excluded.expires
  returning id`
