// Owns the one statement that writes signed records, for whoever writes them: the PEP, or the PDP
// for its own leaves. Pure: records in, statement out. Never checks a signature or a hash; that is
// fsck's and the sequencer's.
import { type Leaf, type LeafColumns, leafColumns, type SignedRecord } from '../leaf.ts'
import type { Dialect, Statement } from './sql.ts'

/**
 * The NOLOGIN role of whoever writes records: it may INSERT into `record` and `record_detail`, and
 * nothing else.
 */
export const PEP_ROLE = 'cedargate_pep'

/**
 * Appends `records` with their details, all or none. Safe to repeat after an unknown outcome: a row
 * that is there stays as it is. That also means an id that somebody else took is silently not
 * written; ids are random, and fsck finds it. An INSERT-only role may run it. `records` come from a
 * PDP; `leaf` must be a leaf (a text that is not throws). Does NOT bound their number or size
 * (RECORD_ROWS_MAX, and see recordBytes).
 */
export function appendStatement(dialect: Dialect, records: readonly SignedRecord[]): Statement {
  const rows = records.map(rowOf)
  return dialect === 'postgres'
    ? { name: 'append', text: POSTGRES, params: COLUMNS.map(([name]) => rows.map((r) => r[name])) }
    : { name: 'append', text: PGLITE, params: [JSON.stringify(rows)] }
}

/** Bytes one record adds to a statement, roughly: for keeping a batch small enough to send. */
export function recordBytes({ leaf, detail }: SignedRecord): number {
  return leaf.length + (detail?.ct.length ?? 0) + 512
}

type InputRow = Record<(typeof COLUMNS)[number][0], string | number | null>

function rowOf({ leaf, hash, sig, person, detail }: SignedRecord): InputRow {
  const { at, policies, ...columns } = leafColumns(JSON.parse(leaf) as Leaf)
  return {
    ...columns,
    leaf: Buffer.from(leaf).toString('base64'),
    hash,
    sig,
    at: new Date(at).toISOString(),
    policies: policies === null ? null : arrayLiteral(policies),
    person,
    key_ref: detail?.key ?? null,
    ct: detail?.ct ?? null,
  }
}

/** A text[] as PostgreSQL reads it; one value per row, because unnest flattens arrays of arrays. */
function arrayLiteral(items: readonly string[]): string {
  return `{${items.map((item) => `"${item.replaceAll(/["\\]/g, '\\$&')}"`).join(',')}}`
}

/**
 * What one input row holds, and the type it is sent as. Bytes travel as base64 or hex: both drivers
 * send text as it is.
 */
const COLUMNS = [
  ['id', 'uuid'],
  ['kind', 'text'],
  ['leaf', 'text'],
  ['hash', 'text'],
  ['sig', 'text'],
  ['at', 'timestamptz'],
  ['epoch', 'uuid'],
  ['seq', 'bigint'],
  ['pep', 'text'],
  ['agent', 'text'],
  ['server', 'text'],
  ['method', 'text'],
  ['tool', 'text'],
  ['verdict', 'text'],
  ['code', 'text'],
  ['policies', 'text'],
  ['bundle', 'text'],
  ['mode', 'text'],
  ['decision', 'uuid'],
  ['person', 'text'],
  ['key_ref', 'bigint'],
  ['ct', 'text'],
] as const satisfies readonly (readonly [
  keyof LeafColumns | 'leaf' | 'hash' | 'sig' | 'person' | 'key_ref' | 'ct',
  string,
])[]

/**
 * Measured: arrays are the faster input on PostgreSQL, one JSON text on PGlite, each by about two.
 */
const POSTGRES = insertFrom(
  `select * from unnest(${COLUMNS.map(([, type], n) => `$${n + 1}::${type}[]`).join(', ')})
    as t(${COLUMNS.map(([name]) => name).join(', ')})`,
)
const PGLITE = insertFrom(
  `select * from json_to_recordset($1::json)
    as t(${COLUMNS.map(([name, type]) => `${name} ${type}`).join(', ')})`,
)

/** No conflict target and no RETURNING: both would need SELECT, which the writing role has not. */
function insertFrom(source: string): string {
  return `with input as (${source}), written as (
    insert into record (id, kind, leaf, leaf_hash, sig, at, epoch, seq, pep, agent, server, method,
      tool, verdict, code, policies, bundle, mode, decision, person)
    select id, kind, decode(leaf, 'base64'), decode(hash, 'hex'), decode(sig, 'base64'), at, epoch,
      seq, pep, agent, server, method, tool, verdict, code, policies::text[], bundle, mode,
      decision,
      decode(person, 'base64')
    from input on conflict do nothing
  ) insert into record_detail (id, key_ref, ct)
    select id, key_ref, decode(ct, 'base64') from input where ct is not null on conflict do nothing`
}
