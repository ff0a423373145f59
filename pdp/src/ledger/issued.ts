// Owns the records this instance has issued and not yet seen in the database. A PEP that died with
// a verdict in its hands would leave a hole in the numbering; what no PEP has written in time, its
// PDP writes itself.
import { recordBytes } from '../../../schemas/database/append.ts'
import type { Sql } from '../../../schemas/database/sql.ts'
import type { SignedRecord } from '../../../schemas/leaf.ts'

/** How long a PEP has to write what it was given; it may act on it for far less. */
export const CLAIM_MS = 10_000
/** Younger records are not looked for yet: most are being committed just now. */
const SETTLE_MS = 1_000
/**
 * Records and bytes that may wait; beyond that nothing more is sealed, so nothing more is decided.
 */
const WAITING_MAX = 50_000
const WAITING_BYTES_MAX = 256 * 1024 * 1024
/** Records one statement looks for: PGlite answers on this thread, a few milliseconds for each. */
const PAGE = 1_024

export type Waiting = {
  readonly id: string
  readonly record: SignedRecord
  /** Monotonic ms. */
  readonly issuedAt: number
  /** The PEP that was to write it; null for what the PDP writes itself. */
  readonly pep: string | null
}

export type Issued = {
  /** Throws when too many wait. */
  readonly assertRoom: () => void
  readonly add: (entry: Waiting) => void
  readonly confirm: (id: string) => void
  readonly all: () => Waiting[]
  readonly size: () => number
  /**
   * Looks for all but the youngest; confirms what is there, answers those that are missing and past
   * CLAIM_MS.
   */
  readonly overdue: (now: number) => Promise<{ overdue: Waiting[]; displaced: number }>
}

/** `waitingMax` and `bytesMax`: see above. */
export function trackIssued(
  sql: Sql,
  waitingMax = WAITING_MAX,
  bytesMax = WAITING_BYTES_MAX,
): Issued {
  const waiting = new Map<string, Waiting>()
  let bytes = 0
  return {
    assertRoom() {
      if (waiting.size < waitingMax && bytes < bytesMax) return
      throw new Error(`${waiting.size} decisions wait to be recorded; nothing more is decided`)
    },
    add(entry) {
      waiting.set(entry.id, entry)
      bytes += recordBytes(entry.record)
    },
    confirm,
    all: () => [...waiting.values()],
    size: () => waiting.size,
    async overdue(now) {
      const settled = [...waiting.values()].filter(({ issuedAt }) => now - issuedAt >= SETTLE_MS)
      const overdue: Waiting[] = []
      let displaced = 0
      for (let from = 0; from < settled.length; from += PAGE) {
        const page = settled.slice(from, from + PAGE)
        const absent = await findAbsent(sql, page)
        for (const entry of page) {
          const state = absent.get(entry.id)
          if (state === 'displaced') displaced++
          if (state !== 'missing') confirm(entry.id)
          else if (now - entry.issuedAt >= CLAIM_MS) overdue.push(entry)
        }
      }
      return { overdue, displaced }
    },
  }

  function confirm(id: string): void {
    const entry = waiting.get(id)
    if (entry === undefined) return
    waiting.delete(id)
    bytes -= recordBytes(entry.record)
  }
}

/** Of `page`, what is not there as it was issued: no row at all, or another leaf under its id. */
async function findAbsent(
  sql: Sql,
  page: readonly Waiting[],
): Promise<Map<string, 'missing' | 'displaced'>> {
  const rows = await sql.query(
    `select i.id, r.id is null as missing from unnest($1::uuid[], $2::text[]) as i(id, hash)
     left join record r on r.id = i.id where r.id is null or r.leaf_hash <> decode(i.hash, 'hex')`,
    [page.map(({ id }) => id), page.map(({ record }) => record.hash)],
    'absent',
  )
  return new Map(
    rows.map((row) => [row['id'] as string, row['missing'] === true ? 'missing' : 'displaced']),
  )
}
