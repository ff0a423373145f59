// Owns checking the whole ledger against itself and the deployment key. Reads only; trusts no row,
// no column and no key that the deployment key did not sign. Cannot see what was never issued, nor
// a whole epoch that was removed.
import type { FsckLine } from '../../../schemas/admin-api.ts'
import type { Row, Sql } from '../../../schemas/database/sql.ts'
import { keyIdOf } from '../keys/keys.ts'
import type { Vault } from '../keys/vault.ts'
import { type ChainWalk, walkChain } from './fsck-chain.ts'
import {
  admittedKey,
  type Check,
  checkDetail,
  ed25519Key,
  type Finding,
  type InstanceKey,
  isSigned,
  type Report,
  readLeaf,
  type Trust,
} from './fsck-row.ts'
import { crossChecks } from './fsck-tables.ts'
import { leafHash } from './instance.ts'
import { DETAIL_JOINS } from './open-detail.ts'

export type FsckPorts = {
  readonly store: { readonly sql: Sql }
  /** Raw Ed25519 public key. */
  readonly deploymentPublicKey: Uint8Array
  readonly vault: Vault
  /** Milliseconds since 1970: a hole younger than half a minute may still be filled. */
  readonly now: number
}

/** Rows held in memory at once. */
const PAGE = 200
/** Details up to this size come with their page, larger ones one by one. */
const DETAIL_BYTES_INLINE = 64 * 1024

/**
 * Findings as they are met, progress after each page, one summary at the end. Rows in the order of
 * (epoch, seq).
 */
export async function* fsck(ports: FsckPorts): AsyncIterable<FsckLine> {
  const { sql } = ports.store
  const checkRow = createRowCheck(ports)
  const total = Number((await sql.query('select count(*) as total from record'))[0]?.['total'])
  let checked = 0
  let findings = 0
  for await (const rows of pages(sql)) {
    for (const row of rows) {
      for (const finding of checkRow(await withDetail(sql, row))) {
        findings++
        yield { kind: 'finding', ...finding }
      }
    }
    checked += rows.length
    yield { kind: 'progress', checked, total: Math.max(total, checked) }
  }
  for (const finding of await crossChecks(sql)) {
    findings++
    yield { kind: 'finding', ...finding }
  }
  yield { kind: 'summary', checked, findings }
}

function createRowCheck({ deploymentPublicKey, vault, now }: FsckPorts): (row: Row) => Finding[] {
  const deployment = ed25519Key(deploymentPublicKey)
  const trust: Trust = { deployment, deploymentId: keyIdOf(deploymentPublicKey) }
  const walk = walkChain(now)
  let key: InstanceKey | undefined
  return function checkRow(row) {
    const findings: Finding[] = []
    const report = (check: Check, message: string): void => {
      findings.push({ id: row['id'] as string, check, message })
    }
    const leaf = readLeaf(row, report)
    if (leaf === undefined) return findings
    const misplaced = findings.length > 0
    if (leaf.k === 'pdp-open') key = admittedKey(leaf, trust, report) ?? key
    const authentic = isSigned(leaf, row, key, report)
    checkDetail(leaf, row, vault, report)
    if (authentic && !misplaced) chain(walk, leaf, row, report)
    return findings
  }
}

function chain(walk: ChainWalk, leaf: Parameters<ChainWalk>[0], row: Row, report: Report): void {
  walk(leaf, leafHash(row['leaf'] as Uint8Array).toString('hex'), report)
}

async function* pages(sql: Sql): AsyncIterable<Row[]> {
  let after: unknown[] | undefined
  for (;;) {
    const where = after === undefined ? '' : 'where (r.epoch, r.seq, r.id) > ($1, $2, $3)'
    const rows = await sql.query(
      `${SELECT} ${where} order by r.epoch, r.seq, r.id limit ${PAGE}`,
      after,
    )
    const last = rows.at(-1)
    if (last === undefined) return
    yield rows
    if (rows.length < PAGE) return
    after = [last['epoch'], last['seq_text'], last['id']]
  }
}

/**
 * Times and numbers as text: a driver would round a microsecond or a number over 2^53 back to what
 * it should be.
 */
const SELECT = `select r.id, r.kind, substring(r.leaf for 65536) as leaf, r.leaf_hash, r.sig,
  trim_scale(extract(epoch from r.at) * 1000)::text as at_ms, r.epoch, r.seq::text as seq_text,
  r.pep,
  r.agent, r.server, r.method, r.tool, r.verdict, r.code, r.policies, r.bundle, r.mode, r.decision,
  r.person, d.id as detail_id, k.person as key_person, k.month as key_month, k.wrapped,
  case when octet_length(d.ct) <= ${DETAIL_BYTES_INLINE} then d.ct end as ct
  from record r ${DETAIL_JOINS}`

async function withDetail(sql: Sql, row: Row): Promise<Row> {
  if (row['ct'] !== null || row['detail_id'] === null) return row
  const [found] = await sql.query('select ct from record_detail where id = $1', [row['detail_id']])
  return { ...row, ct: found?.['ct'] ?? null }
}
