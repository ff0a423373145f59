// Owns keeping every bundle a decision may name, whole, for as long as a decision names it.
import type { Sql } from '../../../schemas/database/sql.ts'

/**
 * Stores the canonical content under its id; a bundle that is there already is left as it is. `now`
 * in milliseconds.
 */
export async function keepBundle(
  { sql }: { readonly sql: Sql },
  { id, content }: { readonly id: string; readonly content: string },
  now: number,
): Promise<void> {
  await sql.query(
    `insert into bundle (id, content, first_active) values ($1, $2, $3)
     on conflict (id) do nothing`,
    [id, content, new Date(now)],
  )
}
