// The broker on both databases: whose credential goes out, when none does, and that a token is fetched once.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import type { GivenSecret } from '../../../schemas/credentials-api.ts'
import { CREDENTIAL_WAIT_MS, GRANT_AGE_MS_MAX } from '../../../schemas/limits.ts'
import {
  newKek,
  openTestCredentials,
  type TestCredentialOptions,
  type TestCredentials,
} from '../../../test/harness/credentials.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import type { Release } from './broker.ts'
import type { Renew, Renewed } from './renewal.ts'
import type { RenewableSecret } from './secret.ts'

const HEADER = { kind: 'header', names: ['x-key'] }
const DECLARED = {
  plain: HEADER,
  optional: { ...HEADER, required: false },
  mine: { ...HEADER, per: 'user' },
  either: { ...HEADER, per: 'either' },
  bearer: { kind: 'bearer' },
  basic: { kind: 'basic' },
  process: { kind: 'env', names: ['ONE_KEY', 'OTHER_KEY'] },
  robot: { kind: 'client_credentials' },
  account: { kind: 'oauth' },
}
const header = (value: string): GivenSecret => ({ kind: 'header', name: 'x-key', value })

const one = async (
  of: TestCredentials,
  server: string,
  who: string | null = null,
): Promise<Release> => {
  const [release] = await of.release([{ server, user: who }])
  if (release === undefined) throw new Error('no answer')
  return release
}
const headersOf = (release: Release) =>
  'credential' in release ? (release.credential?.headers ?? null) : release.unavailable

const HOUR = 3_600_000
const tokens = (answer: (asked: RenewableSecret, count: number) => Promise<Renewed>) => {
  const asked: RenewableSecret[] = []
  const renew: Renew = ({ secret }) => answer(secret, asked.push(secret))
  return { asked, renew }
}
const given = (accessToken: string, expiresAt: number): Renewed => ({
  kind: 'renewed',
  secret: {
    kind: 'client_credentials',
    clientId: 'gateway',
    clientSecret: 'client-secret',
    token: { accessToken, refreshToken: null, expiresAt, scope: null },
  },
  issuer: 'https://as.test',
  scopes: ['a'],
})
const robot = async (of: TestCredentials) => {
  return of.administration.setCredential({
    server: 'robot',
    user: null,
    secret: { kind: 'client', clientId: 'gateway', value: 'client-secret' },
  })
}

