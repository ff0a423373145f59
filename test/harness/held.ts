// Owns a transaction that a test holds open on PostgreSQL, so that a statement under test meets it in the middle.
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import type { Sql } from '../../schemas/database/sql.ts'

export type HeldTransaction = {
  /** What it runs is not committed yet. */
  readonly sql: Sql
  /** Commits all of it, once somebody waits for that. */
  readonly commitWhenAwaited: () => Promise<void>
}

const POLL_MS = 10

export async function holdTransaction(url: string): Promise<HeldTransaction> {
  const client = new Client({ connectionString: url })
  await client.connect()
  await client.query('begin')
  return {
    sql: {
      dialect: 'postgres',
      query: async (text, params = []) => (await client.query(text, [...params])).rows,
    },
    async commitWhenAwaited() {
      try {
        while (!(await isAwaited(client))) await sleep(POLL_MS)
        await client.query('commit')
      } finally {
        await client.end()
      }
    },
  }
}

async function isAwaited(client: Client): Promise<boolean> {
  const { rows } = await client.query(
    'select from pg_stat_activity where pg_backend_pid() = any(pg_blocking_pids(pid))',
  )
  return rows.length > 0
}
