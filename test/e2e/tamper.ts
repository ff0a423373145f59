// Owns what somebody with rights on the database could do to the record, for tests that must find it again. Works on a
// database that no gateway has open.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { createInstance, openMessage } from '../../pdp/src/ledger/instance.ts'
import { openPglite, openPostgres, type Store } from '../../pdp/src/store/open.ts'
import { PEP_ROLE } from '../../schemas/database/append.ts'
import type { DecisionRow } from '../../schemas/decisions-api.ts'
import type { DecisionLeaf, SignedRecord } from '../../schemas/leaf.ts'
import { uuidV7 } from '../../schemas/uuid.ts'
import { appendAs, testKeys } from '../harness/ledger.ts'

type Sql = Store['sql']

/** The database of a stopped `dev`, as its owner. */
export function openOwned(home: string, databaseUrl: string | undefined): Promise<Store> {
  return databaseUrl === undefined ? openPglite(join(home, 'database')) : openPostgres(databaseUrl)
}

export async function changeColumn(sql: Sql, id: string): Promise<void> {
  await sql.query(`update record set verdict = 'allow', code = 'permit' where id = $1`, [id])
}

export async function forgeSignature(sql: Sql, id: string): Promise<void> {
  await sql.query('update record set sig = $2 where id = $1', [id, randomBytes(64)])
}

export async function changeCiphertext(sql: Sql, id: string): Promise<void> {
  await sql.query(
    `update record_detail set ct = set_byte(ct, octet_length(ct) - 1, get_byte(ct, octet_length(ct) - 1) # 1)
     where id = $1`,
    [id],
  )
}

/** The row alone, as a careless hand would. */
export async function deleteRow(sql: Sql, id: string): Promise<void> {
  await sql.query('delete from record where id = $1', [id])
}

/** Everything that names the decision. Answers which number it had in its epoch. */
export async function deleteThoroughly(sql: Sql, id: string): Promise<number> {
  const [row] = await sql.query('select seq from record where id = $1', [id])
  for (const table of ['record', 'record_detail', 'pending']) {
    await sql.query(`delete from ${table} where id = $1`, [id])
  }
  return Number(row?.['seq'])
}

export type Planted = { readonly open: string; readonly decision: string; readonly joined: string }

/**
 * What a PEP could try with the one right it has: a key of its own announced for a new epoch, an allow signed with it
 * there, and one in the epoch of a real PDP. All are modelled on the leaf of `model`.
 */
export async function plantOwnKey(store: Store, model: DecisionRow): Promise<Planted> {
  const leaf = await leafOf(store.sql, model.id)
  const mine = createInstance(uuidV7(Date.now(), 0, randomBytes(8)), random)
  const { deployment } = testKeys()
  const dsig = await deployment.sign(openMessage(mine.epoch, mine.publicKey))
  const { v: _v, id: _id, t: _t, pdp: _pdp, ep: _ep, sq: _sq, pv: _pv, ...body } = leaf
  const issued = [
    mine.issue(
      {
        k: 'pdp-open',
        pub: Buffer.from(mine.publicKey).toString('base64'),
        dep: deployment.id,
        dsig: Buffer.from(dsig).toString('base64'),
      },
      Date.now(),
    ),
    mine.issue(body, Date.now()),
    createInstance(leaf.ep, random).issue(body, Date.now()),
  ]
  const records = issued.map(
    ({ record }): SignedRecord => ({ ...record, person: null, detail: null }),
  )
  await appendAs(store.withRole(PEP_ROLE), records)
  const [open = '', decision = '', joined = ''] = issued.map(({ id }) => id)
  return { open, decision, joined }
}

function random(bytes: number): Buffer {
  return randomBytes(bytes)
}

async function leafOf(sql: Sql, id: string): Promise<DecisionLeaf> {
  const [row] = await sql.query('select leaf from record where id = $1', [id])
  return JSON.parse(Buffer.from(row?.['leaf'] as Uint8Array).toString('utf8')) as DecisionLeaf
}