onEachDatabase((database) => {
  const opened: TestCredentials[] = []
  afterEach(async () => {
    await Promise.all(opened.splice(0).map(({ stop }) => stop()))
  })
  const open = async (options: Partial<TestCredentialOptions> = {}) => {
    const here = await openTestCredentials(database().store, { declared: DECLARED, ...options })
    opened.push(here)
    return here
  }
  const user = async (name: string): Promise<string> => {
    await database().store.sql.query(
      `insert into users (id, teams, created) values ($1, '{}', now()) on conflict do nothing`,
      [name],
    )
    return name
  }
  const clean = () => database().store.sql.query('delete from credentials')
  afterEach(clean)

  test('what is declared by nobody needs nothing', async () => {
    expect(await one(await open(), 'undeclared')).toEqual({ credential: null })
  })

  test('what is required and not set is unavailable; what is optional goes without', async () => {
    const here = await open()
    expect(await one(here, 'plain')).toEqual({
      unavailable: expect.stringContaining('no credential for plain yet'),
    })
    expect(await one(here, 'optional')).toEqual({ credential: null })
  })

  test('what was set goes out with its id and version, here and at another PDP within a second', async () => {
    const [here, elsewhere] = [await open(), await open()]
    expect(await one(elsewhere, 'plain')).toHaveProperty('unavailable')
    const { id } = await here.administration.setCredential({
      server: 'plain',
      user: null,
      secret: header('first-secret'),
    })
    const released = {
      id,
      version: 1,
      headers: { 'x-key': 'first-secret' },
      env: {},
      secrets: ['first-secret'],
    }
    expect(await one(here, 'plain')).toEqual({ credential: released })
    await sleep(GRANT_AGE_MS_MAX)
    expect(await one(elsewhere, 'plain')).toEqual({ credential: released })
    await here.administration.setCredential({
      server: 'plain',
      user: null,
      secret: header('second-secret'),
    })
    await sleep(GRANT_AGE_MS_MAX)
    expect(await one(elsewhere, 'plain')).toMatchObject({
      credential: { id, version: 2, headers: { 'x-key': 'second-secret' } },
    })
    await here.administration.removeCredential(id)
    expect(await one(here, 'plain')).toHaveProperty('unavailable')
    await sleep(GRANT_AGE_MS_MAX)
    expect(await one(elsewhere, 'plain')).toHaveProperty('unavailable')
  })

  test('each kind is sent as it should be', async () => {
    const here = await open()
    const set = (server: string, secret: GivenSecret) =>
      here.administration.setCredential({ server, user: null, secret })
    await set('bearer', { kind: 'bearer', value: 'bearer-secret' })
    await set('basic', { kind: 'basic', value: 'me:basic-secret' })
    await set('process', { kind: 'env', name: 'ONE_KEY', value: 'one-secret' })
    expect(await one(here, 'process')).toEqual({
      unavailable: expect.stringContaining('lacks OTHER_KEY'),
    })
    await set('process', { kind: 'env', name: 'OTHER_KEY', value: 'other-secret' })
    const encoded = Buffer.from('me:basic-secret').toString('base64')
    expect(
      await here.release(['bearer', 'basic', 'process'].map((server) => ({ server, user: null }))),
    ).toMatchObject([
      {
        credential: {
          headers: { authorization: 'Bearer bearer-secret' },
          secrets: ['bearer-secret'],
        },
      },
      {
        credential: {
          headers: { authorization: `Basic ${encoded}` },
          secrets: [encoded, 'me:basic-secret', 'basic-secret'],
        },
      },
      {
        credential: {
          headers: {},
          env: { ONE_KEY: 'one-secret', OTHER_KEY: 'other-secret' },
          version: 2,
        },
      },
    ])
  })

  test("of each person their own alone; with `either` the deployment's where they have none", async () => {
    const here = await open()
    for (const server of ['mine', 'either']) {
      await here.administration.setCredential({
        server,
        user: await user('ann'),
        secret: header(`anns-${server}`),
      })
    }
    await here.administration.setCredential({
      server: 'either',
      user: null,
      secret: header('everybodys'),
    })
    const said = []
    for (const server of ['mine', 'either'])
      for (const who of ['ann', 'ben', null]) said.push(headersOf(await one(here, server, who)))
    expect(said).toEqual([
      { 'x-key': 'anns-mine' },
      expect.stringContaining('no credential of yours'),
      expect.stringContaining('for nobody'),
      { 'x-key': 'anns-either' },
      { 'x-key': 'everybodys' },
      { 'x-key': 'everybodys' },
    ])
  })

  test('a row that was moved to somebody else, or an older one put back, is no credential', async () => {
    const here = await open()
    const { sql } = database().store
    await here.administration.setCredential({
      server: 'mine',
      user: await user('ann'),
      secret: header('anns-secret'),
    })
    await sql.query(`update credentials set user_id = $1`, [await user('eve')])
    await sleep(GRANT_AGE_MS_MAX)
    expect(await one(here, 'mine', 'eve')).toEqual({
      unavailable: expect.stringContaining('cannot decrypt'),
    })
    expect(here.faults.join()).toContain('another credential')
    await sql.query(`update credentials set user_id = 'ann', version = 7`)
    await sleep(GRANT_AGE_MS_MAX)
    expect(await one(here, 'mine', 'ann')).toHaveProperty('unavailable')
    expect(here.faults.join()).not.toContain('anns-secret')
  })

  test('without its key-encryption key nothing goes out, and what was remembered does not either once it changed', async () => {
    const here = await open()
    await here.administration.setCredential({
      server: 'optional',
      user: null,
      secret: header('sealed-secret'),
    })
    const other = await open({ keks: [newKek()] })
    expect(await one(other, 'optional')).toEqual({
      unavailable: expect.stringContaining('cannot decrypt'),
    })
    expect(await one(here, 'optional')).toHaveProperty('credential.headers')
  })

  test('a kind that server.yaml does not declare any more is not sent', async () => {
    const here = await open()
    await here.administration.setCredential({
      server: 'plain',
      user: null,
      secret: header('header-secret'),
    })
    const later = await open({ declared: { plain: { kind: 'bearer' } } })
    expect(await one(later, 'plain')).toEqual({
      unavailable: expect.stringContaining('another kind'),
    })
  })

  test('who is offboarded has none any more', async () => {
    const here = await open()
    await here.administration.setCredential({
      server: 'mine',
      user: await user('gone'),
      secret: header('gones-secret'),
    })
    await database().store.sql.query(`update users set offboarded = now() where id = 'gone'`)
    await expect(
      here.administration.setCredential({
        server: 'mine',
        user: 'gone',
        secret: header('again-secret'),
      }),
    ).resolves.toMatchObject({ version: 2 })
    await clean()
    await expect(
      here.administration.setCredential({
        server: 'mine',
        user: 'gone',
        secret: header('again-secret'),
      }),
    ).rejects.toThrow('offboarded')
  })

  describe('access tokens', () => {
    test('500 calls at two PDPs fetch one token', async () => {
      const { asked, renew } = tokens(async (_, count) => {
        await sleep(200)
        return given(`token-${count}-secret`, Date.now() + HOUR)
      })
      const [here, elsewhere] = [await open({ renew }), await open({ renew })]
      await robot(here)
      const all = await Promise.all(
        Array.from({ length: 500 }, (_, index) => one(index % 2 === 0 ? here : elsewhere, 'robot')),
      )
      expect(asked).toHaveLength(1)
      expect(new Set(all.map(headersOf).map((headers) => JSON.stringify(headers)))).toEqual(
        new Set(['{"authorization":"Bearer token-1-secret"}']),
      )
      expect(await here.administration.listCredentials({ limit: 1 })).toMatchObject([
        { version: 2, issuer: 'https://as.test', scopes: ['a'], state: 'ok' },
      ])
    })

    test('one that ends soon is used and renewed meanwhile; one that has ended is waited for', async () => {
      const { asked, renew } = tokens(async (_, count) =>
        given(`token-${count}-secret`, Date.now() + (count === 1 ? 30_000 : HOUR)),
      )
      const here = await open({ renew })
      await robot(here)
      expect(headersOf(await one(here, 'robot'))).toEqual({
        authorization: 'Bearer token-1-secret',
      })
      expect(headersOf(await one(here, 'robot'))).toEqual({
        authorization: 'Bearer token-1-secret',
      })
      while (asked.length < 2) await sleep(10)
      await sleep(200)
      expect(headersOf(await one(here, 'robot'))).toEqual({
        authorization: 'Bearer token-2-secret',
      })
      expect(asked).toHaveLength(2)
    })

    test('a slow authorization server holds nobody up for longer than CREDENTIAL_WAIT_MS, and its answer is kept', async () => {
      const { asked, renew } = tokens(async () => {
        await sleep(2 * CREDENTIAL_WAIT_MS)
        return given('late-token-secret', Date.now() + HOUR)
      })
      const here = await open({ renew })
      await robot(here)
      const began = performance.now()
      expect(await one(here, 'robot')).toEqual({ unavailable: expect.stringContaining('renewing') })
      expect(performance.now() - began).toBeLessThan(CREDENTIAL_WAIT_MS + 400)
      const again = performance.now()
      expect(await one(here, 'robot')).toHaveProperty('unavailable')
      expect(performance.now() - again, 'nobody waits for what is late already').toBeLessThan(400)
      await sleep(1.5 * CREDENTIAL_WAIT_MS)
      expect(headersOf(await one(here, 'robot'))).toEqual({
        authorization: 'Bearer late-token-secret',
      })
      expect(asked).toHaveLength(1)
    })

    test('a failure is not tried again at once, here or elsewhere', async () => {
      const { asked, renew } = tokens(() => Promise.reject(new Error('it is down')))
      const [here, elsewhere] = [await open({ renew }), await open({ renew })]
      await robot(here)
      for (const of of [here, elsewhere, here])
        expect(await one(of, 'robot')).toEqual({
          unavailable: expect.stringContaining('could not renew'),
        })
      expect(asked).toHaveLength(1)
      expect(here.results).toEqual(['failed: it is down'])
      await database().store.sql.query(`update credentials set retry_after = now()`)
      await one(here, 'robot')
      expect(asked).toHaveLength(2)
    })

    test('a refusal is for good: nobody asks again until it is set anew', async () => {
      const { asked, renew } = tokens(async () => ({ kind: 'refused', why: 'invalid_grant' }))
      const here = await open({ renew })
      const { id } = await robot(here)
      for (let call = 0; call < 3; call++)
        expect(await one(here, 'robot')).toEqual({
          unavailable: expect.stringContaining('has ended (invalid_grant)'),
        })
      expect(asked).toHaveLength(1)
      expect(await here.administration.testCredential(id)).toMatchObject({
        ok: false,
        problem: expect.stringContaining('invalid_grant'),
      })
      expect(await here.administration.listCredentials({ limit: 1 })).toMatchObject([
        { state: 'reconnect' },
      ])
      await robot(here)
      await one(here, 'robot')
      expect(asked).toHaveLength(2)
    })

    test('a PDP that dies while it asks holds the others up for a lease, and no longer', async () => {
      const { asked, renew } = tokens(async (_, count) =>
        given(`token-${count}-secret`, Date.now() + HOUR),
      )
      const here = await open({ renew })
      await robot(here)
      const { sql } = database().store
      await sql.query(
        `update credentials set lease_by = gen_random_uuid(), lease_until = now() + interval '1 hour'`,
      )
      expect(await one(here, 'robot')).toEqual({ unavailable: expect.stringContaining('renewing') })
      await sql.query(`update credentials set lease_until = now() - interval '1 second'`)
      await sleep(300)
      expect(headersOf(await one(here, 'robot'))).toEqual({
        authorization: 'Bearer token-1-secret',
      })
      expect(asked).toHaveLength(1)
    })

    test('an answer that comes when somebody has set it anew is dropped', async () => {
      const { promise, resolve } = Promise.withResolvers<Renewed>()
      const { renew, asked } = tokens((_, count) =>
        count === 1 ? promise : Promise.resolve(given('newer-secret', Date.now() + HOUR)),
      )
      const here = await open({ renew })
      await robot(here)
      const waiting = one(here, 'robot')
      while (asked.length < 1) await sleep(5)
      await robot(here)
      resolve(given('older-secret', Date.now() + HOUR))
      expect(headersOf(await waiting)).toEqual({ authorization: 'Bearer newer-secret' })
    })

    test('401 of the server: renewed once, and not again and again', async () => {
      const { asked, renew } = tokens(async (_, count) =>
        given(`token-${count}-secret`, Date.now() + HOUR),
      )
      const here = await open({ renew })
      const { id } = await robot(here)
      await one(here, 'robot')
      const refused = (version: number, of = ['robot']) =>
        here.noteOutcomes(of, [
          {
            decisionId: id,
            result: 'failed',
            status: 401,
            upstreamMs: 1,
            isError: true,
            bytes: 0,
            credential: { id, version, echoed: false },
          },
        ])
      await refused(2, ['another'])
      await refused(1)
      await one(here, 'robot')
      expect(asked, 'not its PEP, not its version').toHaveLength(1)
      await refused(2)
      await sleep(GRANT_AGE_MS_MAX)
      await one(here, 'robot')
      expect(asked, 'it was fetched just now').toHaveLength(1)
      expect(await here.administration.listCredentials({ limit: 1 })).toMatchObject([
        { state: 'refused' },
      ])
      await database().store.sql.query(
        `update credentials set refused = null, updated = now() - interval '1 hour'`,
      )
      await refused(2)
      await sleep(GRANT_AGE_MS_MAX)
      expect(headersOf(await one(here, 'robot'))).toEqual({
        authorization: 'Bearer token-2-secret',
      })
      expect(asked).toHaveLength(2)
    })
  })
})
