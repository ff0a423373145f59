// Owns whether somebody who signed in at the identity provider may connect an account now. Never remembers it: it is asked at
// every step, and within the statement that keeps the account.
import type { Sql } from '../../../schemas/database/sql.ts'
import type { Clock } from '../../../schemas/ports.ts'
import type { OperatorRole } from '../../../schemas/roles.ts'
import { FROM_GRANTS, IN_FORCE } from './grant.ts'
import type { Link } from './link.ts'

/** Who, as the identity provider said. `isKeeper`: by their groups; what an admin gave them is looked up. */
export type SignedIn = Link & { readonly user: string; readonly isKeeper: boolean }

/** `user` null: the deployment's account, which takes a keeper. */
type Account = { readonly server: string; readonly user: string | null }
export type MayConnect = (by: SignedIn, account: Account) => Promise<boolean>

type Role = Extract<OperatorRole, 'admin' | 'credential-admin'>
const KEEPERS: readonly Role[] = ['admin', 'credential-admin']

export function isKeeper(roles: readonly OperatorRole[]): boolean {
  return KEEPERS.some((role) => roles.includes(role))
}

/**
 * Selects the user who signed in, as long as they are linked so, not offboarded, and what they must be. `first`: the place
 * of the first of `standingParams`.
 */
export function standing(first: number): string {
  return `select from users u where u.id = $${first} and u.issuer = $${first + 1} and u.subject = $${first + 2}
    and u.offboarded is null and ($${first + 3}::boolean or u.roles && '{${KEEPERS.join()}}')`
}

export function standingParams(by: SignedIn, user: string | null): unknown[] {
  return [by.user, by.issuer, by.subject, by.isKeeper || user !== null]
}

export function openMayConnect(ports: { readonly sql: Sql; readonly clock: Clock }): MayConnect {
  const { sql, clock } = ports
  return async function mayConnect(by, { server, user }) {
    if (user !== null && user !== by.user) return false
    const params = standingParams(by, user)
    if ((await sql.query(`select 1 where exists (${standing(1)})`, params)).length === 0)
      return false
    return user === null || (await hasGrant(user, server))
  }

  /** Whether a grant of that user for that server is in force now. */
  async function hasGrant(user: string, server: string): Promise<boolean> {
    const text = `select 1 ${FROM_GRANTS}
      where g.user_id = $1 and $2 = any(g.servers) and g.expires > $3 and ${IN_FORCE} limit 1`
    return (await sql.query(text, [user, server, new Date(clock.now())])).length > 0
  }
}
