// Access tokens on both databases: fetched once for all that wait, kept, and never asked for again and again.
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import {
  CREDENTIAL_WAIT_MS,
  GRANT_AGE_MS_MAX,
  REFRESH_AHEAD_SHARE,
} from '../../../schemas/limits.ts'
import {
  credentialsOf,
  headersOf,
  releaseOne as one,
  signedInUser,
  type TestCredentials,
} from '../../../test/harness/credentials.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import type { Renew, Renewed } from './renewal.ts'
import type { RenewableSecret } from './secret.ts'

const DECLARED = {
  robot: { kind: 'client_credentials' },
  account: { kind: 'oauth', per: 'deployment' },
}
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
    issuer: 'https://as.test',
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

const aMinuteAgo = (column: 'updated' | 'refused') =>
  `update credentials set ${column} = ${column} - interval '1 minute'`

const robotAt = (issuer: string) => ({ robot: { kind: 'client_credentials', issuer } })

onEachDatabase((database) => {
  const open = credentialsOf(DECLARED, () => database().store)

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
    const token = { authorization: 'Bearer token-1-secret' }
    // Who waited for longer than CREDENTIAL_WAIT_MS, on a slow machine, was told so.
    const told = all.map(headersOf).filter((said) => typeof said === 'string')
    expect(all.map(headersOf).filter((said) => typeof said !== 'string')).toEqual(
      Array.from({ length: 500 - told.length }, () => token),
    )
    expect(told.filter((said) => !said.includes('renewing'))).toEqual([])
    await expect.poll(async () => headersOf(await one(elsewhere, 'robot'))).toEqual(token)
    expect(await here.administration.listCredentials({ limit: 1 })).toMatchObject([
      { version: 2, issuer: 'https://as.test', scopes: ['a'], state: 'ok' },
    ])
  })

  test('one that ends soon is used and renewed meanwhile; one that has ended is waited for', async () => {
    const { asked, renew } = tokens(async (_, count) =>
      given(`token-${count}-secret`, Date.now() + HOUR),
    )
    const here = await open({ renew })
    await robot(here)
    expect(headersOf(await one(here, 'robot'))).toEqual({
      authorization: 'Bearer token-1-secret',
    })
    const soon = `update credentials set expires = now() + interval '30 seconds', updated = now() - interval '1 hour'`
    await database().store.sql.query(soon)
    await sleep(GRANT_AGE_MS_MAX)
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

  test('a token of a minute is fetched once for 40 calls, until a fifth of its life is left', async () => {
    let now = Date.now()
    const clock = { now: () => now, monotonic: () => performance.now() }
    const { asked, renew } = tokens(async (_, count) =>
      given(`token-${count}-secret`, now + 60_000),
    )
    const here = await open({ renew, clock })
    await robot(here)
    await one(here, 'robot')
    now += 60_000 * (1 - REFRESH_AHEAD_SHARE)
    for (let call = 0; call < 40; call++) {
      const said = headersOf(await one(here, 'robot'))
      expect(said).toEqual({ authorization: 'Bearer token-1-secret' })
      await sleep(10)
    }
    expect(asked).toHaveLength(1)
    now += 1
    await one(here, 'robot')
    await expect
      .poll(async () => headersOf(await one(here, 'robot')))
      .toEqual({ authorization: 'Bearer token-2-secret' })
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
    expect(performance.now() - began).toBeLessThan(2 * CREDENTIAL_WAIT_MS)
    const again = performance.now()
    expect(await one(here, 'robot')).toHaveProperty('unavailable')
    expect(performance.now() - again, 'nobody waits for what is late already').toBeLessThan(
      CREDENTIAL_WAIT_MS,
    )
    await expect
      .poll(async () => headersOf(await one(here, 'robot')))
      .toEqual({
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
    await database().store.sql.query(
      `update credentials set retry_after = now() - interval '1 second'`,
    )
    await one(here, 'robot')
    expect(asked).toHaveLength(2)
  })

  test('a refusal of the gateway itself is said, and tried again by a later call: it may be mended there', async () => {
    const { asked, renew } = tokens(async (_, count) =>
      count === 1
        ? { kind: 'refused', why: 'invalid_client' }
        : given('later-secret', Date.now() + HOUR),
    )
    const here = await open({ renew })
    const { id } = await robot(here)
    for (let call = 0; call < 3; call++)
      expect(await one(here, 'robot')).toEqual({
        unavailable: expect.stringContaining('has ended (invalid_client)'),
      })
    expect(asked).toHaveLength(1)
    expect(await here.administration.testCredential(id)).toMatchObject({
      ok: false,
      problem: expect.stringContaining('invalid_client'),
    })
    expect(await here.administration.listCredentials({ limit: 1 })).toMatchObject([
      { state: 'reconnect' },
    ])
    await database().store.sql.query(
      `update credentials set retry_after = now() - interval '1 second'`,
    )
    expect(headersOf(await one(here, 'robot'))).toEqual({ authorization: 'Bearer later-secret' })
    expect(await here.administration.listCredentials({ limit: 1 })).toMatchObject([{ state: 'ok' }])
  })

  test("of somebody's account a refusal is for good: nobody asks again until they connect it anew", async () => {
    const asked: string[] = []
    const renew: Renew = async ({ secret }) => {
      asked.push(secret.token?.refreshToken ?? '')
      return { kind: 'refused', why: 'invalid_grant' }
    }
    const here = await open({ renew })
    const by = await signedInUser(database().store, 'keeper')
    const connect = (refreshToken: string) =>
      here.connections.connected({
        server: 'account',
        user: null,
        by,
        issuer: 'https://as.test',
        scopes: null,
        secret: {
          kind: 'oauth',
          client: {
            issuer: 'https://as.test',
            clientId: 'c',
            clientSecret: null,
            authMethod: 'none',
          },
          resource: 'https://server.test/mcp',
          token: {
            accessToken: 'an-access-token',
            refreshToken,
            expiresAt: Date.now() - 1,
            scope: null,
          },
        },
      })
    await connect('the-first-refresh-token')
    for (let call = 0; call < 3; call++) {
      expect(await one(here, 'account')).toEqual({
        unavailable: expect.stringContaining('has ended (invalid_grant)'),
      })
      await database().store.sql.query(`update credentials set retry_after = null`)
    }
    expect(asked).toEqual(['the-first-refresh-token'])
    await connect('the-second-refresh-token')
    await one(here, 'account')
    expect(asked).toEqual(['the-first-refresh-token', 'the-second-refresh-token'])
  })

  test('a bundle that names another authorization server for a moment ends nothing, and gets nothing', async () => {
    const { asked, renew } = tokens(async () => given('a-token-secret', Date.now() + HOUR))
    const here = await open({ renew })
    await robot(here)
    const meanwhile = await open({ renew, declared: robotAt('https://evil.test') })
    expect(await one(meanwhile, 'robot')).toEqual({
      unavailable: expect.stringContaining('another address'),
    })
    expect(asked).toEqual([])
    expect(headersOf(await one(here, 'robot'))).toEqual({ authorization: 'Bearer a-token-secret' })
    expect(await one(meanwhile, 'robot'), 'nor a token that is there').toHaveProperty('unavailable')
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
    const answered = (version: number, status: number, of = ['robot']) =>
      here.noteOutcomes(of, [
        {
          decisionId: id,
          result: 'failed',
          status,
          upstreamMs: 1,
          isError: true,
          bytes: 0,
          credential: { id, version, echoed: false },
        },
      ])
    const refused = (version: number, of?: string[]) => answered(version, 401, of)
    await refused(2, ['another'])
    await refused(1)
    expect(await states(here), 'not its PEP, not its version').toEqual(['ok'])
    await refused(2)
    await sleep(GRANT_AGE_MS_MAX)
    await one(here, 'robot')
    expect(asked, 'it was fetched just now').toHaveLength(1)
    expect(await states(here)).toEqual(['refused'])
    await database().store.sql.query(aMinuteAgo('updated'))
    await refused(2)
    await sleep(GRANT_AGE_MS_MAX)
    await one(here, 'robot')
    expect(asked, 'it was refused just now').toHaveLength(1)
    await database().store.sql.query(aMinuteAgo('refused'))
    await refused(2)
    await sleep(GRANT_AGE_MS_MAX)
    const renewed = { authorization: 'Bearer token-2-secret' }
    expect(headersOf(await one(here, 'robot')), 'a 401 that comes later is heard').toEqual(renewed)
    expect(asked).toHaveLength(2)
    await refused(3)
    await sleep(GRANT_AGE_MS_MAX)
    expect(await states(here)).toEqual(['refused'])
    await one(here, 'robot')
    await answered(3, 200)
    expect(await states(here), 'the server takes it again').toEqual(['ok'])
  })
})

async function states(of: TestCredentials): Promise<string[]> {
  return (await of.administration.listCredentials({ limit: 10 })).map(({ state }) => state)
}
