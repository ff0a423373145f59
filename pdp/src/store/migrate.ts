// Owns bringing the tables to the release that runs, and refusing a database that is of another.
import { fileURLToPath } from 'node:url'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { drizzle } from 'drizzle-orm/node-postgres'
import { migrate as runPostgres } from 'drizzle-orm/node-postgres/migrator'
import type { PgliteDatabase } from 'drizzle-orm/pglite'
import { migrate as runPglite } from 'drizzle-orm/pglite/migrator'
import type pg from 'pg'
import type { Sql } from '../../../schemas/database/sql.ts'

export const MIGRATIONS_DIRECTORY = fileURLToPath(
  new URL('../../../schemas/database/migrations', import.meta.url),
)

/** Any number will do, as long as nobody else locks on it: "cedargat" in ASCII. */
const MIGRATION_LOCK = 0x63_65_64_61_72_67_61_74n

/** PGlite belongs to one process, which migrates once. */
export async function migrateAlone(db: PgliteDatabase, migrationsFolder: string): Promise<void> {
  await runPglite(db, { migrationsFolder })
}

/** One migrator at a time; those who waited find nothing left to do. */
export async function migrateLocked(pool: pg.Pool, migrationsFolder: string): Promise<void> {
  const client = await pool.connect()
  let failure: unknown
  try {
    await client.query('set statement_timeout = 0')
    await client.query('select pg_advisory_lock($1)', [String(MIGRATION_LOCK)])
    await runPostgres(drizzle(client), { migrationsFolder })
  } catch (error) {
    failure = error
    throw error
  } finally {
    // The connection goes with its lock and its timeout; none of it may leak into the pool.
    client.release(failure instanceof Error ? failure : true)
  }
}

/** Throws unless the database holds exactly the migrations of this release. */
export async function compareMigrations(sql: Sql, migrationsFolder: string): Promise<void> {
  const ours = readMigrationFiles({ migrationsFolder }).map(({ hash }) => hash)
  const theirs = await appliedMigrations(sql)
  if (ours.join() === theirs.join()) return
  const behind = theirs.every((hash, index) => hash === ours[index])
  throw new Error(
    behind
      ? `the database has ${theirs.length} of ${ours.length} migrations; run \`cedargate migrate\``
      : 'the database was migrated by another release; start that release, or use another database',
  )
}

async function appliedMigrations(sql: Sql): Promise<string[]> {
  const [found] = await sql.query(`select to_regclass('drizzle.__drizzle_migrations') as name`)
  if (found?.['name'] === null) return []
  const rows = await sql.query('select hash from drizzle.__drizzle_migrations order by created_at')
  return rows.map((row) => String(row['hash']))
}
