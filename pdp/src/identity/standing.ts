// Owns what the gateway knows of whom an advisory question names: their teams, and what user and agent may do at most.
// Never finds a grant: nobody showed a token.
import type { Sql } from '../../../schemas/database/sql.ts'
import type { Ceilings, Scope } from '../../../schemas/scopes.ts'
import { NO_CEILINGS } from '../../../schemas/scopes.ts'
import { isStorable } from '../../../schemas/stored-text.ts'
import { TEAMS } from './grant.ts'

/** `teams` are sorted. Of whom the gateway does not know: no team, no ceiling. */
export type Standing = { readonly teams: readonly string[]; readonly scopes: Ceilings }

/**
 * `user` null: the agent acts for nobody. Who is offboarded has neither team nor scope, and an agent that is disabled no
 * scope.
 */
export async function standingOf(sql: Sql, user: string | null, agent: string): Promise<Standing> {
  // A name that no database keeps is nobody's: to ask for it would fail, and its whole batch with it.
  const names = [user, agent].map((name) => (name !== null && isStorable(name) ? name : null))
  const [row] = await sql.query(STANDING, names, 'standing')
  return {
    teams: row?.['teams'] as string[],
    scopes: {
      user: (row?.['user_scopes'] as Scope[] | null) ?? NO_CEILINGS.user,
      agent: (row?.['agent_scopes'] as Scope[] | null) ?? NO_CEILINGS.agent,
      grant: NO_CEILINGS.grant,
    },
  }
}

const STANDING = `select
    case when u.offboarded is null then ${TEAMS} else '{}' end as teams,
    case when u.offboarded is null then u.scopes else '{}' end as user_scopes,
    case when a.disabled is null then a.scopes else '{}' end as agent_scopes
  from (select $1::text as user_id, $2::text as agent) asked
    left join users u on u.id = asked.user_id
    left join agents a on a.id = asked.agent`
