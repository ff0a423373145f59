import { generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Canonical, canonicalJson } from '../../../schemas/canonical-json.ts'
import { PEP_ROLE } from '../../../schemas/database/append.ts'
import type { Sql } from '../../../schemas/database/sql.ts'
import type { Leaf, SignedRecord } from '../../../schemas/leaf.ts'
import { onEachDatabase, type TestDatabase } from '../../../test/harness/each-database.ts'
import {
  appendAs,
  decisionInput,
  openTestLedger,
  testClock,
  testKeys,
} from '../../../test/harness/ledger.ts'
import { type Keys, keyIdOf, rawPublicKey } from '../keys/keys.ts'
import { fsck } from './fsck.ts'
import { leafHash, openMessage } from './instance.ts'

const NOW = decisionInput().time
const LATER = NOW + 3_600_000

type Found = { readonly check: string; readonly id: string }

async function findings(sql: Sql, keys: Keys, now = LATER): Promise<Found[]> {
  const found: Found[] = []
  const ports = {
    store: { sql },
    deploymentPublicKey: keys.deployment.publicKey,
    vault: keys.vault,
    now,
  }
  for await (const line of fsck(ports)) {
    if (line.kind === 'finding') found.push({ check: line.check, id: line.id })
    if (line.kind === 'summary') expect(line.findings).toBe(found.length)
  }
  return found
}

/** Two epochs, one closed; decisions with and without user, tool, policies and outcome; one detail too large for a page. */
async function writeLedger({ store }: TestDatabase, keys: Keys): Promise<string[]> {
  const clock = testClock(NOW)
  const pep = store.withRole(PEP_ROLE)
  const decisions: string[] = []
  for (const closes of [true, false]) {
    const ledger = await openTestLedger(store.sql, keys, clock)
    await ledger.prepare(['alice', 'bob', null], NOW)
    for (const user of ['alice', 'bob', null]) {
      const authorization =
        user === 'bob'
          ? {
              decision: 'deny' as const,
              code: 'no_permit' as const,
              policies: [],
              tool: null,
              arguments: `{"a":"${'x'.repeat(70_000)}"}`,
            }
          : {}
      const { id, record } = ledger.seal(
        decisionInput({ user, authorization, ...(user === null ? { definition: null } : {}) }),
      )
      decisions.push(id)
      await appendAs(pep, [record])
      await ledger.sealOutcomes('pep-1', [
        {
          decisionId: id,
          result: 'forwarded',
          status: 200,
          upstreamMs: 4,
          isError: false,
          bytes: 9,
        },
      ])
    }
    if (closes) await ledger.close()
  }
  return decisions
}

