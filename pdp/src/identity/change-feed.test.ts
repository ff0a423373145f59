// Every change is heard on both databases, whoever wrote it and however late it committed; and how long what was heard is
// good for.
import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { describe, expect, test } from 'vitest'
import type { Row, Sql } from '../../../schemas/database/sql.ts'
import {
  CLOCK_SKEW_MS_MAX,
  GRANT_AGE_MS_MAX,
  IDENTITY_CHANGE_KEPT_MS,
} from '../../../schemas/limits.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import { testClock } from '../../../test/harness/ledger.ts'
import { type Heard, openChangeFeed } from './change-feed.ts'

const connected = async (url: string | undefined): Promise<Client> => {
  const client = new Client({ connectionString: url })
  await client.connect()
  return client
}

onEachDatabase((database, kindOf) => {
  /** A feed that looks when told; `alter` changes what the database answers to a look. */
  const setUp = (alter: (row: Row) => Row | Promise<Row> = (row) => row) => {
    const clock = testClock()
    const { store } = database()
    const heard: Heard[] = []
    const state = { fail: false, looks: 0 }
    const prompt: Sql = {
      dialect: store.dialect,
      query: async (...asked) => {
        state.looks += 1
        if (state.fail) throw new Error('connection lost')
        const answer = await store.prompt.query(...asked)
        return Promise.all(answer.map(async (row) => alter(row)))
      },
    }
    const failures: unknown[] = []
    const feed = openChangeFeed({
      store: { ...store, prompt },
      clock,
      onFailure: (error) => failures.push(error),
    })
    feed.subscribe((what) => heard.push(what))
    return { clock, feed, heard, state, failures, sql: store.sql }
  }

  /** A user, an agent, a grant, a PEP and a login session, by plain SQL. */
  async function rows() {
    const { sql } = database().store
    const [name, id] = [randomUUID(), randomUUID()]
    await sql.query(`insert into users (id, teams, created) values ($1, '{}', now())`, [name])
    await sql.query(`insert into agents (id, created) values ($1, now())`, [name])
    await sql.query(
      `insert into grants (id, token_sha256, token_last4, user_id, agent, servers, created, expires)
       values ($1, $2, 'last', $2, $2, '{files}', now(), now() + interval '1 day')`,
      [id, name],
    )
    await sql.query(
      `insert into peps (id, key_sha256, servers, created) values ($1, $1, '{}', now())`,
      [name],
    )
    await sql.query(
      `insert into login_sessions (id, user_id, token_sha256, roles, created, expires)
       values ($1, $2, $2, '{}', now(), now())`,
      [id, name],
    )
    return { name, id }
  }

  test('what is there before the first look is no change, and nothing is fresh until then', async () => {
    await rows()
    const { feed, heard } = setUp()
    expect(feed.isFresh()).toBe(false)
    await feed.refresh()
    expect(feed.isFresh()).toBe(true)
    expect(heard).toEqual([[]])
  })

  test.each<{ table: string; kind: string; set: string[]; quiet?: string[] }>([
    { table: 'grants', kind: 'grant', quiet: ['last_used = now()', `last_source = '::1'`], set: [
      'revoked = now()', 'expires = now()', `servers = '{}'`, `scopes = '{}'`, `token_sha256 = null`,
      'user_id = null', `issuer = 'i', subject = id::text, client = 'c'`, `client = 'd'`,
    ] },
    { table: 'users', kind: 'user', quiet: ['teams = teams', `roles = '{admin}'`], set: [
      'offboarded = now()', `teams = '{a}'`, `claim_teams = '{a}'`, `scopes = '{}'`, `issuer = 'i'`,
    ] },
    { table: 'agents', kind: 'agent', set: ['disabled = now()', `scopes = '{}'`] },
    { table: 'peps', kind: 'pep', set: ['revoked = now()', `servers = '{files}'`, `key_sha256 = id || 'x'`] },
    { table: 'login_sessions', kind: 'session', set: ['revoked = now()'] },
  ])('of $table every change by plain SQL is told once, and a deletion', async ({ table, kind, set, quiet = [] }) => {
    const { feed, heard, sql } = setUp()
    const made = await rows()
    const id = kind === 'grant' || kind === 'session' ? made.id : made.name
    await feed.pollNow()
    const telling = async (text: string): Promise<unknown> => {
      heard.length = 0
      await sql.query(text, [id])
      await feed.pollNow()
      await feed.pollNow()
      return heard
    }
    for (const one of quiet) expect([one, await telling(`update ${table} set ${one} where id = $1`)]).toEqual([one, [[], []]])
    for (const one of set) expect([one, await telling(`update ${table} set ${one} where id = $1`)]).toEqual([one, [[{ kind, id }], []]])
    if (kind === 'user') await sql.query('delete from grants where user_id = $1', [id])
    if (kind === 'user') await sql.query('delete from login_sessions where user_id = $1', [id])
    if (kind === 'agent') await sql.query('delete from grants where agent = $1', [id])
    await feed.pollNow()
    expect(await telling(`delete from ${table} where id = $1`)).toEqual([[{ kind, id }], []])
  }) // biome-ignore format: a table

  test('a grant or PEP that is given another id is told by the one it had', async () => {
    const { feed, heard, sql } = setUp()
    const { id, name: pep } = await rows()
    await feed.pollNow()
    await sql.query('update grants set id = $2 where id = $1', [id, randomUUID()])
    await sql.query(`update peps set id = id || '-2' where id = $1`, [pep])
    await feed.pollNow()
    expect(heard.at(-1)).toEqual(expect.arrayContaining([{ kind: 'grant', id }, { kind: 'pep', id: pep }]))
  }) // biome-ignore format: long lines

  test('a table that is emptied is everything', async () => {
    const { feed, heard, sql } = setUp()
    await feed.pollNow()
    const since = feed.position()
    await sql.query('truncate login_sessions')
    await feed.pollNow()
    expect(heard.at(-1)).toBe('all')
    expect(feed.isChanged([{ kind: 'user', id: 'anybody' }], since)).toBe(true)
  })

  test('is fresh for so long after the start of the last look, by either clock', async () => {
    const { feed, clock, state } = setUp()
    await feed.pollNow()
    clock.advance(GRANT_AGE_MS_MAX - 1)
    expect(feed.isFresh()).toBe(true)
    clock.advance(1)
    expect(feed.isFresh()).toBe(false)
    state.fail = true
    await expect(feed.refresh()).rejects.toThrow('connection lost')
    state.fail = false
    await feed.refresh()
    expect(feed.isFresh()).toBe(true)
  })

  test.each([GRANT_AGE_MS_MAX, -GRANT_AGE_MS_MAX])('a wall clock that jumps by %i ms ends that until the next look', async (jump) => {
    const clock = { ...testClock() }
    const { store } = database()
    const feed = openChangeFeed({ store, clock, onFailure: () => {} })
    await feed.pollNow()
    const { now } = clock
    clock.now = () => now() + jump - Math.sign(jump)
    expect(feed.isFresh()).toBe(true)
    clock.now = () => now() + jump
    expect(feed.isFresh()).toBe(false)
    await feed.refresh()
    expect(feed.isFresh()).toBe(true)
  }) // biome-ignore format: a title

  test('a look that took too long serves nobody', async () => {
    const { feed, clock } = setUp((row) => {
      clock.advance(GRANT_AGE_MS_MAX)
      return row
    })
    await expect(feed.refresh()).rejects.toThrow(`within ${GRANT_AGE_MS_MAX} ms`)
    expect(feed.isFresh()).toBe(false)
  })

  test('looks are never two at once, and who asks meanwhile shares the next one', async () => {
    let [now, most] = [0, 0]
    const { feed, state } = setUp(async (row) => {
      most = Math.max(most, (now += 1))
      await new Promise((resolve) => setTimeout(resolve, 5))
      now -= 1
      return row
    })
    await Promise.all([feed.pollNow(), feed.pollNow(), feed.refresh(), feed.pollNow()])
    expect([most, state.looks]).toEqual([1, 2])
  })

  test('failures are reported once, and told as lost when nothing is fresh any more', async () => {
    const { feed, heard, failures, state, clock } = setUp()
    await feed.pollNow()
    state.fail = true
    await expect(feed.pollNow()).rejects.toThrow('connection lost')
    expect([heard.at(-1), failures.length]).toEqual([[], 1])
    clock.advance(GRANT_AGE_MS_MAX)
    await expect(feed.pollNow()).rejects.toThrow('connection lost')
    expect([heard.at(-1), failures.length]).toEqual(['lost', 1])
  })

  test.each([
    { by: CLOCK_SKEW_MS_MAX, wrong: false },
    { by: CLOCK_SKEW_MS_MAX + 1, wrong: true },
    { by: -CLOCK_SKEW_MS_MAX, wrong: false },
    { by: -CLOCK_SKEW_MS_MAX - 1, wrong: true },
  ])('a database whose clock is off by $by ms: $wrong', async ({ by, wrong }) => {
    const { feed, clock } = setUp((row) => ({ ...row, at: new Date(clock.now() + by) }))
    expect(feed.isClockWrong()).toBe(false)
    await feed.pollNow()
    expect(feed.isClockWrong()).toBe(wrong)
  })

  test.each<{ what: string; alter: (row: Row) => Row }>([
    { what: 'another server', alter: (row) => ({ ...row, server: 'another' }) },
    { what: 'an older horizon', alter: (row) => ({ ...row, horizon: '3' }) },
    { what: 'an older end', alter: (row) => ({ ...row, end: '3' }) },
    { what: 'rows that may be gone', alter: (row) => ({ ...row, at: new Date((row['at'] as Date).getTime() + IDENTITY_CHANGE_KEPT_MS / 2) }) },
  ])('$what: everything is forgotten', async ({ alter }) => {
    let altering = false
    const { feed, heard } = setUp((row) => (altering ? alter(row) : row))
    await feed.pollNow()
    altering = true
    const since = feed.position()
    await feed.pollNow()
    expect(heard.at(-1)).toBe('all')
    expect(feed.isChanged([], since)).toBe(true)
  }) // biome-ignore format: a table

  test('a standby is no witness', async () => {
    const { feed } = setUp((row) => ({ ...row, standby: true }))
    await expect(feed.refresh()).rejects.toThrow('is a standby')
  })

  test('rows of another database’s future are never told, and pruned with the old ones', async () => {
    const past = Date.UTC(2020)
    let at = past
    const { feed, heard, sql } = setUp((row) => ({ ...row, at: new Date(at) }))
    await feed.pollNow()
    await sql.query(`insert into identity_change (tx, kind, id) values ('9000000000', 'user', 'forged'),
      ('5', 'user', 'ancient')`)
    await feed.pollNow()
    expect(heard.at(-1)).toEqual([])
    const { name: user } = await rows()
    await sql.query(`update users set teams = '{x}' where id = $1`, [user])
    at += IDENTITY_CHANGE_KEPT_MS
    await feed.pollNow()
    const kept = async (): Promise<unknown[]> =>
      (await sql.query('select id from identity_change')).map((row) => row['id'])
    await expect.poll(kept).not.toContain('forged')
    expect(await kept()).not.toContain('ancient')
    expect(await kept()).toContain(user)
    at += IDENTITY_CHANGE_KEPT_MS
    await feed.pollNow()
    await expect.poll(kept).not.toContain(user)
  })

  describe.runIf(kindOf === 'postgres')('on PostgreSQL', () => {
    test('what commits late is not missed, and nothing is told twice', async () => {
      const { feed, heard, sql } = setUp()
      const [late, other] = [await rows(), await rows()]
      await feed.pollNow()
      const client = await connected(database().url)
      await client.query('begin')
      await client.query('savepoint one')
      await client.query(`update users set teams = '{late}' where id = $1`, [late.name])
      await sql.query(`update users set teams = '{other}' where id = $1`, [other.name])
      heard.length = 0
      for (let look = 0; look < 3; look++) await feed.pollNow()
      expect(heard).toEqual([[{ kind: 'user', id: other.name }], [], []])
      await client.query('commit')
      await client.end()
      heard.length = 0
      for (let look = 0; look < 3; look++) await feed.pollNow()
      expect(heard).toEqual([[{ kind: 'user', id: late.name }], [], []])
    })

    test('a notification makes it look at once; what it says is nothing', async () => {
      const { feed, heard, state } = setUp()
      await feed.start()
      const client = await connected(database().url)
      await expect.poll(() => state.looks).toBeGreaterThan(2)
      const victim = await rows()
      const since = feed.position()
      heard.length = 0
      for (const payload of ['', victim.id, `{"kind":"grant","id":"${victim.id}"}`, 'x'.repeat(7_000)])
        await client.query('select pg_notify($1, $2)', ['cedargate_identity', payload])
      await expect.poll(() => heard.length).toBeGreaterThan(1)
      expect(heard.flat()).toEqual([])
      expect(feed.isChanged([{ kind: 'grant', id: victim.id }], since)).toBe(false)
      await client.query('update grants set revoked = now() where id = $1', [victim.id])
      const told = performance.now()
      await expect.poll(() => heard.flat(), { interval: 5 }).toEqual([{ kind: 'grant', id: victim.id }])
      expect(performance.now() - told).toBeLessThan(200)
      await client.end()
      await feed.stop()
    }) // biome-ignore format: long lines

    test('without the connection that listens it is only slower, and comes back', async () => {
      const { feed, heard, sql } = setUp()
      await feed.start()
      const listeners = `from pg_stat_activity where query like 'listen%' and pid <> pg_backend_pid()
        and datname = current_database()`
      const count = async (): Promise<unknown> =>
        (await sql.query(`select count(*) ${listeners}`))[0]?.['count']
      await expect.poll(count).toBe(1)
      await sql.query(`select pg_terminate_backend(pid) ${listeners}`)
      const { id } = await rows()
      await sql.query('update grants set revoked = now() where id = $1', [id])
      await expect.poll(() => heard.flat()).toContainEqual({ kind: 'grant', id })
      await expect.poll(count, { timeout: 5_000 }).toBe(1)
      await feed.stop()
      expect(await count()).toBe(0)
    })
  })
})
