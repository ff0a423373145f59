// Owns grants as people read them: the statements of lists, and their rows. Never holds a token: its last four
// characters at most.
import type { GRANT_STATES, GrantRow, GrantsQuery } from '../../../schemas/admin-api.ts'
import type { Row } from '../../../schemas/database/sql.ts'
import { FROM_GRANTS, IS_LINKED, TEAMS } from './grant.ts'

type Asked = { readonly text: string; readonly params: readonly unknown[] }

/** GRANT_STATES: the first that holds. `$1` is now. */
const STATE = `case when g.revoked is not null or not ${IS_LINKED} then 'revoked'
    when u.offboarded is not null then 'offboarded' when a.disabled is not null then 'agent_disabled'
    when g.expires <= $1 then 'expired' else 'active' end`
const SELECT_ROWS = `select g.*, ${TEAMS} as teams, ${STATE} as state ${FROM_GRANTS}`

/** What each filter asks of a row. */
const FILTERS = {
  user: (at: string) => `g.user_id = ${at}`,
  agent: (at: string) => `g.agent = ${at}`,
  server: (at: string) => `${at} = any(g.servers)`,
  state: (at: string) => `${STATE} = ${at}`,
  before: (at: string) => `g.id < ${at}::uuid`,
} as const

/** Ids sort by the time of their making: a page costs the same wherever it begins. */
export function listStatement({ limit, ...filters }: GrantsQuery, now: Date): Asked {
  const params: unknown[] = [now, limit]
  const conditions = Object.entries(FILTERS).flatMap(([name, condition]) => {
    const value = filters[name as keyof typeof FILTERS]
    return value === undefined ? [] : [condition(`$${params.push(value)}`)]
  })
  const where = conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`
  return { text: `${SELECT_ROWS} ${where} order by g.id desc limit $2`, params }
}

export function showStatement(id: string, now: Date): Asked {
  return { text: `${SELECT_ROWS} where g.id = $2`, params: [now, id] }
}

export function grantRowOf(row: Row): GrantRow {
  return {
    id: row['id'] as string,
    user: row['user_id'] as string | null,
    agent: row['agent'] as string,
    servers: row['servers'] as string[],
    teams: row['teams'] as string[],
    scopes: row['scopes'] as string[],
    tokenLast4: row['token_last4'] as string | null,
    client: clientOf(row),
    state: row['state'] as (typeof GRANT_STATES)[number],
    createdAt: (row['created'] as Date).toISOString(),
    expiresAt: (row['expires'] as Date).toISOString(),
    revokedAt: timeOf(row['revoked']),
    lastUsedAt: timeOf(row['last_used']),
    lastSource: row['last_source'] as string | null,
  }
}

function clientOf(row: Row): GrantRow['client'] {
  const { issuer, subject, client } = row as Record<string, string | null>
  if (issuer == null || subject == null || client == null) return null
  return { issuer, subject, client }
}

function timeOf(value: unknown): string | null {
  return value === null ? null : (value as Date).toISOString()
}
