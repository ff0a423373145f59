// Owns reading decisions back for people, details decrypted. What is shown is read from the leaf,
// never from a column. Does NOT verify what it shows: a PEP may have written a row that no PDP
// signed. `cedargate ledger fsck` finds those.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { readDigest } from '../../../schemas/args-digest.ts'
import type { Row, Sql } from '../../../schemas/database/sql.ts'
import type { DecisionRow, DecisionsQuery } from '../../../schemas/decisions-api.ts'
import {
  columnText,
  type DecisionLeaf,
  decisionLeaf,
  type OutcomeLeaf,
  outcomeLeaf,
} from '../../../schemas/leaf.ts'
import { DECISIONS_CHUNK_ROWS, LISTED_ARGUMENTS_LENGTH_MAX } from '../../../schemas/limits.ts'
import type { Vault } from '../keys/vault.ts'
import type { DetailValues } from './commitments.ts'
import { DETAIL_COLUMNS, DETAIL_JOINS, openDetail, parseJson } from './open-detail.ts'

export type DecisionsPorts = { readonly store: { readonly sql: Sql }; readonly vault: Vault }

/**
 * Newest first; with `after`, what came since, oldest first. At most `limit` rows. Long arguments are left out. Others
 * may run between any two rows: decrypting a large one takes milliseconds.
 */
export async function listDecisions(
  ports: DecisionsPorts,
  query: DecisionsQuery,
): Promise<DecisionRow[]> {
  const found: DecisionRow[] = []
  let rest = query
  while (rest.limit > 0) {
    const rows = await chunk(ports, rest)
    for (const row of rows) {
      const decision = decisionRow(ports.vault, row)
      if (decision !== undefined) found.push(withoutLong(decision))
      await nextTurn()
    }
    const last = rows.at(-1)?.['id']
    if (rows.length < DECISIONS_CHUNK_ROWS || typeof last !== 'string') break
    const edge = query.after === undefined ? { before: last } : { after: last }
    rest = { ...query, ...edge, limit: rest.limit - rows.length }
  }
  return found
}

async function chunk({ store, vault }: DecisionsPorts, query: DecisionsQuery): Promise<Row[]> {
  const { conditions, params } = filter(query, vault)
  const order = query.after === undefined ? 'desc' : 'asc'
  const limit = Math.min(query.limit, DECISIONS_CHUNK_ROWS)
  return store.sql.query(
    `${SELECT} where ${conditions.join(' and ')} order by r.id ${order} limit ${limit}`,
    params,
  )
}

function withoutLong(row: DecisionRow): DecisionRow {
  return row.argumentsLength > LISTED_ARGUMENTS_LENGTH_MAX ? { ...row, arguments: null } : row
}

/** Undefined when there is no such decision. `id` is a UUID. */
export async function showDecision(
  { store, vault }: DecisionsPorts,
  id: string,
): Promise<DecisionRow | undefined> {
  const [row] = await store.sql.query(`${SELECT} where r.kind = 'decision' and r.id = $1`, [id])
  return row === undefined ? undefined : decisionRow(vault, row)
}

/**
 * Only an outcome that the decision's own PEP reported counts; `unclaimed` only where there is no
 * other.
 */
const SELECT = `select r.id, r.leaf, r.leaf_hash, o.leaf as outcome, ${DETAIL_COLUMNS}
  from record r ${DETAIL_JOINS}
  left join lateral (
    select o.leaf from record o where o.decision = r.id and o.kind = 'outcome' and o.pep = r.pep
    order by position('"rs":"unclaimed"'::bytea in o.leaf), o.id desc limit 1
  ) o on true`

type Filter = { readonly conditions: string[]; readonly params: unknown[] }

function filter(query: DecisionsQuery, vault: Vault): Filter {
  const conditions = [`r.kind = 'decision'`]
  const params: unknown[] = []
  const add = (condition: string, value: unknown): void => {
    if (value === undefined) return
    params.push(value)
    conditions.push(`${condition} $${params.length}`)
  }
  add('r.id <', query.before)
  add('r.id >', query.after)
  add('r.person =', query.user === undefined ? undefined : vault.pseudonym(query.user))
  for (const column of ['agent', 'server', 'tool'] as const) {
    add(`r.${column} =`, columnText(query[column]) ?? undefined)
  }
  add('r.verdict =', query.verdict)
  add('r.code =', query.code)
  return { conditions, params }
}

/**
 * Undefined for a row that holds no decision leaf: it was not written by a PDP, and there is
 * nothing to show.
 */
function decisionRow(vault: Vault, row: Row): DecisionRow | undefined {
  const read = decisionLeaf.safeParse(parseJson(row['leaf'] as Uint8Array))
  if (!read.success) return undefined
  const leaf = read.data
  const detail = openDetail(vault, row, leaf.id, row['leaf_hash'] as Uint8Array)
  return {
    id: leaf.id,
    at: new Date(leaf.t).toISOString(),
    user: userOf(detail?.values),
    agent: leaf.ag,
    server: leaf.sv,
    method: leaf.mt,
    tool: leaf.tl,
    arguments: argumentsOf(detail?.values),
    argumentsLength: lengthOf(detail?.values),
    argumentsShown: true,
    verdict: leaf.dc.r,
    code: leaf.cd,
    policies: leaf.dc.by,
    errors: leaf.dc.er,
    shadow: shadowOf(leaf),
    bundle: leaf.b,
    mode: leaf.mode,
    credential: leaf.cr === undefined ? null : { id: leaf.cr.i, version: leaf.cr.v },
    outcome: outcomeOf(row['outcome'] as Uint8Array | null),
  }
}

function shadowOf({ sh }: DecisionLeaf): DecisionRow['shadow'] {
  return sh === undefined ? null : { verdict: sh.r, code: sh.cd, policies: sh.by, errors: sh.er }
}

function userOf(values: DetailValues | undefined): string | null {
  if (values === undefined) return null
  return (JSON.parse(values.sub) as { user: string | null }).user
}

function argumentsOf(values: DetailValues | undefined): unknown {
  if (values === undefined || values.args === '' || readDigest(values.args)) return null
  return JSON.parse(values.args)
}

function lengthOf(values: DetailValues | undefined): number {
  return values === undefined ? 0 : (readDigest(values.args)?.length ?? values.args.length)
}

function outcomeOf(bytes: Uint8Array | null): DecisionRow['outcome'] {
  if (bytes === null) return null
  const read = outcomeLeaf.safeParse(parseJson(bytes))
  if (!read.success) return null
  const { rs, st, ms, er, by, ec }: OutcomeLeaf = read.data
  return { result: rs, status: st, upstreamMs: ms, isError: er, bytes: by, echoed: ec === true }
}
