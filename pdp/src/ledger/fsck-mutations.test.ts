// Generated: whatever is changed in a good ledger, anywhere, is found. There is no list of
// exceptions but FREE.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Canonical, canonicalJson } from '../../../schemas/canonical-json.ts'
import type { Row } from '../../../schemas/database/sql.ts'
import { checksFound, findings, writeGoodLedger } from '../../../test/harness/checked-ledger.ts'
import { openOnPglite, type TestDatabase } from '../../../test/harness/each-database.ts'
import { testKeys } from '../../../test/harness/ledger.ts'
import { leafHash } from './instance.ts'

const MINUTES_MS = 60_000
const keys = testKeys()
let database: TestDatabase
let decisions: string[] = []

beforeAll(async () => {
  database = await openOnPglite()
  decisions = await writeGoodLedger(database, keys)
  // The databases refuse to change a generated number; whoever may alter the table does not care.
  for (const [table, column] of [
    ['pending', 'pseq'],
    ['subject_key', 'ref'],
  ]) {
    await query(`alter table ${table} alter column ${column} drop identity`)
  }
}, MINUTES_MS)
afterAll(() => database.close(), MINUTES_MS)

const query = (text: string, params: unknown[] = []): Promise<Row[]> => {
  return database.store.sql.query(text, params)
}
const found = (): Promise<string[]> => checksFound(database.store.sql, keys)

/** Not part of what is recorded: the order of the queue, and when a bundle was first kept. */
const FREE = new Set([
  'pending.pseq',
  'bundle.first_active',
  'bundle.last_active',
  'bundle.confirmed',
  'bundle.source',
  'bundle.commit',
])
const KEYS = {
  record: 'id',
  record_detail: 'id',
  pending: 'pseq',
  subject_key: 'ref',
  bundle: 'id',
} as const
type Table = keyof typeof KEYS
type Column = { readonly table: Table; readonly column: string; readonly type: string }
/** `to` is SQL. */
type Change = Column & { readonly key: string; readonly to: string }

test(
  'every column of every kind of row: a change of it is found',
  async () => {
    const changes = await columnChanges()
    expect(changes.length).toBeGreaterThan(150)
    const unfound: Change[] = []
    for (const change of changes) if (!(await isFound(change))) unfound.push(change)
    expect(unfound).toEqual([])
    expect(await found()).toEqual([])
  },
  2 * MINUTES_MS,
)

/** For every column: the first row changed in every way, the others in one. */
async function columnChanges(): Promise<Change[]> {
  const columns = (await query(
    `select table_name as table, column_name as column, udt_name as type
     from information_schema.columns
     where table_schema = 'public' and table_name = any($1::text[])`,
    [Object.keys(KEYS)],
  )) as Column[]
  expect(columns).toHaveLength(20 + 3 + 3 + 4 + 7)
  const changes: Change[] = []
  for (const column of columns.filter((each) => !FREE.has(`${each.table}.${each.column}`))) {
    for (const [index, key] of (await rowsToChange(column.table)).entries()) {
      const values = await changesOf(column, key)
      const some = index === 0 ? values : values.slice(0, 1)
      changes.push(...some.map((to) => ({ ...column, key, to })))
    }
  }
  return changes
}

/** One row of each kind, decisions first, with and without user and tool. */
async function rowsToChange(table: Table): Promise<string[]> {
  const kinds = table === 'record' ? 'kind, person is null, tool is null' : KEYS[table]
  const limit = table === 'record' ? '' : 'limit 2'
  const rows = await query(
    `select distinct on (${kinds}) ${KEYS[table]}::text as key from ${table}
     order by ${kinds} ${limit}`,
  )
  return rows.map((row) => String(row['key']))
}

/**
 * SQL for values of the column's type that differ from the one it has; NULL where it may be null
 * and is not.
 */
