// Owns the people the gateway knows: an id and the teams it is in. Never a credential.
import type { Sql } from '../../../schemas/database/sql.ts'

/** Teams of a user, sorted; none for a user the gateway does not know. */
export async function teamsOf(sql: Sql, user: string): Promise<readonly string[]> {
  const [row] = await sql.query('select teams from users where id = $1', [user], 'teams')
  return (row?.['teams'] as string[] | undefined) ?? []
}
