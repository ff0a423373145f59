// Owns the PEP's connections to PostgreSQL: every one of them under the role that may only INSERT records.
import { Pool } from 'pg'
import type { Row, Sql } from '../../../schemas/database/sql.ts'
import { PEP_ROLE } from '../../../schemas/database/tables.ts'
import { RECORD_TIMEOUT_MS } from '../../../schemas/limits.ts'
import { RECORDS_IN_FLIGHT_MAX } from '../limits.ts'
import type { Log } from '../ports.ts'

export type RecordSql = Sql & { readonly close: () => Promise<void> }

/**
 * Opens connections as they are needed; `url` is a PostgreSQL connection string whose user is a member of
 * `cedargate_pep`. A lost connection is logged and replaced. Does NOT check that the database is there or migrated.
 */
export function openRecordSql(url: string, log: Log): RecordSql {
  const pool = new Pool({
    connectionString: url,
    options: `-c role=${PEP_ROLE} -c statement_timeout=${RECORD_TIMEOUT_MS}`,
    max: RECORDS_IN_FLIGHT_MAX + 1,
    connectionTimeoutMillis: RECORD_TIMEOUT_MS,
    query_timeout: RECORD_TIMEOUT_MS,
    application_name: 'cedargate-pep',
  })
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
