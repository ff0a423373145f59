// What an instance issues, on both databases: form, numbering, encryption, and that nothing gets
// lost.
import { createHash, createHmac, createSecretKey, verify } from 'node:crypto'
import canonicalize from 'canonicalize'
import { describe, expect, test } from 'vitest'
import { PEP_ROLE } from '../../../schemas/database/append.ts'
import { type DecisionLeaf, leaf as leafSchema, type OpenLeaf } from '../../../schemas/leaf.ts'
import { LEAF_BYTES_MAX } from '../../../schemas/limits.ts'
import { onEachDatabase, type TestDatabase } from '../../../test/harness/each-database.ts'
import {
  appendAs,
  decisionInput,
  faultyAt,
  faultySql,
  openTestLedger,
  testClock,
  testKeys,
} from '../../../test/harness/ledger.ts'
import { decryptDetail } from './detail.ts'
import { ed25519Key } from './fsck-row.ts'
import { leafHash, openMessage } from './instance.ts'
import { openLedger } from './ledger.ts'
import type { DecisionInput, Ledger, Sealed } from './types.ts'

const TIME = decisionInput().time

function leafOf({ record }: Sealed): DecisionLeaf {
  return leafSchema.parse(JSON.parse(record.leaf)) as DecisionLeaf
}

async function leavesOf(
  { store }: TestDatabase,
  epoch: string,
): Promise<Record<string, unknown>[]> {
  const rows = await store.sql.query('select leaf from record where epoch = $1 order by seq', [
    epoch,
  ])
  return rows.map((row) => JSON.parse(Buffer.from(row['leaf'] as Uint8Array).toString()) as never)
}

