// Owns one look at `identity_change`: the statement, and what its answer means after the one before. Pure.
import type { Row } from '../../../schemas/database/sql.ts'
import { IDENTITY_CHANGE_KEPT_MS } from '../../../schemas/limits.ts'
import type { Origin } from './changes.ts'

/** When a look began, by both clocks. */
type Began = { readonly wall: number; readonly monotonic: number }

export type Look = Began & {
  /** pg_snapshot: which transactions this look saw. */
  readonly snapshot: string
  /** Transactions before this one were over. */
  readonly horizon: string
  /** The first transaction that had not begun. */
  readonly end: string
  /** Which run of which server answered. */
  readonly server: string
  /** The database's clock, ms since 1970; and how far ours is from it at least. */
  readonly at: number
  readonly skewMs: number
  readonly changed: readonly Origin[]
}

/**
 * Whatever the last look did not see, however late it committed. A transaction that has not begun is none of this
 * database: such rows came with a copy of another one.
 */
export const LOOK = `select pg_current_snapshot()::text as snapshot,
    pg_snapshot_xmin(pg_current_snapshot())::text as horizon,
    pg_snapshot_xmax(pg_current_snapshot())::text as end,
    pg_postmaster_start_time()::text as server, pg_is_in_recovery() as standby,
    clock_timestamp() as at,
    (select coalesce(json_agg(json_build_object('kind', kind, 'id', id)), '[]')
     from (select distinct kind, id from identity_change
       where tx >= pg_snapshot_xmin($1::pg_snapshot)
         and tx < pg_snapshot_xmax(pg_current_snapshot())
         and not pg_visible_in_snapshot(tx, $1::pg_snapshot)) as unseen) as changed`

export const PRUNE = `delete from identity_change
  where tx < $1::xid8 or tx >= pg_snapshot_xmax(pg_current_snapshot())`

/** Throws when it was a copy that answered: one that lags behind does not know what was revoked. */
export function lookOf(row: Row | undefined, began: Began, answeredAt: number): Look {
  if (row === undefined || row['standby'] === true) {
    throw new Error('the database of DATABASE_URL is a standby: it does not know what was revoked')
  }
  const at = (row['at'] as Date).getTime()
  return {
    ...began,
    snapshot: row['snapshot'] as string,
    horizon: row['horizon'] as string,
    end: row['end'] as string,
    server: row['server'] as string,
    at,
    skewMs: Math.max(0, at - answeredAt, began.wall - at),
    changed: row['changed'] as Origin[],
  }
}

/** `all` after a failover, a restored database or so long a time that rows may be gone: anything may have changed. */
export function whatChanged(before: Look | undefined, now: Look): readonly Origin[] | 'all' {
  if (before === undefined) return []
  const another =
    now.server !== before.server ||
    BigInt(now.horizon) < BigInt(before.horizon) ||
    BigInt(now.end) < BigInt(before.end)
  const away = Math.abs(now.at - before.at) >= IDENTITY_CHANGE_KEPT_MS / 2
  if (another || away || now.changed.some(({ kind }) => kind === 'all')) return 'all'
  return now.changed
}
