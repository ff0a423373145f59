// Owns bringing the tables to the release that runs, and refusing a database that is of another.
// The migrations are drizzle's files and drizzle's bookkeeping; only its runner is ours, because
// importing that one costs every start half a second (measured).
import { fileURLToPath } from 'node:url'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { StoreError } from './store-error.ts'

export const MIGRATIONS_DIRECTORY = fileURLToPath(
  new URL('../../../schemas/database/migrations', import.meta.url),
)

/** Runs one text without parameters; all of them on one connection, inside one transaction. */
export type Execute = (text: string) => Promise<unknown>
/** Hashes of what was applied, in order. */
export type ReadHashes = (text: string) => Promise<readonly { readonly hash: string }[]>

export const APPLIED = 'select hash from drizzle.__drizzle_migrations order by created_at, id'
/** Null in a database that was never migrated. */
export const BOOKKEEPING = `select to_regclass('drizzle.__drizzle_migrations')::text as name`

/**
 * Applies what is missing, all or none. Does NOT keep two from migrating at once: the caller holds
 * a lock.
 */
export async function applyMigrations(
  directory: string,
  execute: Execute,
  readHashes: ReadHashes,
): Promise<void> {
  const migrations = readMigrationFiles({ migrationsFolder: directory })
  await execute('create schema if not exists drizzle')
  await execute(`create table if not exists drizzle.__drizzle_migrations
    (id serial primary key, hash text not null, created_at bigint)`)
  const applied = (await readHashes(APPLIED)).map(({ hash }) => hash)
  assertPrefix(
    applied,
    migrations.map(({ hash }) => hash),
  )
  for (const { sql, hash, folderMillis } of migrations.slice(applied.length)) {
    for (const statement of sql) await execute(statement)
    await execute(`insert into drizzle.__drizzle_migrations (hash, created_at)
      values ('${hash}', ${folderMillis})`)
  }
}

/** Throws unless exactly the migrations of this release were applied. */
export function assertMigrated(applied: readonly string[], directory: string): void {
  const ours = readMigrationFiles({ migrationsFolder: directory }).map(({ hash }) => hash)
  assertPrefix(applied, ours)
  if (applied.length < ours.length) {
    throw new StoreError(
      `the database has ${applied.length} of ${ours.length} migrations; ` +
        'run `cedargate db migrate`',
    )
  }
}

function assertPrefix(applied: readonly string[], ours: readonly string[]): void {
  if (applied.every((hash, index) => hash === ours[index])) return
  throw new StoreError(
    'the database was migrated by another release; start that release, or use another database',
  )
}
