// The broker on both databases: whose credential goes out, when none does, and that a token is fetched once.
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { GivenSecret } from '../../../schemas/credentials-api.ts'
import { GRANT_AGE_MS_MAX } from '../../../schemas/limits.ts'
import {
  credentialsOf,
  headersOf,
  newKek,
  releaseOne as one,
  sharedKek,
  type TestCredentials,
} from '../../../test/harness/credentials.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import { systemClock } from '../main.ts'
import { seal } from './envelope.ts'
import { openKeyRing } from './key-ring.ts'

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

const robot = (issuer?: string) => ({
  declared: {
    robot: { kind: 'client_credentials', ...(issuer === undefined ? {} : { issuer }) },
  },
})

const statesAt = async ({ administration }: TestCredentials) =>
  (await administration.listCredentials({ limit: 9 })).map(({ state }) => state)

onEachDatabase((database) => {
  const open = credentialsOf(DECLARED, () => database().store)
  const user = async (name: string): Promise<string> => {
    await database().store.sql.query(
      `insert into users (id, teams, created) values ($1, '{}', now()) on conflict do nothing`,
      [name],
    )
    return name
  }

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

  test("what was set for all goes to nobody once it is each person's own", async () => {
    const all = await open({ declared: { mine: HEADER } })
    await all.administration.setCredential({ server: 'mine', user: null, secret: header('left-over-secret') })
    expect(headersOf(await one(all, 'mine', 'ann'))).toEqual({ 'x-key': 'left-over-secret' })
    const each = await open()
    expect(headersOf(await one(each, 'mine', 'ann'))).toContain('no credential of yours')
    expect(headersOf(await one(each, 'mine'))).toContain('for nobody')
  }) // biome-ignore format: short

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
    expect(await statesAt(other)).toEqual(['locked'])
    expect(await statesAt(here)).toEqual(['ok'])
  })

  test('a page goes on from a credential that is there, or it is said that it is not', async () => {
    const { administration } = await open()
    const set = (server: string) =>
      administration.setCredential({ server, user: null, secret: header('a-secret-of-it') })
    const [first, second] = [await set('optional'), await set('plain')]
    const after = { limit: 9, after: first.id }
    expect(await administration.listCredentials(after)).toMatchObject([{ id: second.id }])
    await administration.removeCredential(first.id)
    await expect(administration.listCredentials(after)).rejects.toThrow(/list from the start/)
  })

  test('a key that comes back later opens what it wraps, without a restart', async () => {
    const here = await open()
    await here.administration.setCredential({
      server: 'plain',
      user: null,
      secret: header('wrapped-secret'),
    })
    const keks = [newKek()]
    const late = await open({ keks })
    expect(await one(late, 'plain')).toEqual({
      unavailable: expect.stringContaining('cannot decrypt'),
    })
    keks.push(sharedKek)
    await sleep(1_100)
    expect(headersOf(await one(late, 'plain'))).toEqual({ 'x-key': 'wrapped-secret' })
  })

  test('the link for an account that is one for all names nobody', async () => {
    const declared = { all: { kind: 'oauth', per: 'deployment' }, each: { kind: 'oauth' } }
    const here = await open({ declared })
    expect(headersOf(await one(here, 'all', 'ann'))).toContain(
      'an admin opens https://pdp.test/connect/all?user=null to connect',
    )
    expect(headersOf(await one(here, 'each', 'ann'))).toContain(
      'open https://pdp.test/connect/each?user=ann to connect',
    )
  })

  test('a secret of a client is bound to the authorization server of the day it was set', async () => {
    const client = { kind: 'client', clientId: 'gateway', value: 'client-secret' } as const
    const here = await open(robot())
    const { id, issuer } = await here.administration.setCredential({
      server: 'robot',
      user: null,
      secret: client,
    })
    expect(issuer).toBe('https://as.test')
    const evil = { ...robot('https://evil.test'), issuerOf: 'https://evil.test' }
    const later = await open(evil)
    await database().store.sql.query(`update credentials set issuer = 'https://evil.test'`)
    await expect(later.administration.rotateCredential(id, { secret: client })).rejects.toThrow(
      'it was set for https://as.test, and the authorization server of robot is https://evil.test now',
    )
    expect(headersOf(await one(await open(evil), 'robot'))).toContain('is at another address now')
    await expect(
      here.administration.rotateCredential(id, { secret: client }),
    ).resolves.toMatchObject({ version: 2, issuer })
  })

  test('a secret of a client that an earlier release sealed without its issuer is set anew', async () => {
    const here = await open(robot())
    const client = { kind: 'client', clientId: 'gateway', value: 'client-secret' } as const
    const set = () =>
      here.administration.setCredential({ server: 'robot', user: null, secret: client })
    const { id } = await set()
    const ring = await openKeyRing({ source: 'a test', read: async () => [sharedKek], clock: systemClock })
    const of = { id, server: 'robot', user: null, version: 1 }
    const { value: clientSecret } = client
    const old = { kind: 'client_credentials', clientId: 'gateway', clientSecret, token: null }
    const kept = { to: 'https://server.test', secret: old as never }
    const { envelope } = await seal({ ring, random: randomBytes }, kept, of)
    await database().store.sql.query('update credentials set sealed = $1, data_key = $2', [
      envelope.sealed,
      envelope.dataKey,
    ])
    await sleep(GRANT_AGE_MS_MAX)
    expect(headersOf(await one(here, 'robot'))).toContain('cannot decrypt')
    const says = 'it was written by another release: set or connect it anew'
    expect(here.faults.join()).toContain(says)
    expect(await here.administration.testCredential(id)).toMatchObject({ ok: false, problem: says })
    await expect(here.administration.rotateCredential(id, { secret: client })).rejects.toThrow(says)
    expect(await set()).toMatchObject({ id, version: 2 })
    expect(headersOf(await one(here, 'robot'))).toContain('could not renew')
  }) // biome-ignore format: short

  test('a server at another address does not get what was set for the first one', async () => {
    const [here, later] = [
      await open(),
      await open({ destinations: { plain: 'https://elsewhere.test' } }),
    ]
    const { id } = await here.administration.setCredential({
      server: 'plain',
      user: null,
      secret: header('bound-secret'),
    })
    expect(await one(later, 'plain')).toEqual({
      unavailable: expect.stringContaining('at another address now'),
    })
    expect(await later.administration.testCredential(id)).toMatchObject({
      ok: false,
      problem: expect.stringContaining('set for https://server.test'),
    })
    const other = { kind: 'header', name: 'x-other', value: 'other-secret' } as const
    const both = {
      destinations: { open: 'https://elsewhere.test' },
      declared: { open: { kind: 'header' } },
    }
    const [before, after] = [await open({ declared: both.declared }), await open(both)]
    await before.administration.setCredential({
      server: 'open',
      user: null,
      secret: header('bound-secret'),
    })
    await expect(
      after.administration.setCredential({ server: 'open', user: null, secret: other }),
    ).rejects.toThrow('another address')
    await after.administration.setCredential({
      server: 'open',
      user: null,
      secret: header('newly-set-secret'),
    })
    expect(headersOf(await one(after, 'open'))).toEqual({ 'x-key': 'newly-set-secret' })
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
    await database().store.sql.query('delete from credentials')
    await expect(
      here.administration.setCredential({
        server: 'mine',
        user: 'gone',
        secret: header('again-secret'),
      }),
    ).rejects.toThrow('offboarded')
  })
})