async function changesOf({ table, column, type }: Column, key: string): Promise<string[]> {
  const [row] = await query(
    `select ${column} is null as empty, (select is_nullable = 'YES' from information_schema.columns
       where table_schema = 'public' and table_name = '${table}' and column_name = '${column}')
       as nullable
     from ${table} where ${KEYS[table]}::text = $1`,
    [key],
  )
  const empty = row?.['empty'] === true
  const changes = CHANGES[type]
  if (changes === undefined) throw new Error(`no change is known for ${column} of type ${type}`)
  const gone = row?.['nullable'] === true && !empty ? ['null'] : []
  return [...gone, ...(empty ? changes.instead : changes.of(column))]
}

type Changes = { readonly instead: string[]; readonly of: (column: string) => string[] }
const CHANGES: Readonly<Record<string, Changes>> = {
  uuid: { instead: ['gen_random_uuid()'], of: () => ['gen_random_uuid()'] },
  text: { instead: [`'x'`, `''`], of: (column) => [`${column} || ' '`, `''`] },
  _text: {
    instead: [`'{}'`, `'{x}'`],
    of: (column) => [`${column} || '{x}'`, `'{NULL}'`, `'{{a}}'`],
  },
  int8: { instead: ['1'], of: (column) => [`${column} + 3`, `${column} - 3`, '9007199254740993'] },
  timestamptz: {
    instead: ['now()'],
    of: (column) => [`${column} + interval '1 microsecond'`, `'infinity'`],
  },
  bytea: {
    instead: [`'\\x00'`],
    of: (column) => [
      `set_byte(${column}, 0, get_byte(${column}, 0) # 1)`,
      `${column} || '\\x00'`,
      `''`,
    ],
  },
}

async function isFound({ table, column, type, key, to }: Change): Promise<boolean> {
  const where = `where ${KEYS[table]}::text = $1`
  const [before] = await query(`select ${column}::text as value from ${table} ${where}`, [key])
  const [changed] = await query(
    `update ${table} set ${column} = ${to} ${where} returning ${KEYS[table]}::text as key`,
    [key],
  )
  const checks = await found()
  const cast = type.startsWith('_') ? `${type.slice(1)}[]` : type
  await query(`update ${table} set ${column} = $2::text::${cast} ${where}`, [
    changed?.['key'],
    before?.['value'],
  ])
  return checks.length > 0
}

test(
  'every byte region of a detail: a flipped bit is found',
  async () => {
    const [id = ''] = decisions
    const [row] = await query(
      'select octet_length(ct) as length from record_detail where id = $1',
      [id],
    )
    const length = row?.['length'] as number
    const body = Array.from({ length: Math.floor(length / 16) }, (_, index) => index * 16)
    // Version, nonce, salt, first length, first text, then the body up to the tag and its last
    // byte.
    for (const offset of [1, 12, 13, 44, 45, 49, ...body, length - 17, length - 1]) {
      const flipped = `set_byte(ct, ${offset}, get_byte(ct, ${offset}) # 128)`
      const flip = `update record_detail set ct = ${flipped} where id = $1`
      await query(flip, [id])
      expect(await findings(database.store.sql, keys), `byte ${offset}`).toEqual([
        { check: 'detail', id },
      ])
      await query(flip, [id])
    }
    const shorter =
      'update record_detail set ct = substring(ct for octet_length(ct) - 1) where id = $1'
    await query(shorter, [id])
    expect(await found()).toEqual(['detail'])
    await query('update record_detail set ct = $2 where id = $1', [id, Buffer.alloc(0)])
    expect(await found()).toEqual(['detail'])
    await database.close()
    database = await openOnPglite()
    decisions = await writeGoodLedger(database, keys)
  },
  2 * MINUTES_MS,
)

