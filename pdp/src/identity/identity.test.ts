// Grants, PEPs and users on both databases: made, resolved, expired, revoked, and tried again.
import { hash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { createdGrant, createdPep, grantRow, pepRow } from '../../../schemas/admin-api.ts'
import { isWellFormedToken } from '../../../schemas/identifiers.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import { faultyAt, faultySql, testClock } from '../../../test/harness/ledger.ts'
import { openGrants } from './grants.ts'
import { openPeps } from './peps.ts'
import { teamsOf } from './users.ts'

const DAY_MS = 86_400_000
const sha256 = (text: string): string => hash('sha256', text)
const random = (bytes: number): Uint8Array => randomBytes(bytes)
let users = 0

const request = (change: object = {}) => {
  const user = `user-${users++}`
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
    const { sql } = database().store
    const ports = { sql, clock, random }
    return {
      clock,
      sql,
      grants: openGrants(ports),
      peps: openPeps(ports),
      elsewhere: openGrants(ports),
    }
  }

  test('a grant is resolved by its token digest, and the token is stored nowhere', async () => {
    const { grants, clock, sql } = setUp()
    const asked = request()
    const made = createdGrant.parse(await grants.createGrant(asked))
    expect(isWellFormedToken('grant', made.token, sha256)).toBe(true)
    expect(made).toMatchObject({
      user: asked.user,
      agent: 'ci',
      servers: ['files'],
      teams: ['a', 'b'],
    })
    const digest = sha256(made.token)
    expect(await grants.resolveGrants([digest, sha256('other'), digest])).toEqual(
      new Map([[digest, {
        id: made.id, user: asked.user, agent: 'ci', teams: ['a', 'b'], servers: ['files'],
        expiresAt: clock.now() + DAY_MS,
      }]]),
    ) // biome-ignore format: a table
    const [stored] = await sql.query('select g::text as text from grants g where id = $1', [
      made.id,
    ])
    expect(String(stored?.['text'])).not.toContain(made.token.slice(4, -9))
    const [row] = await grants.listGrants()
    expect(grantRow.parse(row)).toMatchObject({
      id: made.id,
      tokenLast4: made.token.slice(-4),
      revokedAt: null,
    })
  })

  test("teams are the user's: a second grant adds to them, for the first one as well", async () => {
    const { grants, sql } = setUp()
    const first = request({ teams: ['a'] })
    const digest = sha256((await grants.createGrant(first)).token)
    expect((await grants.resolveGrants([digest])).get(digest)?.teams).toEqual(['a'])
    expect((await grants.createGrant({ ...first, teams: ['c', 'a', 'b'] })).teams).toEqual([
      'a',
      'b',
      'c',
    ])
    expect((await grants.resolveGrants([digest])).get(digest)?.teams).toEqual(['a', 'b', 'c'])
    expect((await grants.createGrant({ ...first, teams: [] })).teams).toEqual(['a', 'b', 'c'])
    expect(await teamsOf(sql, first.user)).toEqual(['a', 'b', 'c'])
    expect(await teamsOf(sql, 'nobody-knows')).toEqual([])
  })

  test('a grant ends at its expiry, to the millisecond, remembered or not', async () => {
    const { grants, clock } = setUp()
    const digest = sha256((await grants.createGrant(request({ expiresInMs: 100 }))).token)
    clock.advance(99)
    expect((await grants.resolveGrants([digest])).size).toBe(1)
    clock.advance(1)
    expect((await grants.resolveGrants([digest])).size).toBe(0)
    clock.advance(1_000)
    expect((await grants.resolveGrants([digest])).size).toBe(0)
  })

  test('a revocation holds here at once, elsewhere within half a second, and is told', async () => {
    const { grants, elsewhere, clock } = setUp()
    const made = await grants.createGrant(request())
    const digest = sha256(made.token)
    for (const each of [grants, elsewhere])
      expect((await each.resolveGrants([digest])).size).toBe(1)
    const revokedAt = clock.now()
    expect(await grants.revokeGrant(made.id)).toEqual({ id: made.id, token: digest, revokedAt })
    expect((await grants.resolveGrants([digest])).size).toBe(0)
    clock.advance(499)
    expect((await elsewhere.resolveGrants([digest])).size).toBe(1)
    clock.advance(1)
    expect((await elsewhere.resolveGrants([digest])).size).toBe(0)
    expect(await grants.revokeGrant(made.id)).toEqual({ id: made.id, token: digest, revokedAt })
    expect(await elsewhere.revokedSince(revokedAt)).toContainEqual({
      id: made.id,
      token: digest,
      revokedAt,
    })
    expect(await elsewhere.revokedSince(revokedAt + 1)).toEqual([])
    expect(await grants.revokeGrant(crypto.randomUUID())).toBeUndefined()
    const [row] = (await grants.listGrants()).filter(({ id }) => id === made.id)
    expect(row?.revokedAt).toBe(new Date(revokedAt).toISOString())
  })

  test('two grants at once for a new user: one user, both grants', async () => {
    const { grants, elsewhere, sql } = setUp()
    const asked = request()
    await Promise.all([
      grants.createGrant(asked),
      elsewhere.createGrant({ ...asked, teams: ['z'] }),
    ])
    expect(await teamsOf(sql, asked.user)).toEqual(['a', 'b', 'z'])
    expect((await grants.listGrants()).filter(({ user }) => user === asked.user)).toHaveLength(2)
  })

  test.each([
    { name: 'the write is lost', written: false },
    { name: 'only the answer is lost', written: true },
  ])('$name: a second try does what the first was to do', async ({ written }) => {
    const { sql, clock } = setUp()
    const failing = { sql: faultySql(sql, 1, written), clock, random }
    const asked = request()
    const grants = openGrants(failing)
    await expect(grants.createGrant(asked)).rejects.toThrow('connection lost')
    const made = await grants.createGrant(asked)
    const digest = sha256(made.token)
    expect((await grants.resolveGrants([digest])).get(digest)?.id).toBe(made.id)
    const rows = await grants.listGrants()
    expect(rows.filter(({ user }) => user === asked.user)).toHaveLength(written ? 2 : 1)

    const other = openGrants({ sql: faultyAt(sql, /update grants/, written), clock, random })
    expect((await other.resolveGrants([digest])).size).toBe(1)
    await expect(other.revokeGrant(made.id)).rejects.toThrow('connection lost')
    expect((await other.resolveGrants([digest])).size).toBe(written ? 0 : 1)
    expect(await other.revokeGrant(made.id)).toMatchObject({ token: digest })
    expect((await other.resolveGrants([digest])).size).toBe(0)

    const peps = openPeps({ sql: faultySql(sql, 1, written), clock, random })
    const id = `pep-${asked.user}`
    await expect(peps.enrollPep(['files'], id)).rejects.toThrow('connection lost')
    const { key } = await peps.enrollPep(['files'], id)
    expect(await peps.resolvePep(sha256(key))).toEqual({ id, servers: ['files'] })
    expect((await peps.listPeps()).filter((row) => row.id === id)).toHaveLength(1)
  })

  test('a PEP is resolved by its key, until it is revoked or enrolled anew', async () => {
    const { peps } = setUp()
    const made = createdPep.parse(await peps.enrollPep(['files', 'everything']))
    expect(isWellFormedToken('pep', made.key, sha256)).toBe(true)
    const digest = sha256(made.key)
    expect(await peps.resolvePep(digest)).toEqual({ id: made.id, servers: ['files', 'everything'] })
    expect(await peps.resolvePep(sha256('other'))).toBeUndefined()
    const again = await peps.enrollPep(['files'], made.id)
    expect(again.id).toBe(made.id)
    expect(await peps.resolvePep(digest)).toBeUndefined()
    expect(await peps.resolvePep(sha256(again.key))).toEqual({ id: made.id, servers: ['files'] })
    expect(await peps.revokePep(made.id)).toBe(true)
    expect(await peps.revokePep(made.id)).toBe(true)
    expect(await peps.resolvePep(sha256(again.key))).toBeUndefined()
    expect(await peps.revokePep('nobody-knows')).toBe(false)
    const [row] = (await peps.listPeps()).filter(({ id }) => id === made.id)
    expect(pepRow.parse(row)).toMatchObject({ servers: ['files'], revokedAt: expect.any(String) })
  })
})
