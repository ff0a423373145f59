// Owns the grants of the benchmark `grants`: as many as asked, written by SQL, each named by its number. Never more than
// their SHA-256 is stored, as of all gateway tokens.
import { hash } from 'node:crypto'
import { Client } from 'pg'

export const SERVER = 'bench'
const TEAM = 'load'
const GRANTS_EACH = 5

/** Users with GRANTS_EACH grants each, for the server of the bundle. They end a day from now. */
export async function storeGrants(database: string, count: number): Promise<void> {
  const client = new Client({ connectionString: database })
  await client.connect()
  try {
    await client.query(
      `insert into users (id, teams, created)
       select 'user-' || i, $2, now() from generate_series(0, ($1 - 1) / ${GRANTS_EACH}) as i`,
      [count, [TEAM]],
    )
    await client.query(`insert into agents (id, created) values ('load', now())`)
    await client.query(
      `insert into grants (id, token_sha256, token_last4, user_id, agent, servers, created, expires)
       select ('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid,
         encode(sha256(convert_to('grant-' || i, 'UTF8')), 'hex'), 'last',
         'user-' || i / ${GRANTS_EACH}, 'load', $2, now(), now() + interval '1 day'
       from generate_series(0, $1 - 1) as i`,
      [count, [SERVER]],
    )
    // What is measured is not the writing of all these.
    for (const settle of ['vacuum analyze', 'checkpoint']) await client.query(settle)
  } finally {
    await client.end()
  }
}

export function grantId(index: number): string {
  return `00000000-0000-4000-8000-${index.toString(16).padStart(12, '0')}`
}

/** SHA-256 of the token of a grant. */
export function tokenDigest(index: number): string {
  return hash('sha256', `grant-${index}`)
}
