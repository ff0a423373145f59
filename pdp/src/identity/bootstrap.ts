// Owns how a gateway gets its first admin: one token, printed once, good once and not for long; and roles given later.
// Never a role from a bundle: whoever may push policies would be an admin.
import { hash, timingSafeEqual } from 'node:crypto'
import type { Sql } from '../../../schemas/database/sql.ts'
import { formatToken, TOKEN_RANDOM_BYTES } from '../../../schemas/identifiers.ts'
import { BOOTSTRAP_LIFETIME_MS } from '../../../schemas/limits.ts'
import type { Clock, Random } from '../../../schemas/ports.ts'
import type { OperatorRole } from '../../../schemas/roles.ts'
import { isUnvouched, refusalFor } from './link.ts'
import { Refused } from './refused.ts'

/** `token` is shown here once; the database keeps its SHA-256. */
export type BootstrapToken = { readonly token: string; readonly expiresAt: Date }

export type Bootstrap = {
  /**
   * A token where there is and was no admin and none waits to be used; else undefined. Of several PDPs that start at
   * once one gets it. Admins by their groups are in no table: whoever retired a token, or used one, ends the offers.
   */
  readonly offer: () => Promise<BootstrapToken | undefined>
  /** A token in place of any other, also where there are admins: for who may write the database. */
  readonly renew: () => Promise<BootstrapToken>
  /** Whether this is the token that waits. Compared by digest, in constant time. Uses nothing up. */
  readonly isWaiting: (token: string) => Promise<boolean>
  /**
   * Makes the user an admin and uses the token up, both or neither. false: it is none, or was used. Throws Refused for
   * who is offboarded, or linked with nobody vouching for them.
   */
  readonly use: (token: string, user: string) => Promise<boolean>
  /**
   * Replaces the roles that the database gives a user; undefined: no such user. With the first admin, the token dies.
   * Throws Refused when that is more for who is offboarded, or linked with nobody vouching for them.
   */
  readonly setRoles: (
    user: string,
    roles: readonly OperatorRole[],
  ) => Promise<readonly OperatorRole[] | undefined>
  /** No token makes an admin any more: there is one. */
  readonly retire: () => Promise<void>
}

type Ports = { readonly sql: Sql; readonly clock: Clock; readonly random: Random }

export function openBootstrap({ sql, clock, random }: Ports): Bootstrap {
  const now = (): Date => new Date(clock.now())
  const make = async (text: string): Promise<BootstrapToken | undefined> => {
    const token = formatToken('bootstrap', random(TOKEN_RANDOM_BYTES), sha256)
    const expiresAt = new Date(clock.now() + BOOTSTRAP_LIFETIME_MS)
    const made = await sql.query(text, [sha256(token), expiresAt, now()])
    return made.length === 0 ? undefined : { token, expiresAt }
  }
  const isWaiting = async (token: string): Promise<boolean> => {
    const [row] = await sql.query(
      'select token_sha256 from bootstrap where used is null and expires > $1',
      [now()],
    )
    const kept = Buffer.from((row?.['token_sha256'] as string | undefined) ?? '', 'hex')
    const given = hash('sha256', token, 'buffer')
    return kept.length === given.length && timingSafeEqual(kept, given)
  }
  return {
    offer: () => make(OFFER),
    async renew() {
      const made = await make(RENEW)
      if (made === undefined) throw new Error('the bootstrap token was not written')
      return made
    },
    isWaiting,
    async use(token, user) {
      if ((await sql.query(USE, [sha256(token), user, now()])).length > 0) return true
      const refusal = (await isWaiting(token)) ? await refusalFor(sql, user) : undefined
      if (refusal !== undefined) throw new Refused(`${refusal.message} (${wayOut(user)})`)
      return false
    },
    async setRoles(user, roles) {
      const sorted = [...new Set(roles)].toSorted()
      const [row] = await sql.query(SET_ROLES, [user, sorted, now()])
      if (row !== undefined) return row['roles'] as OperatorRole[]
      const refusal = await refusalFor(sql, user)
      if (refusal !== undefined) throw refusal
      return undefined
    },
    retire: async () => void (await sql.query(RETIRE, [now()])),
  }
}

/** Where there is no admin, nobody could run the command that the refusal names. */
function wayOut(user: string): string {
  return `where nobody is an admin yet: use the token, which still waits, for another id; as that one run the command, then \`cedargate users roles ${user} admin\``
}

/** For people: what the token is for, how to use it, and what to do when it is lost. `url`: of the PDP. */
export function bootstrapNotice({ token, expiresAt }: BootstrapToken, url: string): string {
  return `cedargate: whoever has this token becomes an admin of this gateway, once, until ${expiresAt.toISOString()}:
  ${token}
to use it: cedargate login --url ${url} --bootstrap - --user <your id>   (then paste it)
if it is lost: cedargate db bootstrap`
}

const OFFER = `insert into bootstrap (token_sha256, expires)
  select $1::text, $2::timestamptz
  where not exists (select from users where 'admin' = any(roles) and offboarded is null)
  on conflict ("only") do update
    set token_sha256 = excluded.token_sha256, expires = excluded.expires
    where bootstrap.used is null and bootstrap.expires <= $3
  returning 1`

const RENEW = `insert into bootstrap (token_sha256, expires, used) select $1::text, $2::timestamptz, null where $3::timestamptz is not null
  on conflict ("only") do update
    set token_sha256 = excluded.token_sha256, expires = excluded.expires, used = null
  returning 1`

/**
 * The token is locked first, and used up only by whom the upsert made an admin: it judges the row as it is when its turn
 * comes, also one that another transaction was writing.
 */
const USE = `with waiting as (
    select from bootstrap where token_sha256 = $1 and used is null and expires > $3 for update
  ), admin as (
    insert into users (id, teams, created, roles) select $2, '{}', $3, '{admin}' from waiting
    on conflict (id) do update set roles = (
      select array_agg(distinct role order by role) from unnest(users.roles || excluded.roles) as role)
      where users.offboarded is null and not ${isUnvouched('users')}
    returning 1
  ) update bootstrap set used = $3 where token_sha256 = $1 and exists (select from admin)
  returning 1`

const SET_ROLES = `with changed as (
    update users set roles = $2 where id = $1
      and ($2::text[] <@ roles or (offboarded is null and not ${isUnvouched('users')}))
    returning roles
  ), retired as (
    update bootstrap set used = $3 where used is null
      and exists (select from changed where 'admin' = any(changed.roles))
  ) select roles from changed`

/** Also where no token was ever made: none is offered later, when the admins of now are gone. */
const RETIRE = `insert into bootstrap (token_sha256, expires, used) values ('', $1, $1)
  on conflict ("only") do update set used = excluded.used where bootstrap.used is null`

function sha256(text: string): string {
  return hash('sha256', text)
}
