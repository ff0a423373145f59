// Owns the PEP's connections to PostgreSQL: every one of them under the role that may only INSERT
// records.
import { Pool } from 'pg'
import { PEP_ROLE } from '../../../schemas/database/append.ts'
import type { Row, Sql } from '../../../schemas/database/sql.ts'
import { RECORD_TIMEOUT_MS } from '../../../schemas/limits.ts'
import { RECORDS_IN_FLIGHT_MAX } from '../limits.ts'
import type { Log } from '../ports.ts'

export type RecordSql = Sql & { readonly close: () => Promise<void> }

/**
 * Opens connections as they are needed; `url` is a PostgreSQL URL whose user is a member of
 * `cedargate_pep`. A connection with another role, or that commits without waiting for the disk, is
 * refused. A lost one is logged and replaced. Does NOT check that the database is there or
 * migrated.
 */
export function openRecordSql(url: string, log: Log): RecordSql {
  const pool = new Pool(poolConfig(url))
  pool.on('error', (error) => log.warn({ err: error }, 'a database connection was lost'))
  return {
    dialect: 'postgres',
    async query(text, params = [], name) {
      const values = [...params]
      const { rows } = await pool.query<Row>(
        name === undefined ? { text, values } : { name, text, values },
      )
      return rows
    },
    close: () => pool.end(),
  }
}

function poolConfig(url: string) {
  return {
    connectionString: withRole(url),
    max: RECORDS_IN_FLIGHT_MAX + 1,
    keepAlive: true,
    connectionTimeoutMillis: RECORD_TIMEOUT_MS,
    statement_timeout: RECORD_TIMEOUT_MS,
    query_timeout: RECORD_TIMEOUT_MS,
    application_name: 'cedargate-pep',
    onConnect: assertSafe,
  }
}

/**
 * The role is part of the connection, so no statement runs without it. Of two `options`, pg reads
 * the last.
 */
function withRole(url: string): string {
  const own = /[?&]options=([^&]*)/.exec(url)?.[1] ?? ''
  const options = `${decodeURIComponent(own.replaceAll('+', ' '))} -c role=${PEP_ROLE}`.trim()
  return `${url}${url.includes('?') ? '&' : '?'}options=${encodeURIComponent(options)}`
}

type Connected = { query: (text: string) => Promise<{ rows: Row[] }> }

async function assertSafe(client: Connected): Promise<void> {
  const { rows } = await client.query(
    `select current_user as role, current_setting('synchronous_commit') as commit`,
  )
  const { role, commit } = rows[0] ?? {}
  if (role !== PEP_ROLE) throw new Error(`DATABASE_URL does not act as ${PEP_ROLE}`)
  if (commit === 'on' || commit === 'remote_apply') return
  throw new Error(
    `the database of DATABASE_URL has synchronous_commit=${String(commit)}; set it to on`,
  )
}
