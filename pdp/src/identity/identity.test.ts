// Grants, PEPs and users on both databases: made, resolved, expired, revoked, and tried again.
import { hash, randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import {
  createdGrant,
  createdPep,
  grantRow,
  grantsQuery,
  pepRow,
} from '../../../schemas/admin-api.ts'
import type { Sql } from '../../../schemas/database/sql.ts'
import { isWellFormedToken } from '../../../schemas/identifiers.ts'
import { GRANT_AGE_MS_MAX } from '../../../schemas/limits.ts'
import { SCOPES } from '../../../schemas/scopes.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import { openTestIdentity } from '../../../test/harness/identity.ts'
import { faultyAt, faultySql, testClock } from '../../../test/harness/ledger.ts'
import { clientKey } from './resolve.ts'

const DAY_MS = 86_400_000
const EVERY = SCOPES.toSorted()
const ALL = { user: EVERY, agent: EVERY, grant: EVERY }
const sha256 = (text: string): string => hash('sha256', text)
let people = 0

const request = (change: object = {}) => {
  const user = `user-${people++}`
  return {
    user,
    agent: 'ci',
    servers: ['files'],
    teams: ['b', 'a'],
    expiresInMs: DAY_MS,
    ...change,
  }
}

onEachDatabase((database) => {
  const setUp = () => {
    const clock = testClock()
    const { store } = database()
    const { sql } = store
    const open = (of: Sql = sql) => {
      const { grants, resolver, peps, users } = openTestIdentity({ ...store, sql: of }, clock)
      const resolve = async (digest: string) => (await resolver.resolveGrants([digest])).get(digest)
      return { ...grants, ...resolver, ...peps, ...users, resolve }
    }
    return { clock, sql, open, here: open(), elsewhere: open() }
  }

  test('a grant is resolved by its token digest, and the token is stored nowhere', async () => {
    const { here, clock, sql } = setUp()
    const asked = request()
    const made = createdGrant.parse(await here.createGrant(asked))
    expect(isWellFormedToken('grant', made.token, sha256)).toBe(true)
    expect(made).toMatchObject({
      user: asked.user,
      agent: 'ci',
      servers: ['files'],
      teams: ['a', 'b'],
    })
    const digest = sha256(made.token)
    expect(await here.resolveGrants([digest, sha256('other'), digest])).toEqual(
      new Map([[digest, {
        id: made.id, user: asked.user, agent: 'ci', teams: ['a', 'b'], servers: ['files'],
        scopes: ALL, expiresAt: clock.now() + DAY_MS, client: null,
      }]]),
    ) // biome-ignore format: a table
    const [stored] = await sql.query('select g::text as text from grants g where id = $1', [
      made.id,
    ])
    expect(String(stored?.['text'])).not.toContain(made.token.slice(4, -9))
    const [row] = await here.listGrants({ limit: 1 })
    expect(grantRow.parse(row)).toMatchObject({
      id: made.id,
      tokenLast4: made.token.slice(-4),
      revokedAt: null,
    })
  })

  test("teams are the user's: a second grant adds to them, for the first one as well", async () => {
    const { here } = setUp()
    const first = request({ teams: ['a'] })
    const digest = sha256((await here.createGrant(first)).token)
    expect((await here.resolveGrants([digest])).get(digest)?.teams).toEqual(['a'])
    expect((await here.createGrant({ ...first, teams: ['c', 'a', 'b'] })).teams).toEqual([
      'a',
      'b',
      'c',
    ])
    expect((await here.resolveGrants([digest])).get(digest)?.teams).toEqual(['a', 'b', 'c'])
    expect((await here.createGrant({ ...first, teams: [] })).teams).toEqual(['a', 'b', 'c'])
    expect((await here.showUser(first.user))?.teams).toEqual(['a', 'b', 'c'])
  })

  test('a grant ends at its expiry, to the millisecond, remembered or not', async () => {
    const { here, clock } = setUp()
    const digest = sha256((await here.createGrant(request({ expiresInMs: 100 }))).token)
    clock.advance(99)
    expect((await here.resolveGrants([digest])).size).toBe(1)
    clock.advance(1)
    expect((await here.resolveGrants([digest])).size).toBe(0)
    clock.advance(1_000)
    expect((await here.resolveGrants([digest])).size).toBe(0)
  })

  test('a revocation holds here at once, elsewhere within GRANT_AGE_MS_MAX', async () => {
    const { here, elsewhere, clock } = setUp()
    const made = await here.createGrant(request())
    const digest = sha256(made.token)
    for (const each of [here, elsewhere]) expect(await each.resolve(digest)).toBeDefined()
    const revokedAt = clock.now()
    expect(await here.revokeGrant(made.id)).toEqual({ id: made.id, revokedAt })
    expect(await here.resolve(digest)).toBeUndefined()
    clock.advance(GRANT_AGE_MS_MAX - 1)
    expect(await elsewhere.resolve(digest)).toBeDefined()
    clock.advance(1)
    expect(await elsewhere.resolve(digest)).toBeUndefined()
    expect(await here.revokeGrant(made.id)).toEqual({ id: made.id, revokedAt })
    expect(await here.revokeGrant(randomUUID())).toBeUndefined()
    const row = await here.showGrant(made.id)
    expect(row?.revokedAt).toBe(new Date(revokedAt).toISOString())
  })

  test('what is written about others, however much, sends nobody to the database', async () => {
    const { clock } = setUp()
    const { store } = database()
    const asked: string[] = []
    const query: Sql['query'] = async (text, params, name = text) => {
      asked.push(name)
      return await store.prompt.query(text, params, name)
    }
    const prompt = { dialect: store.prompt.dialect, query }
    const { grants, resolver } = openTestIdentity({ ...store, prompt }, clock)
    const { token } = await grants.createGrant(request())
    expect((await resolver.resolveGrants([sha256(token)])).size).toBe(1)
    expect(asked.splice(0)).toEqual(['identity-look', 'grants-by-token'])
    for (let index = 0; index < 10; index++) {
      const { id } = await grants.createGrant(request())
      await grants.revokeGrant(id)
      expect((await resolver.resolveGrants([sha256(token)])).size).toBe(1)
    }
    expect(asked).toEqual([])
  })

  test('two grants at once for a new user: one user, both grants', async () => {
    const { here, elsewhere } = setUp()
    const asked = request()
    await Promise.all([here.createGrant(asked), elsewhere.createGrant({ ...asked, teams: ['z'] })])
    expect((await here.showUser(asked.user))?.teams).toEqual(['a', 'b', 'z'])
    expect(await here.listGrants({ user: asked.user, limit: 9 })).toHaveLength(2)
  })

  test.each([
    { name: 'the write is lost', written: false },
    { name: 'only the answer is lost', written: true },
  ])('$name: a second try does what the first was to do', async ({ written }) => {
    const { sql, open } = setUp()
    const asked = request()
    const grants = open(faultySql(sql, 1, written))
    await expect(grants.createGrant(asked)).rejects.toThrow('connection lost')
    const made = await grants.createGrant(asked)
    const digest = sha256(made.token)
    expect((await grants.resolve(digest))?.id).toBe(made.id)
    expect(await grants.listGrants({ user: asked.user, limit: 9 })).toHaveLength(written ? 2 : 1)

    const other = open(faultyAt(sql, /update grants/, written))
    expect(await other.resolve(digest)).toBeDefined()
    await expect(other.revokeGrant(made.id)).rejects.toThrow('connection lost')
    expect((await other.resolve(digest)) === undefined).toBe(written)
    expect(await other.revokeGrant(made.id)).toMatchObject({ id: made.id })
    expect(await other.resolve(digest)).toBeUndefined()

    const peps = open(faultySql(sql, 1, written))
    const id = `pep-${asked.user}`
    await expect(peps.enrollPep(['files'], id)).rejects.toThrow('connection lost')
    const { key } = await peps.enrollPep(['files'], id)
    expect(await peps.resolvePep(sha256(key))).toEqual({ id, servers: ['files'] })
    expect((await peps.listPeps()).filter((row) => row.id === id)).toHaveLength(1)
  })

  test('a PEP is resolved by its key, until it is revoked or enrolled anew', async () => {
    const { here } = setUp()
    const made = createdPep.parse(await here.enrollPep(['files', 'everything']))
    expect(isWellFormedToken('pep', made.key, sha256)).toBe(true)
    const digest = sha256(made.key)
    expect(await here.resolvePep(digest)).toEqual({ id: made.id, servers: ['files', 'everything'] })
    expect(await here.resolvePep(sha256('other'))).toBeUndefined()
    const again = await here.enrollPep(['files'], made.id)
    expect(again.id).toBe(made.id)
    expect(await here.resolvePep(digest)).toBeUndefined()
    expect(await here.resolvePep(sha256(again.key))).toEqual({ id: made.id, servers: ['files'] })
    expect(await here.revokePep(made.id)).toBe(true)
    expect(await here.revokePep(made.id)).toBe(true)
    expect(await here.resolvePep(sha256(again.key))).toBeUndefined()
    expect(await here.revokePep('nobody-knows')).toBe(false)
    const [row] = (await here.listPeps()).filter(({ id }) => id === made.id)
    expect(pepRow.parse(row)).toMatchObject({ servers: ['files'], revokedAt: expect.any(String) })
  })

  test('a grant is found by its id, and a token is told whose it is', async () => {
    const { here, clock } = setUp()
    const { id, token } = await here.createGrant(request({ expiresInMs: 100 }))
    const digest = sha256(token)
    expect((await here.resolveById([id, randomUUID()])).get(id)?.id).toBe(id)
    expect(await here.identifyToken(digest)).toEqual({ grant: id })
    expect(await here.identifyToken(sha256('x'))).toEqual({ grant: null, fault: 'unknown' })
    clock.advance(100)
    expect((await here.resolveById([id])).size).toBe(0)
    expect(await here.identifyToken(digest)).toEqual({ grant: null, fault: 'expired' })
    await here.revokeGrant(id)
    expect(await here.identifyToken(digest)).toEqual({ grant: null, fault: 'unknown' })
  })

  test('a grant of a client is found by who its access tokens are of', async () => {
    const { here, sql, clock } = setUp()
    const { id, user } = await here.createGrant(request())
    const key = { issuer: `https://idp.test/${id}`, subject: `o'"{`, client: 'cli' }
    const found = async () => (await here.resolveByClient([clientKey(key)])).get(clientKey(key))?.id
    expect(await found()).toBeUndefined()
    const set = 'update grants set issuer = $2, subject = $3, client = $4 where id = $1'
    await sql.query(set, [id, ...Object.values(key)])
    expect(await found()).toBeUndefined()
    await here.putUser(String(user), { link: { issuer: key.issuer, subject: key.subject } })
    expect(await found()).toBe(id)
    await sql.query(set, [id, key.issuer, 'somebody else', key.client])
    clock.advance(GRANT_AGE_MS_MAX)
    expect(await found()).toBeUndefined()
  })

  test('a headless grant is of nobody: no teams, no scopes of a user, no user made', async () => {
    const { here, sql } = setUp()
    const [before] = await sql.query('select count(*) from users')
    const made = createdGrant.parse(await here.createGrant(request({ user: null, teams: [], scopes: ['mcp:read'] })))
    expect(made).toMatchObject({ user: null, teams: [], scopes: ['mcp:read'] })
    expect(await here.resolve(sha256(made.token))).toMatchObject({
      user: null, teams: [], scopes: { ...ALL, grant: ['mcp:read'] },
    })
    expect(await sql.query('select count(*) from users')).toEqual([before])
    expect(grantRow.parse(await here.showGrant(made.id))).toMatchObject({ user: null, state: 'active', teams: [] })
  }) // biome-ignore format: long lines

  test('rotated, a grant has a new token and all else of before', async () => {
    const { here, elsewhere, clock } = setUp()
    const made = await here.createGrant(request({ scopes: ['mcp:read'] }))
    await elsewhere.resolve(sha256(made.token))
    const rotated = createdGrant.parse(await here.rotateGrant(made.id))
    expect({ ...rotated, token: made.token }).toEqual(made)
    expect(rotated.token).not.toBe(made.token)
    expect(await here.resolve(sha256(made.token))).toBeUndefined()
    expect((await here.resolve(sha256(rotated.token)))?.id).toBe(made.id)
    clock.advance(GRANT_AGE_MS_MAX)
    expect(await elsewhere.resolve(sha256(made.token))).toBeUndefined()
    expect((await here.showGrant(made.id))?.tokenLast4).toBe(rotated.token.slice(-4))
    expect(await here.rotateGrant(randomUUID())).toBeUndefined()
    await here.revokeGrant(made.id)
    await expect(here.rotateGrant(made.id)).rejects.toThrow('the grant is revoked')
    expect(await here.resolve(sha256(rotated.token))).toBeUndefined()
    const short = await here.createGrant(request({ expiresInMs: 1 }))
    clock.advance(1)
    await expect(here.rotateGrant(short.id)).rejects.toThrow('the grant is expired')
  })

  test('a grant of a client has no token to rotate', async () => {
    const { here, sql } = setUp()
    const { id } = await here.createGrant(request())
    await sql.query(
      `update grants set token_sha256 = null, token_last4 = null, issuer = 'i', subject = $1::text,
       client = 'c' where id = $1::uuid`,
      [id],
    )
    await expect(here.rotateGrant(id)).rejects.toThrow('has no token')
    expect(grantRow.parse(await here.showGrant(id))).toMatchObject({
      tokenLast4: null,
      client: { issuer: 'i', subject: id, client: 'c' },
    })
  })

  test('lists are filtered, and read page by page', async () => {
    const { here, clock } = setUp()
    const [agent, user] = [randomUUID(), randomUUID()]
    const ids: string[] = []
    for (let index = 0; index < 5; index++) {
      clock.advance(1)
      const servers = [index % 2 === 0 ? 'even' : 'odd', 'files']
      const change = { agent, servers, expiresInMs: 1_000, ...(index === 4 ? { user } : {}) }
      ids.unshift((await here.createGrant(request(change))).id)
    }
    const listed = async (query: object) =>
      (await here.listGrants(grantsQuery.parse(query))).map(({ id }) => ids.indexOf(id))
    expect(await listed({ agent })).toEqual([0, 1, 2, 3, 4])
    expect(await listed({ agent, limit: '2' })).toEqual([0, 1])
    expect(await listed({ agent, limit: '2', before: ids[1] })).toEqual([2, 3])
    expect(await listed({ agent, limit: '2', before: ids[3] })).toEqual([4])
    expect(await listed({ agent, server: 'odd' })).toEqual([1, 3])
    expect(await listed({ user, agent })).toEqual([0])
    await here.revokeGrant(ids[2] ?? '')
    expect(await listed({ agent, state: 'revoked' })).toEqual([2])
    expect(await listed({ agent, state: 'active', server: 'even' })).toEqual([0, 4])
    clock.advance(1_000)
    expect(await listed({ agent, state: 'expired' })).toEqual([0, 1, 3, 4])
    expect(await listed({ agent: 'nobody' })).toEqual([])
  })
})
