// Owns whether somebody may come to a server at all, for what they do in a browser. Never decides a call.
import type { Sql } from '../../../schemas/database/sql.ts'
import type { Clock } from '../../../schemas/ports.ts'
import { FROM_GRANTS, IN_FORCE } from './grant.ts'

/** Whether a grant of that user for that server is in force now. */
export type HasGrant = (user: string, server: string) => Promise<boolean>

export function openHasGrant(ports: { readonly sql: Sql; readonly clock: Clock }): HasGrant {
  return async function hasGrant(user, server) {
    const text = `select 1 ${FROM_GRANTS}
      where g.user_id = $1 and $2 = any(g.servers) and g.expires > $3 and ${IN_FORCE} limit 1`
    const now = new Date(ports.clock.now())
    return (await ports.sql.query(text, [user, server, now])).length > 0
  }
}
