// Owns a fresh, migrated database for one test file, on whichever database the current project runs.
import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { inject } from 'vitest'
import { openPglite, openPostgres, type Store } from '../../pdp/src/store/open.ts'

/** Its own database of the run's PostgreSQL cluster, or a PGlite in memory. Close it; the cluster goes with the run. */
export async function openTestStore(): Promise<Store> {
  const url = await createTestDatabase()
  const store = url === undefined ? await openPglite('memory://') : await openPostgres(url)
  await store.migrate()
  return store
}

/** URL of a new, empty database in the project `postgres`; undefined in `pglite`. */
export async function createTestDatabase(): Promise<string | undefined> {
  const cluster = inject('postgresUrl')
  if (cluster === null) return undefined
  const name = `test_${randomUUID().replaceAll('-', '')}`
  const client = new Client({ connectionString: cluster })
  await client.connect()
  await client.query(`create database ${name}`)
  await client.end()
  const url = new URL(cluster)
  url.pathname = `/${name}`
  return url.href
}