test(
  'every field of every kind of leaf: a change is found, also with hash and queue made to fit',
  async () => {
    const rows = await query(
      'select distinct on (kind) id, kind, leaf from record order by kind, id',
    )
    expect(rows.map((row) => row['kind'])).toEqual([
      'act',
      'act-outcome',
      'decision',
      'outcome',
      'pdp-close',
      'pdp-open',
    ])
    const unfound: string[] = []
    let changes = 0
    for (const row of rows) {
      const text = Buffer.from(row['leaf'] as Uint8Array).toString()
      for (const [path, changed] of changedLeaves(JSON.parse(text) as Canonical)) {
        changes++
        await rewrite(row['id'], Buffer.from(canonicalJson(changed)))
        if ((await found()).length === 0) unfound.push(`${String(row['kind'])}${path}`)
      }
      await rewrite(row['id'], Buffer.from(text))
    }
    expect(unfound).toEqual([])
    expect(changes).toBeGreaterThan(150)
    expect(await found()).toEqual([])
  },
  2 * MINUTES_MS,
)

test.each([
  { name: 'white space', spoil: (text: string) => text.replace('{', '{ ') },
  { name: 'a key twice', spoil: (text: string) => text.replace('{', '{"v":1,') },
  { name: 'no JSON', spoil: () => 'x' },
  { name: 'nothing', spoil: () => '' },
  { name: 'not UTF-8', spoil: () => Buffer.of(0xff) },
  {
    name: 'too large',
    spoil: (text: string) => text.replace('"ci-fixer"', `"${'x'.repeat(99_999)}"`),
  },
])('leaf bytes of another form: $name', async ({ spoil }) => {
  const [row] = await query(
    `select id, leaf from record where kind = 'decision' order by id limit 1`,
  )
  const text = Buffer.from(row?.['leaf'] as Uint8Array).toString()
  const spoilt = spoil(text)
  await rewrite(row?.['id'], typeof spoilt === 'string' ? Buffer.from(spoilt) : spoilt)
  expect(await found()).toContain('leaf_form')
  await rewrite(row?.['id'], Buffer.from(text))
})

/**
 * What somebody does who may write every table but has no key: bytes, hash and queue fit each
 * other.
 */
async function rewrite(id: unknown, bytes: Buffer): Promise<void> {
  await query('update record set leaf = $2, leaf_hash = $3 where id = $1', [
    id,
    bytes,
    leafHash(bytes),
  ])
  await query('update pending set leaf_hash = $2 where id = $1', [id, leafHash(bytes)])
}

/** Every place in a leaf, changed to something else: its path, and the leaf with that change. */
function changedLeaves(value: Canonical): [string, Canonical][] {
  const here = changedValues(value).map((changed): [string, Canonical] => ['', changed])
  if (value === null || typeof value !== 'object') return here
  const inside = Object.entries(value).flatMap(([key, child]) =>
    changedLeaves(child).map(([path, changed]): [string, Canonical] => [
      `/${key}${path}`,
      Array.isArray(value)
        ? value.with(Number(key), changed)
        : { ...(value as object), [key]: changed },
    ]),
  )
  return [...here, ...inside]
}

function changedValues(value: Canonical): Canonical[] {
  const candidates = candidatesFor(value)
  return candidates.filter((each) => JSON.stringify(each) !== JSON.stringify(value))
}

function candidatesFor(value: Canonical): Canonical[] {
  if (value === null) return ['x', 0]
  if (typeof value === 'string')
    return [`${value}x`, value.replace(/^./, (c) => (c === 'a' ? 'b' : 'a')), null]
  if (typeof value === 'number') return [value + 1, value - 1]
  if (typeof value === 'boolean') return [!value]
  if (isList(value)) return [[...value, 'x'], value.slice(1), value.toReversed()]
  const [first, ...rest] = Object.entries(value)
  return [{ ...value, extra: 1 }, ...(first === undefined ? [] : [Object.fromEntries(rest)])]
}

function isList(value: Canonical): value is readonly Canonical[] {
  return Array.isArray(value)
}
