// Owns committing records that this PDP writes itself, several callers' at a time. Self-clocking:
// what gathers while one commit is under way is the next batch.
import { appendStatement, recordBytes } from '../../../schemas/database/append.ts'
import type { Sql } from '../../../schemas/database/sql.ts'
import type { SignedRecord } from '../../../schemas/leaf.ts'
import { RECORD_ROWS_MAX } from '../../../schemas/limits.ts'

/**
 * Resolves when all of them are committed. A rejection means *unknown*; to write them again is
 * safe.
 */
export type Write = (records: readonly SignedRecord[]) => Promise<void>

/** Of one statement; a single record may be larger. */
const BATCH_BYTES_MAX = 8 * 1024 * 1024

type Waiting = {
  readonly record: SignedRecord
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export function createWriter(sql: Sql): Write {
  const waiting: Waiting[] = []
  let writing = false
  return async function write(records) {
    const written = records.map(
      (record) =>
        new Promise<void>((resolve, reject) => {
          waiting.push({ record, resolve, reject })
        }),
    )
    if (!writing) void drain()
    await Promise.all(written)
  }

  /** Never rejects: each failure goes to those who wait for that batch. */
  async function drain(): Promise<void> {
    writing = true
    while (waiting.length > 0) {
      const batch = waiting.splice(0, batchLength(waiting))
      try {
        const { text, params, name } = appendStatement(
          sql.dialect,
          batch.map(({ record }) => record),
        )
        await sql.query(text, params, name)
        for (const { resolve } of batch) resolve()
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    writing = false
  }
}

function batchLength(waiting: readonly Waiting[]): number {
  let bytes = 0
  let length = 0
  for (const { record } of waiting) {
    bytes += recordBytes(record)
    if (length > 0 && (bytes > BATCH_BYTES_MAX || length === RECORD_ROWS_MAX)) break
    length++
  }
  return length
}
