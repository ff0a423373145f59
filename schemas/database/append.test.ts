// Writing records as the PEP's role does, on both databases: what it may do, what it may not, and
// twice.
import { expect, test } from 'vitest'
import type { Ledger } from '../../pdp/src/ledger/ledger.ts'
import { onEachDatabase } from '../../test/harness/each-database.ts'
import { appendAs, decisionInput, faultySql, openTestLedger } from '../../test/harness/ledger.ts'
import { type Leaf, leafColumns, type SignedRecord } from '../leaf.ts'
import { PEP_ROLE } from './append.ts'
import type { Sql } from './sql.ts'

async function sealed(ledger: Ledger, count: number): Promise<SignedRecord[]> {
  await ledger.prepare(['alice'], decisionInput().time)
  return Array.from({ length: count }, () => ledger.seal(decisionInput()).record)
}

async function counts(sql: Sql): Promise<unknown> {
  const [row] = await sql.query(`select (select count(*) from record) as record,
    (select count(*) from record_detail) as detail, (select count(*) from pending) as pending,
    (select count(distinct id) from pending) as queued`)
  return row
}

onEachDatabase((database) => {
  test.each([
    {
      name: 'as any text',
      tool: 'a"b\\c{d},\'e\tü\u{1f600}',
      policies: ['"', '\\', '{}', ',', 'NULL', ''],
    },
    { name: 'with NUL, which a column cannot hold', tool: 'a\0b', policies: ['a\0b'] },
    { name: 'without a tool or a policy', tool: null, policies: [] },
  ])('columns read back as the leaf says: $name', async ({ tool, policies }) => {
    const { store } = database()
    const ledger = await openTestLedger(store.sql)
    await ledger.prepare(['alice'], decisionInput().time)
    const { id, record } = ledger.seal(decisionInput({ authorization: { tool, policies } }))
    await appendAs(store.withRole(PEP_ROLE), [record])
    const [row] = await store.sql.query('select * from record where id = $1', [id])
    const { at, ...columns } = leafColumns(JSON.parse(record.leaf) as Leaf)
    expect(row).toMatchObject({ ...columns, at: new Date(at) })
    expect(Buffer.from(row?.['leaf'] as Uint8Array).toString()).toBe(record.leaf)
    expect(Buffer.from(row?.['leaf_hash'] as Uint8Array).toString('hex')).toBe(record.hash)
    expect(Buffer.from(row?.['sig'] as Uint8Array).toString('base64')).toBe(record.sig)
    expect(Buffer.from(row?.['person'] as Uint8Array).toString('base64')).toBe(record.person)
    const [detail] = await store.sql.query('select * from record_detail where id = $1', [id])
    expect(detail?.['key_ref']).toBe(Number(record.detail?.key))
    expect(Buffer.from(detail?.['ct'] as Uint8Array).toString('base64')).toBe(record.detail?.ct)
    await ledger.close()
  })

  test.each([
    { name: 'the write is lost', written: false },
    { name: 'only the answer is lost', written: true },
  ])('$name: a retry leaves every row once, and queued once', async ({ written }) => {
    const { store } = database()
    const ledger = await openTestLedger(store.sql)
    const records = await sealed(ledger, 5)
    const before = (await counts(store.sql)) as Record<string, number>
    const pep = faultySql(store.withRole(PEP_ROLE), 1, written)
    await expect(appendAs(pep, records)).rejects.toThrow('connection lost')
    await appendAs(pep, records)
    await appendAs(pep, records.slice(2))
    expect(await counts(store.sql)).toEqual({
      record: (before['record'] ?? 0) + 5,
      detail: (before['detail'] ?? 0) + 5,
      pending: (before['pending'] ?? 0) + 5,
      queued: (before['queued'] ?? 0) + 5,
    })
    await ledger.close()
  })

  test('a batch is written whole or not at all', async () => {
    const { store } = database()
    const ledger = await openTestLedger(store.sql)
    const [first, second] = await sealed(ledger, 2)
    if (first === undefined || second === undefined) throw new Error('two were sealed')
    const before = await counts(store.sql)
    const spoilt = { ...second, sig: '!' }
    await expect(appendAs(store.withRole(PEP_ROLE), [first, spoilt])).rejects.toThrow(
      /invalid|base64/,
    )
    expect(await counts(store.sql)).toEqual(before)
    await ledger.close()
  })

  test('the same records from two writers at once are there once', async () => {
    const { store } = database()
    const ledger = await openTestLedger(store.sql)
    const records = await sealed(ledger, 50)
    const before = (await counts(store.sql)) as Record<string, number>
    const pep = store.withRole(PEP_ROLE)
    await Promise.all([
      appendAs(pep, records),
      appendAs(store.sql, records),
      appendAs(pep, records),
    ])
    const after = (await counts(store.sql)) as Record<string, number>
    expect(Object.keys(after).map((key) => (after[key] ?? 0) - (before[key] ?? 0))).toEqual([
      50, 50, 50, 50,
    ])
    await ledger.close()
  })

  test.each([
    'select id from record',
    'select leaf_hash from record limit 1',
    'select 1 from record_detail',
    'select 1 from pending',
    `update record set verdict = 'allow'`,
    'update record_detail set ct = null',
    'delete from record',
    'delete from record_detail',
    'truncate record',
    `insert into pending (id, leaf_hash) values (gen_random_uuid(), '')`,
    'delete from pending',
    'select * from subject_key',
    `insert into subject_key (person, month, wrapped) values ('', '', '')`,
    'select * from users',
    'select token_sha256 from grants',
    `insert into grants (id) values (gen_random_uuid())`,
    'select * from peps',
    `insert into peps (id) values ('x')`,
    'select content from bundle',
    `insert into bundle (id) values ('x')`,
    'select content from definition',
    `insert into definition (sha256) values ('x')`,
    'select * from sighting',
    'delete from sighting',
    'select * from look',
    `insert into look (server, at, tools) values ('x', now(), '[]')`,
    'alter table record disable trigger record_queued',
    'drop table record',
    `create table mine (id int)`,
    'select queue_records()',
    'select * from drizzle.__drizzle_migrations',
    `insert into record_detail (id, key_ref, ct) values (gen_random_uuid(), 1, '') returning id`,
    `insert into record_detail values (gen_random_uuid(), 1, '') on conflict (id) do nothing`,
    `select nextval('pending_pseq_seq')`,
    `create role other`,
  ])('the writing role may not: %s', async (statement) => {
    await expect(database().store.withRole(PEP_ROLE).query(statement)).rejects.toThrow(
      /permission denied|must be owner|trigger functions can only|must have/,
    )
  })
})
