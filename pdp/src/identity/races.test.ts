// What meets a transaction that is not committed yet, on PostgreSQL; and claims that come in the wrong order, on both.
import { hash, randomBytes, randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { Sql } from '../../../schemas/database/sql.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import { holdTransaction } from '../../../test/harness/held.ts'
import { ISSUER, openTestIdentity, SETTINGS } from '../../../test/harness/identity.ts'
import { testClock } from '../../../test/harness/ledger.ts'
import { openBootstrap } from './bootstrap.ts'
import { openSessions } from './sessions.ts'
import { openSignIn } from './sign-in.ts'

const random = (bytes: number) => randomBytes(bytes)

onEachDatabase((database, name) => {
  const setUp = () => {
    const { store, url = '' } = database()
    const clock = testClock()
    const { sql } = store
    const bootstrap = openBootstrap({ sql, clock, random })
    const sessions = openSessions({ sql, clock, random })
    const id = `carol-${randomUUID()}`
    const link = { issuer: ISSUER, subject: `eve-${id}` }
    return { url, clock, sql, bootstrap, sessions, id, link, identity: openTestIdentity(store, clock) }
  } // biome-ignore format: long lines

  describe.runIf(name === 'postgres')('while another transaction is open', () => {
    test.each([
      {
        who: 'whoever took the name by claims',
        columns: 'issuer, subject',
        says: 'nobody vouched',
      },
      { who: 'who is being offboarded', columns: 'offboarded, subject', says: 'is offboarded' },
    ])('$who is made no admin, and the token waits', async ({ columns, says }) => {
      const { url, bootstrap, identity, id, link, clock } = setUp()
      const { token } = await bootstrap.renew()
      const first = columns.startsWith('issuer') ? link.issuer : new Date(clock.now())
      const held = await holdTransaction(url)
      await held.sql.query(
        `insert into users (id, teams, created, ${columns}) values ($1, '{}', now(), $2, $3)`,
        [id, first, columns.startsWith('issuer') ? link.subject : null],
      )
      const [used] = await Promise.allSettled([bootstrap.use(token, id), held.commitWhenAwaited()])
      expect(used).toMatchObject({ reason: { message: expect.stringContaining(says) } })
      expect((await identity.users.showUser(id))?.roles).toEqual([])
      expect(await bootstrap.isWaiting(token)).toBe(true)
      expect(await bootstrap.use(token, `other-${id}`)).toBe(true)
    })

    test('a token that somebody else is using makes one admin', async () => {
      const { url, bootstrap, identity, id, clock } = setUp()
      const { token } = await bootstrap.renew()
      const held = await holdTransaction(url)
      await held.sql.query('update bootstrap set used = $1', [new Date(clock.now())])
      const [used] = await Promise.all([bootstrap.use(token, id), held.commitWhenAwaited()])
      expect(used).toBe(false)
      expect(await identity.users.showUser(id)).toBeUndefined()
    })

    test('unlinking ends also the session and the grant of a client that were being made', async () => {
      const { url, clock, sql, sessions, identity, id, link } = setUp()
      await identity.users.putUser(id, { link })
      const held = await holdTransaction(url)
      const idToken = { ...link, sha256: hash('sha256', id) }
      const session = await openSessions({ sql: held.sql, clock, random }).createSession({ user: id, roles: ['viewer'], source: null, idToken })
      const inside = openTestIdentity({ sql: held.sql, prompt: held.sql, listen: () => async () => {} }, clock)
      const request = { user: id, issuer: ISSUER, client: 'portal', expiresInMs: 60_000 }
      const grant = await inside.clientGrants.createClientGrant(request, SETTINGS)
      await Promise.all([identity.users.unlinkUser(id), held.commitWhenAwaited()])
      expect(await sessions.resolveSession(session?.token ?? '')).toBeUndefined()
      const [row] = await sql.query('select revoked from grants where id = $1', [grant])
      expect(row?.['revoked']).toBeInstanceOf(Date)
    }) // biome-ignore format: long lines
  })

  test('who is offboarded is not unlinked: nobody would be kept out any more', async () => {
    const { identity, id, link } = setUp()
    await identity.users.putUser(id, { link })
    await identity.users.offboardUser(id)
    await expect(identity.users.unlinkUser(id)).rejects.toThrow(`cedargate users reinstate ${id}`)
    expect((await identity.users.showUser(id))?.link).toEqual({ ...link, vouched: true })
    await identity.users.reinstateUser(id)
    expect((await identity.users.unlinkUser(id))?.link).toBeNull()
  })

  const signIns = () => {
    const { sql, clock, id, link } = setUp()
    const feed = { note: () => {} }
    const person = { ...link, user: id }
    const texts: string[] = []
    const meanwhile = { write: async () => {} }
    /** Before each update, the other PDP does what `meanwhile` says. */
    const late: Sql = {
      ...sql,
      query: async (text, params) => {
        texts.push(text)
        if (text.startsWith('update')) await meanwhile.write()
        return sql.query(text, params)
      },
    }
    const here = openSignIn({ sql: late, clock, feed })
    const there = openSignIn({ sql, clock, feed })
    const stored = async () =>
      (await sql.query('select claim_teams, claims_at from users where id = $1', [id]))[0]
    return { person, texts, meanwhile, here, there, stored }
  }

  describe('claims of two PDPs', () => {
    test('older ones that were read before the other wrote newer ones change nothing', async () => {
      const { person, meanwhile, here, there, stored } = signIns()
      await there({ ...person, teams: ['first'], issuedAt: 1_000 })
      meanwhile.write = async () => {
        await there({ ...person, teams: ['newest'], issuedAt: 3_000 })
      }
      await here({ ...person, teams: ['older'], issuedAt: 2_000 })
      expect(await stored()).toEqual({ claim_teams: ['newest'], claims_at: new Date(3_000) })
    })

    test('what is not newer is not written', async () => {
      const { person, texts, here, there } = signIns()
      await there({ ...person, teams: ['newest'], issuedAt: 3_000 })
      await here({ ...person, teams: ['older'], issuedAt: 2_000 })
      await here({ ...person, teams: ['same'], issuedAt: 3_000 })
      expect(texts.filter((text) => !text.startsWith('select'))).toEqual([])
    })
  })
})
