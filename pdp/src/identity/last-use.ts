// Owns writing when a grant was last used and from where: in the background, seldom, and never in the way of a decision.
// What is lost is lost: nothing rests on it.
import type { Sql } from '../../../schemas/database/sql.ts'
import { GRANTS_REMEMBERED_MAX, LAST_USED_MS } from '../../../schemas/limits.ts'
import type { Clock } from '../../../schemas/ports.ts'

export type LastUse = {
  /** At once and without I/O. */
  readonly note: (grant: string, source: string | null) => void
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

/** Each grant at most once in LAST_USED_MS. */
export function keepLastUse({ sql, clock, onFailure }: Ports): LastUse {
  const noted = new Map<string, number>()
  let unwritten = new Map<string, Use>()
  const flush = async (): Promise<void> => {
    if (unwritten.size === 0) return
    const uses = [...unwritten]
    unwritten = new Map()
    await sql
      .query(WRITE, [
        uses.map(([grant]) => grant),
        uses.map(([, { at }]) => at),
        uses.map(([, { source }]) => source),
      ])
      .catch(onFailure)
  }
  const timer = setInterval(() => void flush(), FLUSH_INTERVAL_MS)
  timer.unref()
  return {
    note(grant, source) {
      const now = clock.now()
      const last = noted.get(grant)
      if (last !== undefined && now - last < LAST_USED_MS && now >= last) return
      if (noted.size >= GRANTS_REMEMBERED_MAX) noted.clear()
      noted.set(grant, now)
      unwritten.set(grant, { at: new Date(now), source })
    },
    flush,
    async stop() {
      clearInterval(timer)
      await flush()
    },
  }
}

/** A grant that somebody else is changing is left out: nobody waits for this, and nobody is waited for. */
const WRITE = `with uses as (
    select * from unnest($1::uuid[], $2::timestamptz[], $3::text[]) as use (id, at, source)
  ), free as (
    select id from grants where id = any($1::uuid[]) order by id for update skip locked
  ) update grants g set last_used = at, last_source = source
    from uses join free using (id)
    where g.id = uses.id and (g.last_used is null or g.last_used < at)`
