// Each way to spoil a good ledger that needs more than one change, on both databases.
import { generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto'
import { beforeAll, expect, test } from 'vitest'
import { canonicalJson } from '../../../schemas/canonical-json.ts'
import { PEP_ROLE } from '../../../schemas/database/append.ts'
import type { Row } from '../../../schemas/database/sql.ts'
import type { CloseLeaf, OpenLeaf } from '../../../schemas/leaf.ts'
import {
  checksFound,
  findings,
  LATER,
  WRITTEN,
  writeGoodLedger,
} from '../../../test/harness/checked-ledger.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
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

const HOOK_TIMEOUT_MS = 60_000
const TABLES = ['record', 'record_detail', 'pending', 'subject_key', 'bundle']

onEachDatabase((database) => {
  const keys = testKeys()
  let decisions: string[] = []
  const query = (text: string, params: unknown[] = []): Promise<Row[]> => {
    return database().store.sql.query(text, params)
  }
  const found = (now?: number): Promise<string[]> => checksFound(database().store.sql, keys, now)

  beforeAll(async () => {
    decisions = await writeGoodLedger(database(), keys)
    await query('create schema good')
    for (const table of TABLES) await query(`create table good.${table} as table public.${table}`)
  }, HOOK_TIMEOUT_MS)

  async function restore(): Promise<void> {
    await query('alter table record disable trigger record_queued')
    for (const table of TABLES) {
      await query(`truncate public.${table}`)
      await query(`insert into public.${table} overriding system value select * from good.${table}`)
    }
    await query('alter table record enable trigger record_queued')
  }

  test('a good ledger has no finding, and every row is looked at', async () => {
    const { sql } = database().store
    const { deployment, vault } = keys
    const lines = []
    const ports = { store: { sql }, deploymentPublicKey: deployment.publicKey, vault, now: LATER }
    for await (const line of fsck(ports)) lines.push(line)
    expect(lines).toEqual([
      { kind: 'progress', checked: 9, total: 9 },
      { kind: 'summary', checked: 9, findings: 0 },
    ])
  })

  test('the keys of another deployment fit nothing', async () => {
    const strange = await findings(database().store.sql, testKeys())
    expect(new Set(strange.map(({ check }) => check))).toEqual(new Set(['instance_key', 'detail']))
    expect(new Set(strange.map(({ id }) => id)).size).toBe(9)
  })

  test.each<{ name: string; want: string; act: () => Promise<unknown> }>([
    {
      name: 'a record removed',
      want: 'chain',
      act: () => query('delete from record where id = $1', [decisions[1]]),
    },
    {
      name: 'a record removed with all that names it',
      want: 'chain',
      act: () =>
        query(
          `with d as (delete from record_detail where id = $1),
         p as (delete from pending where id = $1)
           delete from record where id = $1`,
          [decisions[1]],
        ),
    },
    {
      name: 'the last leaf before the closing one removed',
      want: 'chain',
      act: () => query(`delete from record where kind = 'outcome'`),
    },
    {
      name: 'an announcement removed',
      want: 'instance_key',
      act: () => query(`delete from record where kind = 'pdp-open'`),
    },
    {
      name: 'a detail removed',
      want: 'detail',
      act: () => query('delete from record_detail where id = $1', [decisions[1]]),
    },
    { name: 'two details swapped', want: 'detail', act: () => swap('record_detail', 'ct') },
    { name: 'two leaves swapped', want: 'column', act: () => swap('record', 'leaf') },
    { name: 'two signatures swapped', want: 'signature', act: () => swap('record', 'sig') },
    { name: 'two persons swapped', want: 'person', act: () => swap('record', 'person') },
    { name: 'a subject key removed', want: 'detail', act: () => query('delete from subject_key') },
    {
      name: 'two subject keys swapped',
      want: 'detail',
      act: () =>
        query(
          'update subject_key k set wrapped = o.wrapped from subject_key o where o.ref <> k.ref',
        ),
    },
    {
      name: 'a record not queued',
      want: 'pending',
      act: () => query('delete from pending where id = $1', [decisions[0]]),
    },
    {
      name: 'a record queued twice',
      want: 'pending',
      act: () =>
        query('insert into pending (id, leaf_hash) select id, leaf_hash from pending limit 1'),
    },
    {
      name: 'a queue entry for nothing',
      want: 'pending',
      act: () => query(`insert into pending (id, leaf_hash) values (gen_random_uuid(), '')`),
    },
    {
      name: 'a detail for nothing',
      want: 'detail',
      act: () =>
        query(`insert into record_detail (id, key_ref, ct) values (gen_random_uuid(), 1, '')`),
    },
    {
      name: 'an act removed',
      want: 'chain',
      act: () => query(`delete from record where kind = 'act'`),
    },
    {
      name: 'the detail of an act removed',
      want: 'detail',
      act: () =>
        query(`delete from record_detail where id = (select id from record where kind = 'act')`),
    },
    {
      name: 'the detail of an act that is that of a decision',
      want: 'detail',
      act: () =>
        query(
          `update record_detail d set ct = o.ct, key_ref = o.key_ref from record_detail o
        where d.id = (select id from record where kind = 'act') and o.id = $1`,
          [decisions[0]],
        ),
    },
    {
      name: 'an act of another person',
      want: 'person',
      act: () =>
        query(
          `update record set person = (select person from record where id = $1)
        where kind = 'act'`,
          [decisions[0]],
        ),
    },
    {
      name: 'a detail for the end of an act',
      want: 'detail',
      act: () =>
        query(`insert into record_detail select id, 1, '' from record where kind = 'act-outcome'`),
    },
    {
      name: 'a detail for an outcome',
      want: 'detail',
      act: () =>
        query(`insert into record_detail select id, 1, '' from record where kind = 'outcome'`),
    },
    { name: 'a bundle removed', want: 'bundle', act: () => query('delete from bundle') },
    {
      name: 'a bundle changed',
      want: 'bundle',
      act: () => query(`update bundle set content = content || ' '`),
    },
    { name: 'the queue trigger switched off', want: 'pending', act: () => writeUnqueued() },
    {
      name: 'a record copied under a new id',
      want: 'column',
      act: () =>
        query(`create temp table copied as select * from record where kind = 'outcome';`).then(
          async () => {
            await query('update copied set id = gen_random_uuid()')
            await query('insert into record select * from copied')
            await query('drop table copied')
          },
        ),
    },
    {
      name: 'a key that a PEP announced itself, and a record under it',
      want: 'instance_key',
      act: () => forge(({ own }) => [own, { ...own, k: 'pdp-close', n: 1, sq: 1 }]),
    },
    {
      name: 'a record in a real epoch, signed with a key a PEP announced there',
      want: 'instance_key',
      act: () => forge(({ own, real }) => [{ ...own, ep: real.ep, sq: 8 }]),
    },
    {
      name: 'a record in a real epoch with a forged signature',
      want: 'signature',
      act: () => forge(({ real }) => [{ ...real, k: 'pdp-close', n: 8, sq: 8 }]),
    },
    {
      name: 'a real announcement used again for another epoch',
      want: 'instance_key',
      act: () => forge(({ real }) => [{ ...real, ep: randomUUID() }]),
    },
  ])('$name: $want', async ({ act, want }) => {
    await act()
    expect(await found()).toContain(want)
    await restore()
    expect(await found()).toEqual([])
  })

  test.each<{ name: string; after: (opened: OpenLeaf, hash: string) => (OpenLeaf | CloseLeaf)[] }>([
    { name: 'two announcements', after: (opened) => [{ ...opened, id: randomUUID() }] },
    {
      name: 'one number twice, each naming the one before',
      after: (opened, pv) => {
        const first = { ...opened, id: randomUUID().replace(/^./, '0'), sq: 1, pv }
        const named = leafHash(canonicalJson(first)).toString('hex')
        return [first, { ...first, id: randomUUID().replace(/^./, 'f'), pv: named }]
      },
    },
    {
      name: 'a leaf that names another one before it',
      after: (opened) => [
        { ...shaped({ ...opened, k: 'pdp-close', n: 1 }), sq: 1, pv: 'f'.repeat(64) },
      ],
    },
    {
      name: 'a closing leaf with another count',
      after: (opened, pv) => [{ ...shaped({ ...opened, k: 'pdp-close', n: 7 }), sq: 1, pv }],
    },
  ])('a fork signed by an admitted instance: $name', async ({ after }) => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const opened = await announcement(publicKey, keys)
    const hash = leafHash(canonicalJson(opened)).toString('hex')
    await writeAsPep([opened, ...after(opened, hash)], privateKey)
    expect(new Set(await found())).toEqual(new Set(['chain']))
    await restore()
  })

  test('more rows of one number than a page holds hide nothing', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const own = await announcement(publicKey, testKeys())
    const many = Array.from({ length: 450 }, () => ({ ...own, id: randomUUID() }))
    await writeAsPep(many, privateKey)
    const ids = new Set((await findings(database().store.sql, keys)).map(({ id }) => id))
    expect(ids).toEqual(new Set(many.map(({ id }) => id)))
    await restore()
  })

  test('an admitted instance that names another deployment key', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    await writeAsPep(
      [{ ...(await announcement(publicKey, keys)), dep: '0'.repeat(16) }],
      privateKey,
    )
    expect(new Set(await found())).toEqual(new Set(['instance_key']))
    await restore()
  })

  test('an admitted instance that signs for an epoch it was not admitted for', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const opened = await announcement(publicKey, keys)
    const next = opened.ep.replace(/.$/, (digit) => (digit === 'f' ? '0' : 'f'))
    await writeAsPep([opened, shaped({ ...opened, ep: next, k: 'pdp-close' })], privateKey)
    expect(await found()).toEqual(['instance_key'])
    await restore()
  })

  test('a hole that may still be filled is no finding yet', async () => {
    await query(
      `with d as (delete from record_detail where id = $1),
         p as (delete from pending where id = $1)
       delete from record where id = $1`,
      [decisions[1]],
    )
    expect(await found(WRITTEN + 29_999)).toEqual([])
    expect(await found(WRITTEN + 30_000)).toEqual(['chain'])
    await restore()
  })

  test('more rows than a page, and a detail larger than a page carries', async () => {
    const { sql } = database().store
    const ledger = await openTestLedger(sql, keys, testClock(WRITTEN))
    await ledger.prepare(['alice'], WRITTEN)
    const large = `{"text":"${'x'.repeat(100_000)}"}`
    const records = Array.from({ length: 450 }, (_, index) => {
      const authorization = index === 7 ? { arguments: large } : {}
      return ledger.seal(decisionInput({ authorization })).record
    })
    await ledger.append(records.toReversed())
    await ledger.close()
    expect(await found()).toEqual([])
    await query(`update record_detail set ct = set_byte(ct, 90000, get_byte(ct, 90000) # 1)
      where octet_length(ct) > 90000`)
    expect(await found()).toEqual(['detail'])
    await restore()
  })

  async function swap(table: string, column: string): Promise<void> {
    await query(
      `update ${table} t set ${column} = o.${column} from ${table} o
       where (t.id = $1 and o.id = $2) or (t.id = $2 and o.id = $1)`,
      [decisions[0], decisions[1]],
    )
  }

  async function writeUnqueued(): Promise<void> {
    await query('alter table record disable trigger record_queued')
    await openTestLedger(database().store.sql, keys, testClock(WRITTEN))
  }

  async function announcement(publicKey: KeyObject, signer: Keys): Promise<OpenLeaf> {
    const raw = rawPublicKey(publicKey)
    const ep = randomUUID()
    const dsig = await signer.deployment.sign(openMessage(ep, raw))
    return {
      v: 1, k: 'pdp-open', id: randomUUID(), t: WRITTEN, pdp: keyIdOf(raw), ep, sq: 0, pv: '',
      pub: raw.toString('base64'), dep: keys.deployment.id,
      dsig: Buffer.from(dsig).toString('base64'),
    } // biome-ignore format: a list
  }

  type Forgery = Omit<OpenLeaf, 'k'> & { readonly k: 'pdp-open' | 'pdp-close'; readonly n?: number }

  /**
   * `own` announces a new key, signed by another deployment key; `real` is an announcement of this
   * ledger.
   */
  async function forge(of: (from: { own: OpenLeaf; real: OpenLeaf }) => Forgery[]): Promise<void> {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const [row] = await query(`select leaf from record where kind = 'pdp-open' order by id limit 1`)
    const real = JSON.parse(Buffer.from(row?.['leaf'] as Uint8Array).toString()) as OpenLeaf
    const forgeries = of({ own: await announcement(publicKey, testKeys()), real })
    await writeAsPep(forgeries.map(shaped), privateKey)
  }

  function shaped({ k, n, ...leaf }: Forgery): OpenLeaf | CloseLeaf {
    const id = randomUUID()
    if (k === 'pdp-open') return { ...leaf, k, id }
    const { pub: _pub, dep: _dep, dsig: _dsig, ...head } = leaf
    return { ...head, k, id, n: n ?? 0 }
  }

  async function writeAsPep(leaves: (OpenLeaf | CloseLeaf)[], key: KeyObject): Promise<void> {
    const records = leaves.map((leaf) => {
      const text = canonicalJson(leaf)
      const hash = leafHash(text)
      const sig = sign(null, hash, key).toString('base64')
      return { leaf: text, hash: hash.toString('hex'), sig, person: null, detail: null }
    })
    await appendAs(database().store.withRole(PEP_ROLE), records)
  }
})
