// Owns the agents the gateway knows: what each may do at most, whoever it acts for, and whether it may act at all.
import type { AgentRequest, AgentRow } from '../../../schemas/admin-api.ts'
import type { Row } from '../../../schemas/database/sql.ts'
import { SCOPES } from '../../../schemas/scopes.ts'
import type { IdentityPorts } from './grants.ts'

export type Agents = {
  /** Makes the agent, or changes what is named. Grants of a disabled one are good for nothing until it is enabled. */
  readonly putAgent: (id: string, request: AgentRequest) => Promise<AgentRow>
  /** All, by id. */
  readonly listAgents: () => Promise<AgentRow[]>
}

export function openAgents({ sql, clock, feed }: Omit<IdentityPorts, 'random'>): Agents {
  const select = async (rest: string, params: unknown[]): Promise<AgentRow[]> =>
    (await sql.query(`${SELECT} ${rest}`, [new Date(clock.now()), ...params])).map(agentRowOf)
  return {
    async putAgent(id, { scopes, disabled }) {
      const now = new Date(clock.now())
      const set = scopes === undefined ? null : [...new Set(scopes)].toSorted()
      const params = [id, now, set, disabled ?? null, [...SCOPES]]
      await sql.query(PUT, params).finally(() => feed.note([{ kind: 'agent', id }]))
      return (await select('where a.id = $2', [id]))[0] as AgentRow
    },
    listAgents: () => select('order by a.id', []),
  }
}

/** `$1` is now. */
const SELECT = `select a.*, (select count(*) from grants g left join users u on u.id = g.user_id
    where g.agent = a.id and g.revoked is null and g.expires > $1 and u.offboarded is null
      and a.disabled is null) as grants
  from agents a`

const PUT = `insert into agents as a (id, created, scopes, disabled)
  values ($1, $2::timestamptz, coalesce($3::text[], $5::text[]),
    case when $4::boolean then $2::timestamptz end)
  on conflict (id) do update set scopes = coalesce($3::text[], a.scopes),
    disabled = case when $4::boolean is null then a.disabled when $4 then coalesce(a.disabled, $2::timestamptz) end`

function agentRowOf(row: Row): AgentRow {
  return {
    id: row['id'] as string,
    scopes: row['scopes'] as string[],
    grants: row['grants'] as number,
    createdAt: (row['created'] as Date).toISOString(),
    disabledAt: (row['disabled'] as Date | null)?.toISOString() ?? null,
  }
}
