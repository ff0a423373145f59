// Owns login sessions of operators: a bearer token that is shown once and ends by time, by signing out, or with its user.
// Looked up at every request: nothing is remembered, so that whoever is taken off is off. Never says who may sign in.
import { hash } from 'node:crypto'
import type { CreatedSession } from '../../../schemas/admin-api.ts'
import type { Row, Sql } from '../../../schemas/database/sql.ts'
import { formatToken, isWellFormedToken, TOKEN_RANDOM_BYTES } from '../../../schemas/identifiers.ts'
import { ID_TOKEN_AGE_MS_MAX, SESSION_LIFETIME_MS } from '../../../schemas/limits.ts'
import type { Clock, Random } from '../../../schemas/ports.ts'
import { OPERATOR_ROLES, type OperatorRole } from '../../../schemas/roles.ts'
import { uuidV7 } from '../../../schemas/uuid.ts'
import type { Operator } from '../routes/roles.ts'
import type { Link } from './link.ts'

export type NewSession = {
  readonly user: string
  /** What their groups give them. What the database gives them counts besides, as it stands at each request. */
  readonly roles: readonly OperatorRole[]
  /** Address they came from; null where there is none. */
  readonly source: string | null
  readonly idToken?: UsedIdToken
}

/**
 * What somebody signed in with. `sha256` (hex) is of what the ID token signs (header and payload: a signature may be
 * written in two ways); it is used once. The user must still be linked so.
 */
export type UsedIdToken = Link & { readonly sha256: string }

export type Sessions = {
  /** Undefined when the ID token was used before, or the user is offboarded, unknown or not linked so. */
  readonly createSession: (session: NewSession) => Promise<CreatedSession | undefined>
  /** Undefined: no such session, it has ended, or its user is offboarded. */
  readonly resolveSession: (token: string) => Promise<Operator | undefined>
  readonly endSession: (id: string) => Promise<void>
}

/** How much longer than anybody accepts an ID token it is remembered as used: clocks differ. */
const USED_MARGIN_MS = 60 * 60_000

type Ports = { readonly sql: Sql; readonly clock: Clock; readonly random: Random }

export function openSessions({ sql, clock, random }: Ports): Sessions {
  return {
    async createSession({ user, roles, source, idToken }) {
      const now = clock.now()
      const token = formatToken('session', random(TOKEN_RANDOM_BYTES), sha256)
      const id = uuidV7(now, 0, random(8))
      const expires = new Date(now + SESSION_LIFETIME_MS)
      const forgotten = new Date(now + ID_TOKEN_AGE_MS_MAX + USED_MARGIN_MS)
      await sql.query('delete from used_id_token where expires < $1', [new Date(now)])
      const [made] = await sql.query(idToken === undefined ? CREATE : CREATE_BY_ID_TOKEN, [
        id, user, sha256(token), roles, new Date(now), expires, source,
        ...(idToken === undefined ? [] : [idToken.sha256, forgotten, idToken.issuer, idToken.subject]),
      ]) // biome-ignore format: a list
      if (made === undefined) return undefined
      return { token, user, roles: rolesOf(made), expiresAt: expires.toISOString() }
    },
    async resolveSession(token) {
      if (!isWellFormedToken('session', token, sha256)) return undefined
      const [row] = await sql.query(
        RESOLVE,
        [sha256(token), new Date(clock.now())],
        'login-session',
      )
      if (row === undefined) return undefined
      const expiresAt = (row['expires'] as Date).getTime()
      const session = { id: row['id'] as string, expiresAt }
      return { kind: 'operator', user: row['user_id'] as string, roles: rolesOf(row), session }
    },
    async endSession(id) {
      const now = new Date(clock.now())
      await sql.query('update login_sessions set revoked = $2 where id = $1 and revoked is null', [
        id,
        now,
      ])
    },
  }
}

/** The user is locked: who is being offboarded or unlinked at this moment gets no session. */
const insertFrom = (ofUser: string, conditions: string): string =>
  `owner as (select id, roles from users where id = $2 and offboarded is null ${ofUser} for share),
   made as (
    insert into login_sessions (id, user_id, token_sha256, roles, created, expires, last_source)
    select $1, owner.id, $3, $4, $5, $6, $7 from owner ${conditions} returning roles
  ) select made.roles || owner.roles as roles from made, owner`

const CREATE = `with ${insertFrom('', '')}`

/** Two who come with one ID token at once: the second waits for the first and finds it used. */
const CREATE_BY_ID_TOKEN = `with used as (
    insert into used_id_token (sha256, expires) values ($8, $9) on conflict do nothing returning 1
  ), ${insertFrom('and issuer = $10 and subject = $11', 'where exists (select from used)')}`

const RESOLVE = `select s.id, s.user_id, s.expires, s.roles || u.roles as roles
  from login_sessions s join users u on u.id = s.user_id
  where s.token_sha256 = $1 and s.revoked is null and s.expires > $2 and u.offboarded is null`

/** Each once, in the order of OPERATOR_ROLES; a word that is no role counts for nothing. */
function rolesOf(row: Row): OperatorRole[] {
  const roles = row['roles'] as string[]
  return OPERATOR_ROLES.filter((role) => roles.includes(role))
}

function sha256(text: string): string {
  return hash('sha256', text)
}
