// Owns what a grant is once it is resolved, and how the database says it. Never decides what it may be used for.
import type { Row } from '../../../schemas/database/sql.ts'
import { type Ceilings, SCOPES, type Scope } from '../../../schemas/scopes.ts'
import type { Origin } from './changes.ts'

/** A grant in force at the moment it was resolved. */
export type Grant = {
  readonly id: string
  /** Null: it acts for nobody. */
  readonly user: string | null
  readonly agent: string
  /** Given by operators or by claims, sorted. */
  readonly teams: readonly string[]
  readonly servers: readonly string[]
  readonly scopes: Ceilings
  /** Milliseconds since 1970. */
  readonly expiresAt: number
  /** Whose access tokens it stands for; null: it has a token of its own. */
  readonly client: ClientKey | null
}

/** Who a client of an identity provider speaks for: `issuer`, `subject` and `client` of its access tokens. */
export type ClientKey = {
  readonly issuer: string
  readonly subject: string
  readonly client: string
}

/** What a caller showed. `token` is the SHA-256 (hex) of what stood in the header; `jwt` that itself where it is one. */
export type Credential = { readonly token: string; readonly jwt: string | null }

/**
 * Grants by `token` of their credential. Unknown, expired and revoked ones are absent, and those of offboarded users and
 * disabled agents. Throws when the database does not answer in time.
 */
export type ResolveCallers = (
  credentials: readonly Credential[],
) => Promise<ReadonlyMap<string, Grant>>

/** What a grant was read from. */
export function originsOf({ id, user, agent }: Grant): readonly Origin[] {
  const own = [
    { kind: 'grant', id },
    { kind: 'agent', id: agent },
  ]
  return user === null ? own : [...own, { kind: 'user', id: user }]
}

/** Teams of the user row `u`. */
export const TEAMS = `(select coalesce(array_agg(distinct team order by team), '{}')
  from unnest(u.teams || u.claim_teams) as team)`

/** A grant with its user and agent, the columns of grantOf; `g`, `u` and `a` are the rows. */
export const SELECT_GRANT = `select g.id, g.user_id, g.agent, g.servers, g.scopes, g.expires,
    g.issuer, g.subject, g.client,
    u.scopes as user_scopes, a.scopes as agent_scopes, ${TEAMS} as teams`
export const FROM_GRANTS = `from grants g join agents a on a.id = g.agent
  left join users u on u.id = g.user_id`
/**
 * That of a client goes with the link it was made by, also one that was made in the moment of unlinking. Never null: a
 * user without a link has null in both columns.
 */
export const IS_LINKED = `(g.issuer is null or g.user_id is null
  or (g.issuer = u.issuer and g.subject = u.subject) is true)`
export const IN_FORCE = `g.revoked is null and u.offboarded is null and a.disabled is null
  and ${IS_LINKED}`

export function grantOf(row: Row): Grant {
  const { issuer, subject, client } = row as Partial<ClientKey>
  const isClients = issuer && subject && client
  return {
    id: row['id'] as string,
    user: row['user_id'] as string | null,
    agent: row['agent'] as string,
    teams: row['teams'] as string[],
    servers: row['servers'] as string[],
    scopes: {
      user: scopesOf(row['user_scopes'] ?? SCOPES),
      agent: scopesOf(row['agent_scopes']),
      grant: scopesOf(row['scopes']),
    },
    expiresAt: (row['expires'] as Date).getTime(),
    client: isClients ? { issuer, subject, client } : null,
  }
}

/** Sorted: the same ceilings read the same wherever they are written down. */
function scopesOf(stored: unknown): Scope[] {
  return (stored as Scope[]).toSorted()
}
