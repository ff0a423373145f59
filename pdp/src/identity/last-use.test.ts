// When a grant was last used and from where, on both databases: seldom written, by whom it was used last, and never waited for.
import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { LAST_USED_MS } from '../../../schemas/limits.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import { openTestIdentity } from '../../../test/harness/identity.ts'
import { faultySql, testClock } from '../../../test/harness/ledger.ts'
import { keepLastUse } from './last-use.ts'

onEachDatabase((database) => {
  const setUp = async () => {
    const clock = testClock()
    const { store } = database()
    const identity = openTestIdentity(store, clock)
    const request = { user: null, agent: 'ci', servers: ['files'], expiresInMs: 86_400_000 }
    const { id } = await identity.grants.createGrant(request)
    const row = async () => {
      const { lastUsedAt = null, lastSource = null } = (await identity.grants.showGrant(id)) ?? {}
      return [lastUsedAt === null ? null : Date.parse(lastUsedAt), lastSource]
    }
    return { clock, identity, id, row, lastUse: identity.lastUse }
  }

  test('the first use is written, and then one in each minute', async () => {
    const { clock, id, row, lastUse } = await setUp()
    expect(await row()).toEqual([null, null])
    const first = clock.now()
    lastUse.note(id, '192.0.2.1')
    clock.advance(LAST_USED_MS - 1)
    lastUse.note(id, '192.0.2.2')
    await lastUse.flush()
    expect(await row()).toEqual([first, '192.0.2.1'])
    clock.advance(1)
    lastUse.note(id, null)
    lastUse.note(randomUUID(), '192.0.2.9')
    await lastUse.stop()
    expect(await row()).toEqual([first + LAST_USED_MS, null])
  })

  test('is no change: what is remembered of the grant stays', async () => {
    const { identity, id, lastUse } = await setUp()
    await identity.feed.pollNow()
    const since = identity.feed.position()
    lastUse.note(id, '::1')
    await lastUse.flush()
    await identity.feed.pollNow()
    expect(identity.feed.isChanged([{ kind: 'grant', id }], since)).toBe(false)
  })

  test('an older use of another PDP does not undo a newer one', async () => {
    const { clock, id, row, lastUse } = await setUp()
    const other = keepLastUse({ sql: database().store.sql, clock: testClock(), onFailure: () => {} })
    other.note(id, 'older')
    clock.advance(5)
    lastUse.note(id, 'newer')
    await lastUse.flush()
    await other.stop()
    expect(await row()).toEqual([clock.now(), 'newer'])
  }) // biome-ignore format: long lines

  test('a failure is reported, and nothing more', async () => {
    const { clock, id } = await setUp()
    const failures: unknown[] = []
    const sql = faultySql(database().store.sql, 1, false)
    const lastUse = keepLastUse({ sql, clock, onFailure: (error) => failures.push(error) })
    lastUse.note(id, '::1')
    await lastUse.stop()
    expect(failures).toHaveLength(1)
  })
})
