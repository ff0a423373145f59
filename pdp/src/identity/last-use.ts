// Owns writing when a grant or a credential was last used: in the background, seldom, and never in the way of a decision.
// What is lost is lost: nothing rests on it.
import type { Sql } from '../../../schemas/database/sql.ts'
import { GRANTS_REMEMBERED_MAX, LAST_USED_MS } from '../../../schemas/limits.ts'
import type { Clock } from '../../../schemas/ports.ts'

export type LastUse = {
  /** At once and without I/O. */
  readonly note: (id: string, source: string | null) => void
  /** Writes what is noted. Never rejects. */
  readonly flush: () => Promise<void>
  readonly stop: () => Promise<void>
}

type Use = { readonly at: Date; readonly source: string | null }
type Ports = {
  readonly sql: Sql
  readonly clock: Clock
  readonly onFailure: (error: unknown) => void
}

const FLUSH_INTERVAL_MS = 1_000

/** Of a grant, and from where. */
export function keepLastUse(ports: Ports): LastUse {
  return keepLast(ports, writeOf('grants', ', last_source = source'))
}

/** When a credential was last released. */
export function keepLastRelease(ports: Ports): LastUse {
  return keepLast(ports, writeOf('credentials', ''))
}

/** Each id at most once in LAST_USED_MS. */
function keepLast({ sql, clock, onFailure }: Ports, write: string): LastUse {
  const noted = new Map<string, number>()
  let unwritten = new Map<string, Use>()
  const flush = async (): Promise<void> => {
    if (unwritten.size === 0) return
    const uses = [...unwritten]
    unwritten = new Map()
    await sql
      .query(write, [
        uses.map(([id]) => id),
        uses.map(([, { at }]) => at),
        uses.map(([, { source }]) => source),
      ])
      .catch(onFailure)
  }
  const timer = setInterval(() => void flush(), FLUSH_INTERVAL_MS)
  timer.unref()
  return {
    note(id, source) {
      const now = clock.now()
      const last = noted.get(id)
      if (last !== undefined && now - last < LAST_USED_MS && now >= last) return
      if (noted.size >= GRANTS_REMEMBERED_MAX) noted.clear()
      noted.set(id, now)
      unwritten.set(id, { at: new Date(now), source })
    },
    flush,
    async stop() {
      clearInterval(timer)
      await flush()
    },
  }
}

/** A row that somebody else is changing is left out: nobody waits for this, and nobody is waited for. */
function writeOf(table: string, more: string): string {
  return `with uses as (
    select * from unnest($1::uuid[], $2::timestamptz[], $3::text[]) as use (id, at, source)
  ), free as (
    select id from ${table} where id = any($1::uuid[]) order by id for update skip locked
  ) update ${table} kept set last_used = at${more}
    from uses join free using (id)
    where kept.id = uses.id and (kept.last_used is null or kept.last_used < at)`
}
