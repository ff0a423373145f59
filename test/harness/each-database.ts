// Owns running one unit test file on both databases: PGlite always, PostgreSQL where the machine
// has its programs.
import { rm } from 'node:fs/promises'
import { Client } from 'pg'
import { afterAll, beforeAll, describe } from 'vitest'
import { openPglite, openPostgres, type Store } from '../../pdp/src/store/open.ts'
import { freshPglite } from './pglite.ts'
import { findPostgres, startCluster } from './postgres.ts'

const START_TIMEOUT_MS = 60_000

export type TestDatabase = {
  readonly store: Store
  /** DATABASE_URL; undefined on PGlite. */
  readonly url: string | undefined
  readonly close: () => Promise<void>
}

const NAMES: ('pglite' | 'postgres')[] =
  findPostgres() === undefined ? ['pglite'] : ['pglite', 'postgres']

/**
 * Declares `body` once per database. `database()` is a fresh, migrated one, from beforeAll to
 * afterAll.
 */
export function onEachDatabase(
  body: (database: () => TestDatabase, name: 'pglite' | 'postgres') => void,
): void {
  describe.each(NAMES)('%s', (name) => {
    let opened: TestDatabase | undefined
    beforeAll(async () => {
      opened = await (name === 'pglite' ? openOnPglite() : openOnPostgres())
    }, START_TIMEOUT_MS)
    afterAll(() => opened?.close(), START_TIMEOUT_MS)
    body(() => {
      if (opened === undefined) throw new Error('the database is open only while tests run')
      return opened
    }, name)
  })
}

/** For a test that needs one database only. */
export async function openOnPglite(): Promise<TestDatabase> {
  const { home, directory } = await freshPglite()
  const store = await openPglite(directory)
  return {
    store,
    url: undefined,
    close: async () => {
      await store.close()
      await rm(home, { recursive: true })
    },
  }
}

async function openOnPostgres(): Promise<TestDatabase> {
  const cluster = await startCluster({ durable: true })
  const client = new Client({ connectionString: cluster.url })
  await client.connect()
  await client.query('create database cedargate')
  await client.end()
  const url = new URL(cluster.url)
  url.pathname = '/cedargate'
  const store = await openPostgres(url.href)
  await store.migrate()
  return {
    store,
    url: url.href,
    close: async () => {
      await store.close()
      await cluster.stop()
    },
  }
}
