// Owns a transaction that a test holds open on PostgreSQL, so that a statement under test meets it in the middle.
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'

export type HeldTransaction = {
  /** Commits what was held, once somebody waits for it. */
  readonly commitWhenAwaited: () => Promise<void>
}

const POLL_MS = 10

/** Runs one statement in a transaction that stays open. */
export async function holdTransaction(
  url: string,
  text: string,
  params: unknown[],
): Promise<HeldTransaction> {
  const client = new Client({ connectionString: url })
  await client.connect()
  await client.query('begin')
  await client.query(text, params)
  return {
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
