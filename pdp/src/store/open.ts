// Owns the connection to the database: PostgreSQL, or PGlite in this process. The same Store over
// both. Never holds a statement of any room; the rooms bring their own SQL.
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Pool, type PoolConfig } from 'pg'
import type { Dialect, Row, Sql } from '../../../schemas/database/sql.ts'
import { listenOn } from './listen.ts'
import { holdLock } from './lock-file.ts'
import {
  APPLIED,
  applyMigrations,
  assertMigrated,
  BOOKKEEPING,
  MIGRATIONS_DIRECTORY,
} from './migrate.ts'
import { startPglite } from './pglite.ts'
import { clientConfig, databaseError, poolConfig, promptConfig } from './postgres-config.ts'
import { StoreError } from './store-error.ts'

export type Store = {
  readonly dialect: Dialect
  /** As the role the store was opened with. */
  readonly sql: Sql
  /**
   * The same on connections of its own, so that it waits for nobody's statement; one that is not answered within
   * IDENTITY_TIMEOUT_MS is given up and its connection dropped. On PGlite it is `sql`.
   */
  readonly prompt: Sql
  /**
   * Calls back when something may have been notified on this channel of PostgreSQL, until the returned function has
   * resolved. May miss some, and says nothing of what it was. Never calls back on PGlite.
   */
  readonly listen: (channel: string, onNotified: () => void) => () => Promise<void>
  /** Brings the tables up to date; safe to run from several processes at once. */
  readonly migrate: () => Promise<void>
  /** Throws when the tables are older than this release, or newer. */
  readonly checkMigrated: () => Promise<void>
  /** The same database, every statement as `role`. Opened on first use. */
  readonly withRole: (role: string) => Sql
  readonly close: () => Promise<void>
}

export type StoreOptions = {
  /**
   * Every statement runs as this role; the login must be a member of it. Default: the login itself.
   */
  readonly role?: string
  /** Connections. Default 8. */
  readonly max?: number
  /** Where the generated migrations lie. Default: beside the schemas in this checkout. */
  readonly migrations?: string
}

/**
 * Opens DATABASE_URL and proves that it answers. Throws one line that names the setting, never the
 * password. Every connection is refused unless it commits with `synchronous_commit` on. Does NOT
 * check that the tables exist.
 */
export async function openPostgres(url: string, options: StoreOptions = {}): Promise<Store> {
  const pools: Pool[] = []
  const pool = openPool(poolConfig(url, options.role, options.max))
  const prompt = openPool(promptConfig(url, options.role))
  const sql = postgresSql(pool, url)
  const roles = new Map<string, Sql>()
  const migrations = options.migrations ?? MIGRATIONS_DIRECTORY
  await sql.query('select 1').catch(async (error: unknown) => {
    await pool.end()
    throw error
  })
  return {
    dialect: 'postgres',
    sql,
    prompt: postgresSql(prompt, url),
    listen: (channel, onNotified) => listenOn(clientConfig(url, options.role), channel, onNotified),
    migrate: () => migratePostgres(pool, migrations),
    checkMigrated: () => checkMigrated(sql, migrations),
    withRole: (role) =>
      remembered(roles, role, () => postgresSql(openPool(poolConfig(url, role, options.max)), url)),
    close: async () => {
      await Promise.all(pools.map((one) => one.end()))
    },
  }

  function openPool(config: PoolConfig): Pool {
    const opened = new Pool(config)
    // An idle connection that breaks is dropped by the pool; the next statement opens another or
    // fails.
    opened.on('error', () => {})
    pools.push(opened)
    return opened
  }
}

function postgresSql(pool: Pool, url: string): Sql {
  return {
    dialect: 'postgres',
    async query(text, params = [], name) {
      try {
        const values = [...params]
        const result = await pool.query<Row>(name ? { name, text, values } : { text, values })
        return result.rows
      } catch (error) {
        throw databaseError(error, url)
      }
    },
  }
}

/**
 * Opens the embedded database in `directory` (made if absent, mode 0700), for this process alone;
 * `memory://` keeps everything in memory. Not safe against power loss: PGlite commits without fsync
 * (the process may be killed).
 */
export async function openPglite(
  directory: string,
  options: Pick<StoreOptions, 'migrations'> = {},
): Promise<Store> {
  const lock = directory.startsWith('memory://') ? undefined : await prepareDirectory(directory)
  const client = await startPglite(directory).catch(async (error: unknown) => {
    await lock?.release()
    const message = `cannot open the embedded database in ${directory} (CEDARGATE_HOME)`
    throw new StoreError(`${message}: ${String(error)}`, { cause: error })
  })
  const sqlOf = (role?: string): Sql => ({
    dialect: 'pglite',
    query: (text, params = []) => client.ask({ kind: 'query', text, params, role }),
  })
  const sql = sqlOf()
  const roles = new Map<string, Sql>()
  const migrations = options.migrations ?? MIGRATIONS_DIRECTORY
  return {
    dialect: 'pglite',
    sql,
    prompt: sql,
    listen: () => async () => {},
    migrate: async () => void (await client.ask({ kind: 'migrate', directory: migrations })),
    checkMigrated: () => checkMigrated(sql, migrations),
    withRole: (role) => remembered(roles, role, () => sqlOf(role)),
    close: async () => {
      try {
        await client.close()
      } finally {
        await lock?.release()
      }
    },
  }
}

/** One migrator at a time; those who waited find nothing left to do. */
async function migratePostgres(pool: Pool, migrations: string): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    await client.query('set local statement_timeout = 0')
    await client.query(`select pg_advisory_xact_lock(${MIGRATION_LOCK})`)
    await applyMigrations(
      migrations,
      (text) => client.query(text),
      async (text) => (await client.query<{ hash: string }>(text)).rows,
    )
    await client.query('commit')
  } finally {
    // The connection is not given back: after a failure its transaction is still open, and ends
    // with it.
    client.release(true)
  }
}

/** Any number nobody else locks on: "cedargat" in ASCII. */
const MIGRATION_LOCK = '7162241152096625012'

async function checkMigrated(sql: Sql, migrations: string): Promise<void> {
  const [found] = await sql.query(BOOKKEEPING)
  const applied = found?.['name'] === null ? [] : await sql.query(APPLIED)
  assertMigrated(
    applied.map((row) => String(row['hash'])),
    migrations,
  )
}

async function prepareDirectory(directory: string): Promise<{ release: () => Promise<void> }> {
  try {
    await mkdir(dirname(directory), { recursive: true, mode: 0o700 })
    return await holdLock(`${directory}.lock`)
  } catch (error) {
    const hint = 'set CEDARGATE_HOME to a directory of your own'
    const reason = error instanceof Error ? error.message : String(error)
    throw new StoreError(`cannot use ${directory}: ${reason}; ${hint}`, { cause: error })
  }
}

function remembered<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
  const found = map.get(key) ?? make()
  map.set(key, found)
  return found
}
