// Reading decisions back on both databases: filters, pages, and what is not shown.
import { beforeAll, expect, test } from 'vitest'
import { PEP_ROLE } from '../../../schemas/database/append.ts'
import { type DecisionsQuery, decisionRow, decisionsQuery } from '../../../schemas/decisions-api.ts'
import { DECISIONS_CHUNK_ROWS, LISTED_ARGUMENTS_LENGTH_MAX } from '../../../schemas/limits.ts'
import type { Outcome } from '../../../schemas/pep-api.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import {
  appendAs,
  BUNDLE_ID,
  decisionInput,
  openTestLedger,
  testKeys,
} from '../../../test/harness/ledger.ts'
import { listDecisions, showDecision } from './decisions.ts'

const TIME = decisionInput().time

const outcome = (decisionId: string, status: number): Outcome => {
  return { decisionId, result: 'forwarded', status, upstreamMs: 4, isError: false, bytes: 9 }
}

onEachDatabase((database) => {
  const keys = testKeys()
  const ids: string[] = []
  const ports = () => ({ store: database().store, vault: keys.vault })
  const list = async (query: Partial<DecisionsQuery> = {}): Promise<string[]> => {
    const rows = await listDecisions(ports(), decisionsQuery.parse(query))
    return rows.map(({ id }) => decisionRow.shape.id.parse(id))
  }

  beforeAll(async () => {
    const ledger = await openTestLedger(database().store.sql, keys)
    await ledger.prepare(['alice', 'bob', null], TIME)
    const denied = {
      decision: 'deny',
      code: 'no_permit',
      policies: [],
      tool: null,
      arguments: '',
    } as const
    const inputs = [
      decisionInput({ time: TIME }),
      decisionInput({ user: 'bob', time: TIME + 1, method: 'ping', authorization: denied }),
      decisionInput({
        user: null,
        agent: 'a\0b',
        server: 'everything',
        time: TIME + 2,
        mode: 'advisory',
      }),
    ]
    for (const input of inputs) {
      const { id, record } = ledger.seal(input)
      ids.push(id)
      await appendAs(database().store.withRole(PEP_ROLE), [record])
    }
    await ledger.sealOutcomes('pep-1', [outcome(ids[0] ?? '', 200)])
    await ledger.sealOutcomes('pep-2', [outcome(ids[0] ?? '', 500), outcome(ids[1] ?? '', 500)])
    await ledger.close()
  }, 60_000)

  test('one decision, whole', async () => {
    expect(await showDecision(ports(), ids[0] ?? '')).toEqual({
      id: ids[0], at: '2026-11-22T12:00:00.000Z', user: 'alice', agent: 'ci-fixer', server: 'files',
      method: 'tools/call', tool: 'write_file', arguments: { path: 'drafts/ä.txt' }, argumentsLength: 23, argumentsShown: true,
      verdict: 'allow',
      code: 'permit', errors: [],
      shadow: null,
      policies: ['engineering/drafts', 'platform/reads'], bundle: BUNDLE_ID,
      mode: 'enforced',
      credential: null,
      outcome: { result: 'forwarded', status: 200, upstreamMs: 4, isError: false, bytes: 9, echoed: false },
    }) // biome-ignore format: a list
    expect(await showDecision(ports(), crypto.randomUUID())).toBeUndefined()
  })

  test('without user, tool or arguments; the outcome another PEP claims is not shown', async () => {
    const row = await showDecision(ports(), ids[1] ?? '')
    expect(row).toMatchObject({
      user: 'bob',
      tool: null,
      arguments: null,
      verdict: 'deny',
      outcome: null,
    })
    expect(await showDecision(ports(), ids[2] ?? '')).toMatchObject({
      user: null,
      agent: 'a\0b',
      mode: 'advisory',
    })
  })

  test.each<{ query: Partial<DecisionsQuery>; want: number[] }>([
    { query: {}, want: [2, 1, 0] },
    { query: { limit: 2 }, want: [2, 1] },
    { query: { user: 'alice' }, want: [0] },
    { query: { user: 'nobody' }, want: [] },
    { query: { agent: 'ci-fixer' }, want: [1, 0] },
    { query: { agent: 'a\0b' }, want: [2] },
    { query: { server: 'everything' }, want: [2] },
    { query: { tool: 'write_file' }, want: [2, 0] },
    { query: { verdict: 'deny' }, want: [1] },
    { query: { code: 'no_permit' }, want: [1] },
    { query: { user: 'bob', verdict: 'allow' }, want: [] },
  ])('list $query', async ({ query, want }) => {
    expect(await list(query)).toEqual(want.map((index) => ids[index]))
  })

  test('pages: before goes back, after comes forward', async () => {
    expect(await list({ before: ids[2] ?? '', limit: 1 })).toEqual([ids[1]])
    expect(await list({ before: ids[0] ?? '' })).toEqual([])
    expect(await list({ after: ids[0] ?? '' })).toEqual([ids[1], ids[2]])
    expect(await list({ after: ids[0] ?? '', limit: 1 })).toEqual([ids[1]])
  })

  test('a changed column does not change what is shown; a lost key shows no person', async () => {
    const { sql } = database().store
    await sql.query(`update record set agent = 'other', verdict = 'deny' where id = $1`, [ids[0]])
    expect(await showDecision(ports(), ids[0] ?? '')).toMatchObject({
      agent: 'ci-fixer',
      verdict: 'allow',
    })
    const lost = { ...ports(), vault: testKeys().vault }
    expect(await showDecision(lost, ids[0] ?? '')).toMatchObject({
      user: null,
      arguments: null,
      code: 'permit',
    })
  })

  test('a row that holds no decision is passed over', async () => {
    const { sql } = database().store
    await sql.query(`insert into record (id, kind, leaf, leaf_hash, sig, at, epoch, seq)
      values (gen_random_uuid(), 'decision', 'x', '', '', now(), gen_random_uuid(), 0)`)
    expect(await list()).toEqual(ids.toReversed())
  })

  test.each([
    { length: LISTED_ARGUMENTS_LENGTH_MAX, listed: true },
    { length: LISTED_ARGUMENTS_LENGTH_MAX + 1, listed: false },
  ])('arguments of $length characters are in a list: $listed', async ({ length, listed }) => {
    const ledger = await openTestLedger(database().store.sql, keys)
    await ledger.prepare(['carol'], TIME)
    const text = JSON.stringify({ path: 'x'.repeat(length - '{"path":""}'.length) })
    const input = decisionInput({ user: 'carol', agent: `long-${length}` })
    const authorization = { ...input.authorization, arguments: text }
    const { id, record } = ledger.seal({ ...input, authorization })
    await appendAs(database().store.withRole(PEP_ROLE), [record])
    await ledger.close()
    expect(await showDecision(ports(), id)).toMatchObject({
      arguments: JSON.parse(text) as unknown,
    })
    const [row] = await listDecisions(ports(), decisionsQuery.parse({ agent: `long-${length}` }))
    expect([row?.id, row?.argumentsLength, row?.arguments !== null]).toEqual([id, length, listed])
  })

  test('arguments of which only a digest is kept are null, their length is told', async () => {
    const ledger = await openTestLedger(database().store.sql, keys)
    await ledger.prepare(['erin'], TIME)
    const input = decisionInput({ user: 'erin' })
    const kept = `sha256:${'a'.repeat(64)};length=70000`
    const { id, record } = ledger.seal({
      ...input,
      authorization: { ...input.authorization, arguments: kept },
    })
    await appendAs(database().store.withRole(PEP_ROLE), [record])
    await ledger.close()
    expect(await showDecision(ports(), id)).toMatchObject({
      arguments: null,
      argumentsLength: 70_000,
    })
  })

  test('a page is put together from chunks, in order and without a gap', async () => {
    const ledger = await openTestLedger(database().store.sql, keys)
    await ledger.prepare(['dora'], TIME)
    const count = 2 * DECISIONS_CHUNK_ROWS + 3
    const sealed = Array.from({ length: count }, (_, index) =>
      ledger.seal(decisionInput({ user: 'dora', agent: 'many', time: TIME + 10_000 + index })),
    )
    await appendAs(
      database().store.withRole(PEP_ROLE),
      sealed.map(({ record }) => record),
    )
    await ledger.close()
    const many = sealed.map(({ id }) => id)
    expect(await list({ agent: 'many', limit: 1000 })).toEqual(many.toReversed())
    expect(await list({ agent: 'many', limit: DECISIONS_CHUNK_ROWS + 1 })).toEqual(
      many.toReversed().slice(0, DECISIONS_CHUNK_ROWS + 1),
    )
    const [first = ''] = many
    expect(await list({ agent: 'many', after: first, limit: 1000 })).toEqual(many.slice(1))
  })
})
