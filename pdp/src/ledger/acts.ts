// Owns what operators did: committed before it is done, and how it ended after; and reading both back, decrypted. Does NOT
// verify what it shows: `cedargate ledger fsck` does.
import type { ActRow, ActsQuery } from '../../../schemas/admin-api.ts'
import type { Row, Sql } from '../../../schemas/database/sql.ts'
import { actLeaf, actOutcomeLeaf, columnText } from '../../../schemas/leaf.ts'
import type { Clock } from '../../../schemas/ports.ts'
import type { Vault } from '../keys/vault.ts'
import { DETAIL_COLUMNS, DETAIL_JOINS, openDetail, parseJson } from './open-detail.ts'
import type { ActInput } from './seal-act.ts'
import type { Ledger } from './types.ts'

export type Order = Omit<ActInput, 'time'>

export type Acts = {
  /** Answers the act's id once it is committed; throws when it cannot be: then nothing may be done. */
  readonly begin: (order: Order) => Promise<string>
  /** How the act was answered, an HTTP status. Throws when it could not be committed now; it will be as soon as it can. */
  readonly end: (act: string, status: number) => Promise<void>
}

/** What an act that was not committed in time is said to have been answered. */
const NOT_RECORDED = 503

export function createActs(ledger: Ledger, clock: Clock): Acts {
  return {
    async begin(order) {
      const time = clock.now()
      await ledger.prepare([order.user], time)
      const { id, record } = ledger.sealAct({ ...order, time })
      try {
        await ledger.append([record])
      } catch (error) {
        // It may be there, or be written later: then it reads as refused, which it was.
        ledger.sealActOutcome(id, NOT_RECORDED).catch(() => undefined)
        throw error
      }
      return id
    },
    end: ledger.sealActOutcome,
  }
}

type ActsPorts = { readonly store: { readonly sql: Sql }; readonly vault: Vault }

/** Newest first, at most `limit`. */
export async function listActs({ store, vault }: ActsPorts, query: ActsQuery): Promise<ActRow[]> {
  const { limit, before, by, act } = query
  const person = by === undefined ? null : vault.pseudonym(by)
  const rows = await store.sql.query(
    `select r.id, r.leaf, r.leaf_hash, o.leaf as outcome, ${DETAIL_COLUMNS} from record r ${DETAIL_JOINS}
     left join lateral (
       select o.leaf from record o
       where o.decision = r.id and o.kind = 'act-outcome' and o.epoch = r.epoch order by o.id limit 1
     ) o on true
     where r.kind = 'act' and ($1::uuid is null or r.id < $1) and ($2::bytea is null or r.person = $2)
       and ($3::text is null or r.method = $3)
     order by r.id desc limit ${limit}`,
    [before ?? null, person, columnText(act)],
  )
  return rows.flatMap((row) => actRow(vault, row) ?? [])
}

/** Undefined for a row that holds no act: no PDP wrote it. */
function actRow(vault: Vault, row: Row): ActRow | undefined {
  const read = actLeaf.safeParse(parseJson(row['leaf'] as Uint8Array))
  if (!read.success) return undefined
  const { id, t, ac } = read.data
  const detail = openDetail(vault, row, id, row['leaf_hash'] as Uint8Array)
  const { user } = JSON.parse(detail?.values.sub ?? '{"user":null}') as { user: string | null }
  return {
    id,
    at: new Date(t).toISOString(),
    act: ac,
    by: user ?? '',
    what: JSON.parse(detail?.values.req ?? 'null'),
    status: statusOf(row['outcome'] as Uint8Array | null),
  }
}

function statusOf(bytes: Uint8Array | null): number | null {
  const read = bytes === null ? undefined : actOutcomeLeaf.safeParse(parseJson(bytes))
  return read?.success === true ? read.data.st : null
}