onEachDatabase((database, name) => {
  const keys = testKeys()
  let decisions: string[] = []
  beforeAll(async () => {
    decisions = await writeLedger(database(), keys)
  })
  const sql = (): Sql => database().store.sql
  const one = async (text: string, params: unknown[] = []): Promise<Record<string, unknown>> => {
    const [row] = await sql().query(text, params)
    if (row === undefined) throw new Error(`no row: ${text}`)
    return row
  }

  test('a good ledger has no finding, and every row is looked at', async () => {
    const lines = []
    const ports = {
      store: { sql: sql() },
      deploymentPublicKey: keys.deployment.publicKey,
      vault: keys.vault,
      now: LATER,
    }
    for await (const line of fsck(ports)) lines.push(line)
    expect(lines).toEqual([
      { kind: 'progress', checked: 15, total: 15 },
      { kind: 'summary', checked: 15, findings: 0 },
    ])
  })

  test('the keys of another deployment fit nothing', async () => {
    const found = await findings(sql(), testKeys())
    expect(new Set(found.map(({ check }) => check))).toEqual(new Set(['instance_key', 'detail']))
    expect(new Set(found.map(({ id }) => id)).size).toBe(15)
  })

  describe('every column of every kind of row', () => {
    type Column = { readonly table: string; readonly column: string; readonly type: string }
    const TABLES = ['record', 'record_detail', 'pending', 'subject_key']
    /** Not part of what is recorded: the order of the queue, which the log will settle. */
    const FREE = new Set(['pending.pseq'])

    test('is checked: a change of it is found', async () => {
      const columns = await sql().query(
        `select table_name as table, column_name as column, udt_name as type
         from information_schema.columns where table_schema = 'public' and table_name = any($1::text[])`,
        [TABLES],
      )
      expect(columns).toHaveLength(20 + 3 + 3 + 4)
      for (const found of columns as Column[]) {
        if (FREE.has(`${found.table}.${found.column}`)) continue
        for (const row of await rowsOf(found)) await expectFound(found, row)
      }
      expect(await findings(sql(), keys)).toEqual([])
    })

    /** One row of each kind where kinds differ, by ctid: the one thing that no change of a column changes. */
    async function rowsOf({ table }: Column): Promise<string[]> {
      const distinct = table === 'record' ? `distinct on (kind, person is null, tool is null)` : ''
      const order = table === 'record' ? 'order by kind, person is null, tool is null' : 'limit 2'
      const rows = await sql().query(
        `select ${distinct} ${keyOf(table)}::text as key from ${table} ${order}`,
      )
      return rows.map((row) => String(row['key']))
    }

    function keyOf(table: string): string {
      return table === 'pending' ? 'pseq' : table === 'subject_key' ? 'ref' : 'id'
    }

    async function expectFound({ table, column, type }: Column, key: string): Promise<void> {
      const at = `${table}.${column} of ${key}`
      const where = `where ${keyOf(table)}::text = $1`
      const { value } = await one(`select ${column}::text as value from ${table} ${where}`, [key])
      for (const change of changesOf(type, column, value === null)) {
        const [changed] = await sql().query(
          `update ${table} set ${column} = ${change} ${where} returning ${keyOf(table)}::text as key`,
          [key],
        )
        const found = await findings(sql(), keys)
        expect(found, `${at} set to ${change}`).not.toEqual([])
        await sql().query(
          `update ${table} set ${column} = $2::text::${type.replace(/^_(.*)/, '$1[]')} ${where}`,
          [String(changed?.['key']), value],
        )
      }
    }

    /** SQL for values that differ from the present one; NULL where a value can be taken away. */
    function changesOf(type: string, column: string, isNull: boolean): string[] {
      const nullable = [
        'pep',
        'agent',
        'server',
        'method',
        'tool',
        'verdict',
        'code',
        'policies',
        'bundle',
        'mode',
        'decision',
        'person',
      ]
      const gone = nullable.includes(column) && !isNull ? ['null'] : []
      switch (type) {
        case 'uuid':
          return [...gone, 'gen_random_uuid()']
        case 'text':
          return [...gone, isNull ? `'x'` : `${column} || 'x'`, `''`]
        case '_text':
          return [
            ...gone,
            `coalesce(${column}, '{}') || '{x}'`,
            ...(isNull ? [`'{}'`] : [`'{NULL}'`]),
          ]
        case 'int8':
          return [`${column} + 1`, `${column} - 1`, '9007199254740993']
        case 'timestamptz':
          return [`at + interval '1 microsecond'`, `at - interval '1 year'`, `'infinity'`]
        case 'bytea':
          return [
            ...gone,
            ...(isNull
              ? [`'\\x00'`]
              : [
                  `set_byte(${column}, 0, get_byte(${column}, 0) # 1)`,
                  `${column} || '\\x00'`,
                  `''`,
                ]),
          ]
        default:
          throw new Error(`no change for the type ${type} of ${column}`)
      }
    }
  }, 120_000)

  describe('every byte region of a detail', () => {
    test('is checked: a flipped bit is found', async () => {
      const id = decisions[0] ?? ''
      const { length } = (await one(
        'select octet_length(ct) as length from record_detail where id = $1',
        [id],
      )) as { length: number }
      // Version, nonce, salt, each length and text, tag.
      const at = [
        0,
        1,
        12,
        13,
        44,
        45,
        48,
        ...Array.from({ length: 12 }, (_, n) => 60 + n * 25),
        length - 17,
        length - 16,
        length - 1,
      ]
      for (const offset of at.filter((each) => each < length)) {
        const flip = `update record_detail set ct = set_byte(ct, ${offset}, get_byte(ct, ${offset}) # 128) where id = $1`
        await sql().query(flip, [id])
        expect(await findings(sql(), keys), `byte ${offset}`).toEqual([{ check: 'detail', id }])
        await sql().query(flip, [id])
      }
      await sql().query(
        `update record_detail set ct = substring(ct for octet_length(ct) - 1) where id = $1`,
        [id],
      )
      expect(await findings(sql(), keys)).toEqual([{ check: 'detail', id }])
    })

    afterAll(async () => {
      await restoreDetails()
    })
  })

  describe('every field of every kind of leaf', () => {
    test('is checked: a change is found, also with hash, columns and queue made to fit', async () => {
      const rows = await sql().query(
        'select distinct on (kind) id, kind, leaf from record order by kind, id',
      )
      expect(rows.map((row) => row['kind'])).toEqual([
        'decision',
        'outcome',
        'pdp-close',
        'pdp-open',
      ])
      let mutations = 0
      for (const row of rows) {
        const leaf = JSON.parse(Buffer.from(row['leaf'] as Uint8Array).toString()) as Canonical
        for (const [path, changed] of mutationsOf(leaf)) {
          mutations++
          await rewrite(row, canonicalJson(changed))
          expect(await findings(sql(), keys), `${row['kind']} ${path}`).not.toEqual([])
          await restore(row)
        }
      }
      expect(mutations).toBeGreaterThan(100)
      expect(await findings(sql(), keys)).toEqual([])
    }, 120_000)

    test.each([
      { name: 'white space', spoil: (text: string) => text.replace('{', '{ ') },
      { name: 'a key twice', spoil: (text: string) => text.replace('{', '{"v":1,') },
      { name: 'no JSON', spoil: () => 'x' },
      { name: 'not UTF-8', spoil: () => '\udcff' },
      { name: 'nothing', spoil: () => '' },
      {
        name: 'a megabyte',
        spoil: (text: string) => text.replace('"ci-fixer"', `"${'x'.repeat(1_000_000)}"`),
      },
    ])('leaf bytes of another form: $name', async ({ spoil }) => {
      const row = await one(
        `select id, kind, leaf from record where kind = 'decision' order by id limit 1`,
      )
      const text = Buffer.from(row['leaf'] as Uint8Array).toString()
      await rewrite(row, spoil(text))
      expect((await findings(sql(), keys)).map(({ check }) => check)).toContain('leaf_form')
      await restore(row)
    })

    /** What somebody does who may write everything but has no key: bytes, hash and queue fit each other. */
    async function rewrite(row: Record<string, unknown>, text: string): Promise<void> {
      const bytes = text === '\udcff' ? Buffer.of(0xff) : Buffer.from(text)
      await sql().query('update record set leaf = $2, leaf_hash = $3 where id = $1', [
        row['id'],
        bytes,
        leafHash(bytes),
      ])
      await sql().query('update pending set leaf_hash = $2 where id = $1', [
        row['id'],
        leafHash(bytes),
      ])
    }

    async function restore(row: Record<string, unknown>): Promise<void> {
      await rewrite(row, Buffer.from(row['leaf'] as Uint8Array).toString())
    }
  })

  test.each<{ name: string; act: () => Promise<unknown>; want: string; undo?: string }>([
    {
      name: 'a record removed',
      want: 'chain',
      act: () => removed(`delete from record where id = $1`),
    },
    {
      name: 'a record removed with all that names it',
      want: 'chain',
      act: () =>
        removed(
          `with r as (delete from record where id = $1), d as (delete from record_detail where id = $1)
       delete from pending where id = $1`,
        ),
    },
    {
      name: 'the closing leaf changed for a shorter epoch',
      want: 'chain',
      act: () => truncateClosed(),
    },
    {
      name: 'a detail removed',
      want: 'detail',
      act: () => removed(`delete from record_detail where id = $1`),
    },
    { name: 'two details swapped', want: 'detail', act: () => swapped('record_detail', 'ct') },
    { name: 'two leaves swapped', want: 'column', act: () => swapped('record', 'leaf') },
    {
      name: 'a subject key removed',
      want: 'detail',
      act: () =>
        sql().query(
          'delete from subject_key where ref in (select min(key_ref) from record_detail)',
        ),
    },
    { name: 'two subject keys swapped', want: 'detail', act: () => swapKeys() },
    {
      name: 'a record not queued',
      want: 'pending',
      act: () => sql().query('delete from pending where id = $1', [decisions[0]]),
    },
    {
      name: 'a record queued twice',
      want: 'pending',
      act: () =>
        sql().query(
          'insert into pending (id, leaf_hash) select id, leaf_hash from pending limit 1',
        ),
    },
    {
      name: 'a queue entry for nothing',
      want: 'pending',
      act: () => sql().query(`insert into pending (id, leaf_hash) values (gen_random_uuid(), '')`),
    },
    {
      name: 'a detail for nothing',
      want: 'detail',
      act: () =>
        sql().query(
          `insert into record_detail (id, key_ref, ct) values (gen_random_uuid(), 1, '')`,
        ),
    },
    {
      name: 'a detail for an outcome',
      want: 'detail',
      act: () =>
        sql().query(
          `insert into record_detail (id, key_ref, ct) select id, 1, '' from record where kind = 'outcome' limit 1`,
        ),
    },
    { name: 'the queue trigger switched off', want: 'pending', act: () => withoutTrigger() },
    {
      name: 'a record that a PEP signed with a key of its own',
      want: 'instance_key',
      act: () => forged('own key'),
    },
    {
      name: 'a record a PEP signed for an epoch it announced itself',
      want: 'instance_key',
      act: () => forged('own epoch'),
    },
    {
      name: 'a record of a real epoch with a forged signature',
      want: 'signature',
      act: () => forged('real epoch'),
    },
    {
      name: 'a real announcement used again for another epoch',
      want: 'instance_key',
      act: () => forged('stolen announcement'),
    },
    {
      name: 'a record copied under a new id',
      want: 'column',
      act: () =>
        sql().query(
          `insert into record select gen_random_uuid(), kind, leaf, leaf_hash, sig, at, epoch, seq, pep, agent, server, method, tool, verdict, code, policies, bundle, mode, decision, person from record where kind = 'decision' limit 1`,
        ),
    },
  ])('$name: $want', async ({ act, want }) => {
    const snapshot = await takeSnapshot()
    await act()
    expect((await findings(sql(), keys)).map(({ check }) => check)).toContain(want)
    await restoreSnapshot(snapshot)
    expect(await findings(sql(), keys)).toEqual([])
  })

  test('a fork: two leaves of one number, both signed by the instance', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const snapshot = await takeSnapshot()
    await writeForged(
      await announcement(publicKey.export({ format: 'jwk' }).x ?? '', keys),
      privateKey,
      [0, 0],
    )
    expect((await findings(sql(), keys)).map(({ check }) => check)).toEqual(['chain'])
    await restoreSnapshot(snapshot)
  })

  test('a hole that may still be filled is no finding yet', async () => {
    const snapshot = await takeSnapshot()
    await removed(`with d as (delete from record_detail where id = $1), p as (delete from pending where id = $1)
      delete from record where id = $1`)
    expect(await findings(sql(), keys, NOW + 29_999)).toEqual([])
    expect((await findings(sql(), keys, NOW + 30_000)).map(({ check }) => check)).toEqual(['chain'])
    await restoreSnapshot(snapshot)
  })

  test('more rows than a page: read in order, each once', async () => {
    const snapshot = await takeSnapshot()
    const ledger = await openTestLedger(sql(), keys, testClock(NOW))
    await ledger.prepare(['alice'], NOW)
    const records: SignedRecord[] = Array.from(
      { length: 450 },
      () => ledger.seal(decisionInput()).record,
    )
    await ledger.append(records.toReversed())
    const progress: number[] = []
    const ports = {
      store: { sql: sql() },
      deploymentPublicKey: keys.deployment.publicKey,
      vault: keys.vault,
      now: LATER,
    }
    for await (const line of fsck(ports)) {
      if (line.kind === 'progress') progress.push(line.checked)
      else expect(line).toEqual({ kind: 'summary', checked: 466, findings: 0 })
    }
    expect(progress).toEqual([200, 400, 466])
    await ledger.close()
    await restoreSnapshot(snapshot)
  })

  const removed = (text: string): Promise<unknown> => sql().query(text, [decisions[1]])

  async function swapped(table: string, column: string): Promise<void> {
    await sql().query(
      `update ${table} t set ${column} = o.${column} from ${table} o
       where (t.id = $1 and o.id = $2) or (t.id = $2 and o.id = $1)`,
      [decisions[0], decisions[2]],
    )
  }

  async function swapKeys(): Promise<void> {
    await sql().query(
      `update subject_key k set wrapped = o.wrapped from subject_key o where o.ref <> k.ref`,
    )
  }

  async function withoutTrigger(): Promise<void> {
    await sql().query('alter table record disable trigger record_queued')
    const ledger = await openTestLedger(sql(), keys, testClock(NOW))
    await ledger.close()
    await sql().query('alter table record enable trigger record_queued')
  }

  /** The last decision of the closed epoch goes, and the closing leaf moves down into its place. */
  async function truncateClosed(): Promise<void> {
    const row = await one(`select epoch, seq from record where kind = 'pdp-close'`)
    await sql().query('delete from record where epoch = $1 and seq = $2', [
      row['epoch'],
      Number(row['seq']) - 1,
    ])
  }

  async function announcement(
    x: string,
    signer: Keys,
    epoch: string = randomUUID(),
  ): Promise<Leaf> {
    const raw = Buffer.from(x, 'base64url')
    const dsig = await signer.deployment.sign(openMessage(epoch, raw))
    return {
      v: 1, k: 'pdp-open', id: randomUUID(), t: NOW, pdp: keyIdOf(raw), ep: epoch, sq: 0, pv: '',
      pub: raw.toString('base64'), dep: keys.deployment.id, dsig: Buffer.from(dsig).toString('base64'),
    } // biome-ignore format: a list
  }

  async function forged(
    how: 'own key' | 'own epoch' | 'real epoch' | 'stolen announcement',
  ): Promise<void> {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const x = rawPublicKey(publicKey).toString('base64url')
    const real = JSON.parse(
      Buffer.from(
        (await one(`select leaf from record where kind = 'pdp-open' limit 1`))[
          'leaf'
        ] as Uint8Array,
      ).toString(),
    ) as Leaf & { k: 'pdp-open' }
    const own = await announcement(x, testKeys())
    if (how === 'own epoch') return writeForged(own, privateKey, [0])
    if (how === 'own key')
      return writeForged({ ...own, ep: real.ep, sq: 99 } as Leaf, privateKey, [99])
    if (how === 'stolen announcement') {
      return writeForged({ ...own, pub: real.pub, dsig: real.dsig } as Leaf, privateKey, [0])
    }
    const close: Leaf = {
      v: 1,
      k: 'pdp-close',
      id: randomUUID(),
      t: NOW,
      pdp: real.pdp,
      ep: real.ep,
      sq: 8,
      pv: '',
      n: 8,
    }
    return writeForged(close, privateKey, [8])
  }

  /** Writes the leaf as a PEP could, signed with `key`, once per number in `numbers`, each under an id of its own. */
  async function writeForged(
    leaf: Leaf,
    key: Parameters<typeof sign>[2],
    numbers: number[],
  ): Promise<void> {
    for (const sq of numbers) {
      const text = canonicalJson({ ...leaf, sq, id: randomUUID() } as Canonical)
      const hash = leafHash(text)
      const sig = sign(null, hash, key).toString('base64')
      await appendAs(database().store.withRole(PEP_ROLE), [
        { leaf: text, hash: hash.toString('hex'), sig, person: null, detail: null },
      ])
    }
  }

  let details: unknown[] = []
  beforeAll(async () => {
    details = await sql().query('select id, ct from record_detail')
  })
  async function restoreDetails(): Promise<void> {
    for (const row of details as Record<string, unknown>[]) {
      await sql().query('update record_detail set ct = $2 where id = $1', [row['id'], row['ct']])
    }
  }

  /** Copies of the tables in a schema of their own; `name` says which database this is in a failure. */
  async function takeSnapshot(): Promise<string> {
    const schema = `snapshot_${name}`
    await sql().query(`drop schema if exists ${schema} cascade`)
    await sql().query(`create schema ${schema}`)
    for (const table of SNAPSHOT)
      await sql().query(`create table ${schema}.${table} as table public.${table}`)
    return schema
  }

  async function restoreSnapshot(schema: string): Promise<void> {
    await sql().query('alter table record disable trigger record_queued')
    for (const table of SNAPSHOT) {
      await sql().query(`truncate public.${table}`)
      await sql().query(
        `insert into public.${table} overriding system value select * from ${schema}.${table}`,
      )
    }
    await sql().query('alter table record enable trigger record_queued')
  }
})

