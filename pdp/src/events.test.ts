// What PEPs are told, on both databases: each change by its grants, and the end when nothing can be known.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Sql } from '../../schemas/database/sql.ts'
import { EVENTS_LOOKBACK_MS, GRANT_AGE_MS_MAX } from '../../schemas/limits.ts'
import type { PepEvent } from '../../schemas/pep-api.ts'
import { onEachDatabase } from '../../test/harness/each-database.ts'
import { openTestIdentity } from '../../test/harness/identity.ts'
import { testClock } from '../../test/harness/ledger.ts'
import { watchEvents } from './events.ts'

const byGrant = (a: unknown, b: unknown) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)

onEachDatabase((database) => {
  const setUp = async () => {
    const clock = testClock(Date.now())
    const { store } = database()
    await store.sql.query('delete from identity_change')
    const state = { fail: false, failEvents: false, slow: Promise.resolve() }
    const failing = (which: 'fail' | 'failEvents', sql: Sql): Sql => ({
      dialect: sql.dialect,
      query: async (...asked) => {
        if (state[which]) throw new Error('connection lost')
        const rows = await sql.query(...asked)
        if (which === 'failEvents') await state.slow
        return rows
      },
    })
    const own = { ...store, prompt: failing('fail', store.prompt) }
    const identity = openTestIdentity(own, clock)
    const activated = new Set<(bundle: string) => void>()
    const events = watchEvents({
      prompt: failing('failEvents', store.prompt),
      feed: identity.feed,
      activated: (onActivated) => void activated.add(onActivated),
      clock,
      onFailure: () => {},
    })
    await identity.feed.pollNow()
    const subscribe = async (signal = new AbortController().signal) => {
      const heard: (PepEvent | 'end')[] = []
      await events.subscribe(
        { onEvent: (event) => heard.push(event), onEnd: () => heard.push('end') },
        signal,
      )
      return heard
    }
    const grant = async (user: string | null, agent: string, expiresInMs = 86_400_000) =>
      (await identity.grants.createGrant({ user, agent, servers: ['files'], expiresInMs })).id
    return { clock, state, identity, events, subscribe, grant, sql: store.sql, activate: (id: string) => activated.forEach((tell) => tell(id)) }
  } // biome-ignore format: long lines

  test('the grant of a client is told as revoked where its link is gone; one for nobody has none', async () => {
    const { subscribe, grant, identity, sql } = await setUp()
    const [user, subject] = [randomUUID(), randomUUID()]
    const [ofUser, ofNobody] = [await grant(user, randomUUID()), await grant(null, randomUUID())]
    const heard = await subscribe()
    await sql.query(`update grants set issuer = 'https://idp.test', subject = $3, client = id::text where id in ($1, $2)`, [ofUser, ofNobody, subject])
    await identity.feed.pollNow()
    const want: PepEvent[] = [{ kind: 'revoked', grant: ofUser }, { kind: 'changed', grant: ofNobody }]
    await expect.poll(() => heard.toSorted(byGrant)).toEqual(want.toSorted(byGrant))
    await identity.users.putUser(user, { link: { issuer: 'https://idp.test', subject } })
    await sql.query(`update users set teams = '{new}' where id = $1`, [user])
    await identity.feed.pollNow()
    await expect.poll(() => heard).toContainEqual({ kind: 'standing', grant: ofUser })
  }) // biome-ignore format: long lines

  test('a revocation is told as such; a new token, servers or scopes as a change', async () => {
    const { subscribe, grant, identity, sql } = await setUp()
    const [first, second, third] = [await grant(randomUUID(), randomUUID()), await grant(null, randomUUID()), await grant(null, randomUUID())]
    const heard = await subscribe()
    const told = async (want: PepEvent[]) => {
      await identity.feed.pollNow()
      await expect.poll(() => heard).toEqual(want)
      await identity.feed.pollNow()
      expect(heard.splice(0)).toEqual(want)
    }
    await identity.grants.revokeGrant(first)
    await told([{ kind: 'revoked', grant: first }])
    await identity.grants.rotateGrant(second)
    await told([{ kind: 'changed', grant: second }])
    await sql.query(`update grants set servers = '{}' where id = $1`, [second])
    await identity.feed.pollNow()
    await told([{ kind: 'changed', grant: second }])
    await sql.query('update grants set expires = created where id = $1', [second])
    await identity.feed.pollNow()
    await told([{ kind: 'revoked', grant: second }])
    await sql.query('delete from grants where id = $1', [third])
    await identity.feed.pollNow()
    await told([{ kind: 'revoked', grant: third }])
  }) // biome-ignore format: long lines

  test('what happens to a user or an agent is told of each grant that it is about, and of no other', async () => {
    const { subscribe, grant, identity, clock } = await setUp()
    const [ann, ci] = [randomUUID(), randomUUID()]
    const [both, anns, cis] = [await grant(ann, ci), await grant(ann, randomUUID()), await grant(null, ci)]
    await grant(randomUUID(), randomUUID())
    const expired = await grant(ann, ci, 1)
    await identity.grants.revokeGrant(await grant(ann, ci))
    clock.advance(1)
    await identity.feed.pollNow()
    const heard = await subscribe()
    expect(heard.splice(0).length).toBeGreaterThan(0)
    const told = async (kind: 'standing' | 'revoked', grants: string[]) => {
      await identity.feed.pollNow()
      await expect.poll(() => heard.length).toBeGreaterThan(0)
      await identity.feed.pollNow()
      const want = grants.map((id) => ({ kind, grant: id }))
      expect(heard.splice(0).toSorted(byGrant)).toEqual(want.toSorted(byGrant))
    }
    await identity.users.putUser(ann, { teams: ['new'] })
    await told('standing', [both, anns])
    await identity.agents.putAgent(ci, { scopes: [] })
    await told('standing', [both, cis])
    await identity.agents.putAgent(ci, { disabled: true })
    await told('revoked', [both, cis])
    await identity.agents.putAgent(ci, { disabled: false })
    await told('standing', [both, cis])
    await identity.users.offboardUser(ann)
    await told('revoked', [both, anns, expired])
  }) // biome-ignore format: long lines

  test('who connects hears what was lately revoked, and nothing older', async () => {
    const { subscribe, grant, identity, sql } = await setUp()
    const [old, recent] = [await grant(null, randomUUID()), await grant(null, randomUUID())]
    for (const id of [old, recent]) await identity.grants.revokeGrant(id)
    const move = `update identity_change set at = now() - make_interval(secs => $2) where id = $1`
    await sql.query(move, [old, EVENTS_LOOKBACK_MS / 1_000 + 5])
    await sql.query(move, [recent, EVENTS_LOOKBACK_MS / 1_000 - 5])
    await identity.feed.pollNow()
    const heard = await subscribe()
    expect(heard).toEqual([{ kind: 'revoked', grant: recent }])
  })

  test('everything at once is told as far back as for one who connects', async () => {
    const { subscribe, grant, identity, sql } = await setUp()
    const heard = await subscribe()
    const revoked = await grant(null, randomUUID())
    await sql.query('update grants set revoked = now() where id = $1', [revoked])
    await sql.query('truncate login_sessions')
    await identity.feed.pollNow()
    await expect.poll(() => heard).toEqual([{ kind: 'revoked', grant: revoked }])
  })

  test('forged rows tell nothing of anybody else, and break nothing', async () => {
    const { subscribe, grant, identity, sql } = await setUp()
    const alive = await grant(null, randomUUID())
    const heard = await subscribe()
    await sql.query(
      `insert into identity_change (kind, id) values ('grant', 'no-uuid'), ('grant', ''), ('user', ''),
       ('unheard-of', $1), ('grant', $1)`,
      [alive],
    )
    await identity.feed.pollNow()
    await expect.poll(() => heard).toEqual([{ kind: 'changed', grant: alive }])
  })

  test('bundles are told; nothing is after the signal', async () => {
    const { subscribe, activate, events } = await setUp()
    const leaving = new AbortController()
    const [gone, there] = [await subscribe(leaving.signal), await subscribe()]
    leaving.abort()
    activate('b'.repeat(64))
    expect([gone, there]).toEqual([[], [{ kind: 'bundle', bundle: 'b'.repeat(64) }]])
    events.stop()
  })

  test('when it cannot be known what was revoked, subscriptions end and none begins', async () => {
    const { subscribe, state, identity, clock, events } = await setUp()
    const heard = await subscribe()
    state.fail = true
    clock.advance(GRANT_AGE_MS_MAX - 1)
    await expect(identity.feed.pollNow()).rejects.toThrow('connection lost')
    expect(heard).toEqual([])
    clock.advance(1)
    await expect(identity.feed.pollNow()).rejects.toThrow('connection lost')
    expect(heard).toEqual(['end'])
    await expect(events.ready()).rejects.toThrow('connection lost')
    state.fail = false
    await events.ready()
  })

  test('what was so earlier is never told last', async () => {
    const { subscribe, state, identity, grant } = await setUp()
    const agent = randomUUID()
    const id = await grant(null, agent)
    const heard = await subscribe()
    const answered = Promise.withResolvers<void>()
    state.slow = answered.promise
    await identity.agents.putAgent(agent, { disabled: true })
    await identity.feed.pollNow()
    await sleep(50)
    state.slow = Promise.resolve()
    await identity.agents.putAgent(agent, { disabled: false })
    await identity.feed.pollNow()
    await sleep(50)
    answered.resolve()
    await expect.poll(() => heard.map((event) => event !== 'end' && event.kind)).toEqual(['revoked', 'standing'])
    expect(heard).toContainEqual({ kind: 'standing', grant: id })
  }) // biome-ignore format: long lines

  test('when what changed cannot be told, subscriptions end', async () => {
    const { subscribe, state, identity, grant } = await setUp()
    const id = await grant(null, randomUUID())
    const heard = await subscribe()
    state.failEvents = true
    await identity.grants.revokeGrant(id)
    await identity.feed.pollNow()
    await expect.poll(() => heard).toEqual(['end'])
  })
})
