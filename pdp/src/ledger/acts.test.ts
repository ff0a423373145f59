// What operators did, written and read back, on both databases.
import { beforeAll, expect, test } from 'vitest'
import type { ActRow, ActsQuery } from '../../../schemas/admin-api.ts'
import { actsQuery } from '../../../schemas/admin-api.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import { faultyAt, openTestLedger, testClock, testKeys } from '../../../test/harness/ledger.ts'
import { type Acts, createActs, listActs } from './acts.ts'
import type { Ledger } from './types.ts'

onEachDatabase((database) => {
  const keys = testKeys()
  const clock = testClock()
  let acts: Acts
  const ports = () => ({ store: database().store, vault: keys.vault })
  const list = (query: Partial<ActsQuery> = {}): Promise<ActRow[]> =>
    listActs(ports(), actsQuery.parse(query))

  const names = async (query: Partial<ActsQuery>): Promise<string[]> =>
    (await list(query)).map(({ by }) => by)

  /** A ledger whose first statement that writes a record fails, or is done and then fails. */
  async function failing(written: boolean): Promise<[Acts, Ledger]> {
    const sql = faultyAt(database().store.sql, /insert into record/, written, 1)
    const ledger = await openTestLedger(sql, keys, clock)
    return [createActs(ledger, clock), ledger]
  }

  beforeAll(async () => {
    acts = createActs(await openTestLedger(database().store.sql, keys, clock), clock)
  })

  test('an act is there before it has ended, by whom, of what; nobody knows how it ended', async () => {
    const what = { id: 'g', roles: ['admin'], sure: true, nothing: null }
    const id = await acts.begin({ user: 'alice', act: 'users.roles', what })
    const row = { id, at: '2026-11-22T12:00:00.000Z', act: 'users.roles', by: 'alice', what }
    expect(await list()).toEqual([{ ...row, status: null }])
    await acts.end(id, 200)
    expect(await list()).toEqual([{ ...row, status: 200 }])
  })

  test('newest first, page by page, by whom and of which kind', async () => {
    const bob = await acts.begin({ user: 'bob', act: 'grants.revoke', what: {} })
    const dave = await acts.begin({ user: 'dave', act: 'grants.revoke', what: {} })
    expect(await names({})).toEqual(['dave', 'bob', 'alice'])
    expect(await names({ limit: 1 })).toEqual(['dave'])
    expect(await names({ before: dave })).toEqual(['bob', 'alice'])
    expect(await names({ before: bob })).toEqual(['alice'])
    expect(await names({ by: 'bob' })).toEqual(['bob'])
    expect(await names({ by: 'nobody' })).toEqual([])
    expect(await names({ act: 'users.roles' })).toEqual(['alice'])
  })

  test('the row says who and of what only in what is encrypted', async () => {
    const rows = await database().store.sql.query(`select * from record where kind like 'act%'`)
    const text = rows.map((row) => Buffer.from(row['leaf'] as Uint8Array).toString()).join()
    expect(text).toContain('users.roles')
    expect(text).not.toMatch(/alice|"id":"g"/)
  })

  test.each([true, false])(
    'an act whose commit fails is not begun; written: %s',
    async (written) => {
      const [unsure, ledger] = await failing(written)
      const order = { user: 'eve', act: `grants.create.${written}`, what: {} }
      await expect(unsure.begin(order)).rejects.toThrow('connection lost')
      await ledger.close()
      expect(await list({ by: 'eve', act: order.act })).toMatchObject([{ status: 503 }])
    },
  )

  test('nothing that has no canonical form uses a number', async () => {
    await expect(acts.begin({ user: 'eve', act: 'x', what: 0.5 })).rejects.toThrow(/canonical/)
    await expect(acts.begin({ user: 'eve', act: 'x', what: '\ud800' })).rejects.toThrow(/canonical/)
    expect(await acts.begin({ user: 'eve', act: 'y', what: '' })).toBeDefined()
  })
})