const SNAPSHOT = ['record', 'record_detail', 'pending', 'subject_key']

/** Every place in a leaf, changed to something else of its kind: [path, leaf with that change]. */
function mutationsOf(value: Canonical, path = ''): [string, Canonical][] {
  const here = changesTo(value).map((changed): [string, Canonical] => [path, changed])
  if (value === null || typeof value !== 'object') return here
  const inside = Object.entries(value).flatMap(([key, child]) =>
    mutationsOf(child as Canonical, `${path}/${key}`).map(([at, changed]): [string, Canonical] => [
      at,
      Array.isArray(value)
        ? value.map((item, index) => (index === Number(key) ? changed : (item as Canonical)))
        : { ...(value as object), [key]: changed },
    ]),
  )
  return [...here.filter(() => path !== ''), ...inside]
}

function changesTo(value: Canonical): Canonical[] {
  if (value === null) return ['x', 0]
  if (typeof value === 'string')
    return [
      `${value}x`,
      '',
      value.replace(/[0-9a-z]/, (c) => (c === 'a' ? 'b' : 'a')),
      null,
    ].filter((each) => each !== value)
  if (typeof value === 'number') return [value + 1, value - 1, null]
  if (typeof value === 'boolean') return [!value]
  if (Array.isArray(value))
    return [
      [...(value as Canonical[]), 'x'],
      (value as Canonical[]).slice(1),
      (value as Canonical[]).toReversed(),
    ].filter((each) => JSON.stringify(each) !== JSON.stringify(value))
  return [{ ...value, extra: 1 }, Object.fromEntries(Object.entries(value).slice(1))]
}