onEachDatabase((database) => {
  async function sealOne(input: DecisionInput = decisionInput()): Promise<[Ledger, Sealed]> {
    const ledger = await openTestLedger(database().store.sql)
    await ledger.prepare([input.user], input.time)
    return [ledger, ledger.seal(input)]
  }

  test('the first leaf announces a key that the deployment key signed for this boot', async () => {
    const keys = testKeys()
    const ledger = await openTestLedger(database().store.sql, keys)
    const [row] = await database().store.sql.query('select * from record where epoch = $1', [
      ledger.epoch,
    ])
    const leaf = JSON.parse(Buffer.from(row?.['leaf'] as Uint8Array).toString()) as OpenLeaf
    expect(leaf).toMatchObject({
      k: 'pdp-open',
      sq: 0,
      pv: '',
      ep: ledger.epoch,
      pdp: ledger.keyId,
    })
    const raw = Buffer.from(leaf.pub, 'base64')
    const deployment = ed25519Key(keys.deployment.publicKey)
    const dsig = Buffer.from(leaf.dsig, 'base64')
    expect(verify(null, openMessage(leaf.ep, raw), deployment, dsig)).toBe(true)
    expect(verify(null, openMessage(crypto.randomUUID(), raw), deployment, dsig)).toBe(false)
    expect(openMessage(leaf.ep, raw).toString('latin1')).toMatch(/^cedargate\/pdp-open\/v1\0/)
    const digest = row?.['leaf_hash'] as Uint8Array
    expect(verify(null, digest, ed25519Key(raw), row?.['sig'] as Uint8Array)).toBe(true)
    await ledger.close()
  })

  test('a decision leaf says what was decided, in canonical form, with its hash', async () => {
    const input = decisionInput()
    const [ledger, sealed] = await sealOne(input)
    expect(leafOf(sealed)).toEqual({
      v: 1, k: 'decision', id: sealed.id, t: TIME, pdp: ledger.keyId, ep: ledger.epoch, sq: 1,
      pv: expect.stringMatching(/^[0-9a-f]{64}$/), pep: 'pep-1', ag: 'ci-fixer', sv: 'files',
      mt: 'tools/call', tl: 'write_file', td: input.definition,
      c: expect.anything(), b: input.bundle,
      ps: { d: '1'.repeat(64), s: '2'.repeat(64), i: null, m: '3'.repeat(64) },
      eng: { n: 'cedar-wasm', v: '4.13.0', h: 'e'.repeat(64) },
      dc: { r: 'allow', by: ['engineering/drafts', 'platform/reads'], er: [] },
      cd: 'permit', mode: 'enforced', cls: 'recorded',
    }) // biome-ignore format: a list
    expect(sealed.record.leaf).toBe(canonicalize(JSON.parse(sealed.record.leaf)))
    const rfc6962 = createHash('sha256')
      .update(Buffer.of(0))
      .update(sealed.record.leaf)
      .digest('hex')
    expect(sealed.record.hash).toBe(rfc6962)
    await ledger.close()
  })

  test('commitments open with the salt that is in the detail, and with nothing else', async () => {
    const keys = testKeys()
    const ledger = await openTestLedger(database().store.sql, keys)
    await ledger.prepare(['alice'], TIME)
    const sealed = ledger.seal(decisionInput())
    const { detail, hash, person } = sealed.record
    const [row] = await database().store.sql.query('select * from subject_key where ref = $1', [
      detail?.key,
    ])
    const pseudonym = keys.vault.pseudonym('alice')
    expect(person).toBe(Buffer.from(pseudonym).toString('base64'))
    const opened = keys.vault.unwrap(pseudonym, '2026-11', row?.['wrapped'] as Uint8Array)
    const about = {
      key: createSecretKey(opened ?? Buffer.of()),
      id: sealed.id,
      leafHash: Buffer.from(hash, 'hex'),
    }
    const ct = Buffer.from(detail?.ct ?? '', 'base64')
    const decrypted = decryptDetail(about, ct)
    expect(decrypted?.values).toEqual({
      sub: '{"user":"alice"}',
      req: decisionInput().authorization.cedar.request,
      args: '{"path":"drafts/ä.txt"}',
      ctx: '{"args":{"path":"drafts/ä.txt"}}',
      ent: '[]',
      idt: `{"grant":"01930000-0000-7000-8000-000000000001","token":"${'f'.repeat(64)}"}`,
    })
    for (const [field, value] of Object.entries(decrypted?.values ?? {})) {
      const salt = createHmac('sha256', decrypted?.salt ?? '')
        .update(field)
        .digest()
      const oracle = createHash('sha256')
        .update(`cedargate/commit/v1\0${field}\0`)
        .update(salt)
        .update(value)
      expect(leafOf(sealed).c[field as 'sub']).toBe(oracle.digest('base64'))
    }
    expect(decryptDetail({ ...about, id: crypto.randomUUID() }, ct)).toBeUndefined()
    expect(decryptDetail({ ...about, leafHash: leafHash('{}') }, ct)).toBeUndefined()
    await ledger.close()
  })

  test('two decisions on the same values have no commitment in common', async () => {
    const [ledger, first] = await sealOne()
    const second = ledger.seal(decisionInput())
    const both = [...Object.values(leafOf(first).c), ...Object.values(leafOf(second).c)]
    expect(new Set(both).size).toBe(12)
    await ledger.close()
  })

  test('numbering is dense over every kind of leaf, and ends with a count', async () => {
    const ledger = await openTestLedger(database().store.sql)
    await ledger.prepare(['alice', null], TIME)
    for (const user of ['alice', null, 'alice']) {
      const { id, record } = ledger.seal(decisionInput({ user }))
      await appendAs(database().store.withRole(PEP_ROLE), [record])
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
    await ledger.close()
    const leaves = await leavesOf(database(), ledger.epoch)
    expect(leaves.map(({ k }) => k)).toEqual([
      'pdp-open', 'decision', 'outcome', 'decision', 'outcome', 'decision', 'outcome', 'pdp-close',
    ]) // biome-ignore format: a list
    expect(leaves.map(({ sq }) => sq)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    expect(leaves.at(-1)).toMatchObject({ n: 7 })
    for (const [index, leaf] of leaves.entries()) {
      const before =
        index === 0 ? '' : leafHash(canonicalize(leaves[index - 1]) ?? '').toString('hex')
      expect(leaf['pv']).toBe(before)
    }
  })

  test('one key per person and month, shared by every PDP', async () => {
    const keys = testKeys()
    const { sql } = database().store
    const ledgers = await Promise.all([openTestLedger(sql, keys), openTestLedger(sql, keys)])
    const december = Date.UTC(2026, 11, 1)
    const used = async (user: string | null, time: number): Promise<(string | undefined)[]> => {
      await Promise.all(
        ledgers.flatMap((each) => [each.prepare([user, user], time), each.prepare([user], time)]),
      )
      return ledgers.map((each) => each.seal(decisionInput({ user, time })).record.detail?.key)
    }
    const refs = [
      await used('alice', TIME),
      await used('bob', TIME),
      await used('alice', december),
      await used(null, TIME),
    ]
    for (const [one, other] of refs) expect(one).toBe(other)
    expect(new Set(refs.flat()).size).toBe(4)
    await Promise.all(ledgers.map((each) => each.close()))
  })

  test('another data key than the one the database was used with is refused', async () => {
    const { sql } = database().store
    const keys = testKeys()
    const first = await openTestLedger(sql, keys)
    await first.prepare(['carol'], TIME)
    const pseudonym = keys.vault.pseudonym
    const other = { ...testKeys(), vault: { ...testKeys().vault, pseudonym } }
    const second = await openTestLedger(sql, other)
    await expect(second.prepare(['carol'], TIME)).rejects.toThrow(/data key in CEDARGATE_HOME/)
    expect(() => second.seal(decisionInput({ user: 'carol' }))).toThrow(/before prepare/)
    await Promise.all([first.close(), second.close()])
  })

  test.each([
    { name: 'the write is lost', written: false },
    { name: 'only the answer is lost', written: true },
  ])('prepare, $name: the next one finds or makes the same key', async ({ written }) => {
    const { sql } = database().store
    const keys = testKeys()
    const before = await openTestLedger(sql, keys)
    await before.close()
    const [user, other] = [`lost-${written}`, `other-${written}`]
    let ledger: Ledger | undefined
    // The announcement and the look-up pass; what fails is the insert of the key.
    const faulty = faultyAt(sql, /insert into subject_key/, written)
    ledger = await openTestLedger(faulty, keys)
    await expect(ledger.prepare([user], TIME)).rejects.toThrow('connection lost')
    await ledger.prepare([user, other], TIME)
    const rows = await sql.query('select ref from subject_key where person = $1', [
      keys.vault.pseudonym(user),
    ])
    expect(rows).toEqual([{ ref: Number(ledger.seal(decisionInput({ user })).record.detail?.key) }])
    await ledger.close()
  })

  test.each([
    { name: 'the write is lost', written: false },
    { name: 'only the answer is lost', written: true },
  ])('append, $name: the sweep leaves every number there once', async ({ written }) => {
    const clock = testClock()
    const { sql } = database().store
    const faulty = faultyAt(sql, /insert into record /, written, 1)
    const ledger = await openTestLedger(faulty, testKeys(), clock)
    await ledger.prepare(['alice'], TIME)
    const { record } = ledger.seal(decisionInput({ mode: 'advisory' }))
    await expect(ledger.append([record])).rejects.toThrow('connection lost')
    expect(ledger.stats()).toMatchObject({ unconfirmed: 1 })
    clock.advance(10_000)
    await ledger.sweep()
    expect(ledger.stats()).toMatchObject({ unconfirmed: 0, backfilled: written ? 0 : 1 })
    await ledger.close()
    expect((await leavesOf(database(), ledger.epoch)).map(({ k }) => k)).toEqual([
      'pdp-open', 'decision', 'pdp-close',
    ]) // biome-ignore format: a list
  })

  test('what no PEP wrote in ten seconds its PDP writes, and says so', async () => {
    const clock = testClock()
    const ledger = await openTestLedger(database().store.sql, testKeys(), clock)
    await ledger.prepare(['alice'], TIME)
    const [lost, kept] = [ledger.seal(decisionInput()), ledger.seal(decisionInput())]
    await appendAs(database().store.withRole(PEP_ROLE), [kept.record])
    clock.advance(999)
    await ledger.sweep()
    expect(ledger.stats()).toMatchObject({ unconfirmed: 2, backfilled: 0 })
    clock.advance(9_000)
    await ledger.sweep()
    expect(ledger.stats()).toMatchObject({ unconfirmed: 1, backfilled: 0 })
    clock.advance(1)
    await ledger.sweep()
    await ledger.sweep()
    expect(ledger.stats()).toMatchObject({ issued: 4, unconfirmed: 0, backfilled: 1 })
    const leaves = await leavesOf(database(), ledger.epoch)
    expect(leaves.map(({ sq }) => sq)).toEqual([0, 1, 2, 3])
    expect(leaves.at(-1)).toMatchObject({
      k: 'outcome',
      of: lost.id,
      pep: 'pep-1',
      rs: 'unclaimed',
    })
    await appendAs(database().store.withRole(PEP_ROLE), [lost.record])
    expect(await leavesOf(database(), ledger.epoch)).toHaveLength(4)
    await ledger.close()
  })

  test('a sweep that fails forgets nothing', async () => {
    const clock = testClock()
    const faulty = faultyAt(database().store.sql, /left join record/, false)
    const ledger = await openTestLedger(faulty, testKeys(), clock)
    await ledger.prepare(['alice'], TIME)
    ledger.seal(decisionInput())
    clock.advance(10_000)
    await ledger.sweep()
    expect(ledger.stats()).toMatchObject({ unconfirmed: 1, sweepFailures: 1 })
    await ledger.sweep()
    expect(ledger.stats()).toMatchObject({ unconfirmed: 0, backfilled: 1 })
    await ledger.close()
  })

  test('a row that took the place of a record is counted', async () => {
    const clock = testClock()
    const { store } = database()
    const ledger = await openTestLedger(store.sql, testKeys(), clock)
    await ledger.prepare(['alice'], TIME)
    const { record } = ledger.seal(decisionInput())
    await appendAs(store.withRole(PEP_ROLE), [{ ...record, hash: '0'.repeat(64) }])
    clock.advance(10_000)
    await ledger.sweep()
    expect(ledger.stats()).toMatchObject({ displaced: 1, unconfirmed: 0, backfilled: 0 })
    await ledger.close()
  })

  test('close writes what is still out, and nothing is sealed afterwards', async () => {
    const [ledger, sealed] = await sealOne()
    await ledger.close()
    await ledger.close()
    const leaves = await leavesOf(database(), ledger.epoch)
    expect(leaves.map(({ id }) => id)).toContain(sealed.id)
    expect(leaves.at(-1)).toMatchObject({ k: 'pdp-close', n: 2 })
    expect(() => ledger.seal(decisionInput())).toThrow('the ledger is closed')
    await expect(ledger.sealOutcomes('pep-1', [])).rejects.toThrow('the ledger is closed')
  })

  test('a leaf that is too large is refused and leaves no hole', async () => {
    const [ledger, first] = await sealOne()
    const policies = Array.from({ length: 200 }, (_, index) => `${'p'.repeat(100)}${index}`)
    expect(() => ledger.seal(decisionInput({ authorization: { policies } }))).toThrow(
      `${LEAF_BYTES_MAX} bytes`,
    )
    const next = ledger.seal(decisionInput())
    expect([leafOf(first).sq, leafOf(next).sq]).toEqual([1, 2])
    expect(leafOf(next).pv).toBe(first.record.hash)
    await ledger.close()
  })

  test.each([
    { name: 'at the limit', tool: 'x'.repeat(256), want: 'x'.repeat(256) },
    {
      name: 'over it',
      tool: 'x'.repeat(257),
      want: `${'x'.repeat(191)}~${createHash('sha256').update('x'.repeat(257)).digest('hex')}`,
    },
    { name: 'with half a character', tool: 'a\ud800', want: 'a\ufffd' },
  ])('a name from outside, $name', async ({ tool, want }) => {
    const [ledger, sealed] = await sealOne(decisionInput({ authorization: { tool } }))
    expect(leafOf(sealed).tl).toBe(want)
    await ledger.close()
  })

  test('an instance whose announcement cannot be written does not open', async () => {
    const faulty = faultySql(database().store.sql, 1, false)
    await expect(openTestLedger(faulty)).rejects.toThrow('connection lost')
  })
})

describe('ports', () => {
  test('every byte of randomness is used once', async () => {
    const drawn: Buffer[] = []
    let next = 0
    const sql = { dialect: 'postgres' as const, query: async () => [] }
    const ledger = await openLedger({
      store: {
        sql: {
          ...sql,
          query: async (text) =>
            text.startsWith('select ref') ? [{ ref: 1, wrapped: Buffer.alloc(0) }] : [],
        },
      },
      keys: { ...testKeys(), vault: { ...testKeys().vault, unwrap: () => Buffer.alloc(32) } },
      engine: { n: 'n', v: 'v', h: 'e'.repeat(64) },
      clock: testClock(),
      random: (bytes) => {
        const block = Buffer.alloc(bytes)
        for (let index = 0; index < bytes; index += 4) block.writeUInt32BE(next++, index)
        drawn.push(block)
        return block
      },
    })
    await ledger.prepare(['alice'], TIME)
    const ids = Array.from({ length: 300 }, () => ledger.seal(decisionInput()).id.slice(-15))
    expect(new Set(ids).size).toBe(300)
    expect(drawn.length).toBeGreaterThan(1)
    await ledger.close()
  })
})
