// What meets a transaction that is not committed yet, on PostgreSQL; and claims that come in the wrong order, on both.
import { hash, randomBytes, randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import { holdTransaction } from '../../../test/harness/held.ts'
import { openTestIdentity } from '../../../test/harness/identity.ts'
import { testClock } from '../../../test/harness/ledger.ts'
import { openBootstrap } from './bootstrap.ts'
import { openSessions } from './sessions.ts'
import { openSignIn } from './sign-in.ts'

const ISSUER = 'https://idp.test'
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
      const held = await holdTransaction(
        url,
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
      const held = await holdTransaction(url, 'update bootstrap set used = $1', [
        new Date(clock.now()),
      ])
      const [used] = await Promise.all([bootstrap.use(token, id), held.commitWhenAwaited()])
      expect(used).toBe(false)
      expect(await identity.users.showUser(id)).toBeUndefined()
    })
  })
})
