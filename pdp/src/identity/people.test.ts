// Users and agents on both databases: what they may, what ends with them, and that nobody else is touched.
import { hash, randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { agentRow, offboarded, userRow } from '../../../schemas/admin-api.ts'
import { GRANT_AGE_MS_MAX } from '../../../schemas/limits.ts'
import { SCOPES } from '../../../schemas/scopes.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import { openTestIdentity } from '../../../test/harness/identity.ts'
import { testClock } from '../../../test/harness/ledger.ts'
import type { Identity } from './identity.ts'

const DAY_MS = 86_400_000
const EVERY = SCOPES.toSorted()
const ALL = { user: EVERY, agent: EVERY, grant: EVERY }
const someone = (name: string): string => `${name}-${randomUUID()}`
const sha256 = (text: string): string => hash('sha256', text)

const resolve = async ({ resolver }: Identity, { digest }: { digest: string }) =>
  (await resolver.resolveGrants([digest])).get(digest)

onEachDatabase((database) => {
  const setUp = () => {
    const clock = testClock()
    const { store } = database()
    const open = () => openTestIdentity(store, clock)
    const here = open()
    const grant = async (user: string | null, agent: string, change: object = {}) => {
      const request = { user, agent, servers: ['files'], expiresInMs: DAY_MS, ...change }
      const { id, token } = await here.grants.createGrant(request)
      return { id, digest: sha256(token) }
    }
    const session = async (user: string): Promise<string> => {
      const id = randomUUID()
      await store.sql.query(
        `insert into login_sessions (id, user_id, token_sha256, roles, created, expires)
         values ($1::uuid, $2, $1::text, '{}', $3, $4)`,
        [id, user, new Date(clock.now()), new Date(clock.now() + DAY_MS)],
      )
      return id
    }
    const isOut = async (id: string): Promise<boolean> => {
      const [row] = await store.sql.query('select revoked from login_sessions where id = $1', [id])
      return row?.['revoked'] !== null
    }
    return { clock, sql: store.sql, here, elsewhere: open(), grant, session, isOut }
  }
  test('a user is made, and then only what is named is changed', async () => {
    const { here, elsewhere, grant, clock } = setUp()
    const [id, agent] = [someone('ann'), someone('ci')]
    expect(userRow.parse(await here.users.putUser(id, { teams: ['b', 'a', 'b'] }))).toEqual({
      id, teams: ['a', 'b'], claimTeams: [], scopes: expect.anything(), roles: [], link: null, grants: 0,
      sessions: 0, createdAt: new Date(clock.now()).toISOString(), offboardedAt: null,
    }) // biome-ignore format: a row
    const made = await grant(id, agent)
    await resolve(elsewhere, made)
    await here.users.putUser(id, { scopes: ['mcp:read'] })
    expect(await resolve(here, made)).toMatchObject({
      teams: ['a', 'b'],
      scopes: { ...ALL, user: ['mcp:read'] },
    })
    expect((await here.users.putUser(id, { teams: ['c'] })).scopes).toEqual(['mcp:read'])
    clock.advance(GRANT_AGE_MS_MAX)
    expect(await resolve(elsewhere, made)).toMatchObject({ teams: ['c'] })
    expect((await here.users.putUser(id, {})).grants).toBe(1)
    expect((await here.users.putUser(someone('x'), {})).scopes.toSorted()).toEqual(SCOPES.toSorted())
  }) // biome-ignore format: long lines

  test('teams of operators and of claims are one set', async () => {
    const { here, sql, grant } = setUp()
    const id = someone('ann')
    await here.users.putUser(id, { teams: ['c', 'a'] })
    await sql.query(`update users set claim_teams = '{claimed,a}' where id = $1`, [id])
    expect(await resolve(here, await grant(id, 'ci'))).toMatchObject({ teams: ['a', 'c', 'claimed'] })
    expect((await here.users.listUsers({ team: 'claimed', limit: 10 })).map((row) => row.id)).toEqual([id])
    expect(await here.users.showUser(id)).toMatchObject({ teams: ['a', 'c'], claimTeams: ['claimed', 'a'] })
  }) // biome-ignore format: long lines

  test('a link is set once, and is one user’s', async () => {
    const { here } = setUp()
    const [ann, ben] = [someone('ann'), someone('ben')]
    const link = { issuer: 'https://idp.test', subject: ann }
    await here.users.putUser(ann, {})
    const linked = { ...link, vouched: true }
    expect((await here.users.putUser(ann, { link })).link).toEqual(linked)
    expect((await here.users.putUser(ann, { link, teams: ['a'] })).teams).toEqual(['a'])
    for (const other of [{ ...link, subject: 'x' }, { ...link, issuer: 'https://evil.test' }])
      await expect(here.users.putUser(ann, { link: other })).rejects.toThrow('linked to somebody else')
    await expect(here.users.putUser(ben, { link })).rejects.toThrow('another user is linked')
    expect(await here.users.showUser(ben)).toBeUndefined()
    expect((await here.users.showUser(ann))?.link).toEqual(linked)
  }) // biome-ignore format: long lines

  test('users are listed by id, page by page', async () => {
    const { here } = setUp()
    const team = someone('team')
    const ids = ['a', 'b', 'c'].map(someone)
    for (const id of ids) await here.users.putUser(id, { teams: [team] })
    const page = async (after?: string) =>
      (await here.users.listUsers({ team, limit: 2, after })).map(({ id }) => id)
    expect(await page()).toEqual(ids.slice(0, 2))
    expect(await page(ids[1])).toEqual(ids.slice(2))
  })

  test('offboarding ends all of one user at once, and nothing of anybody else', async () => {
    const { here, elsewhere, grant, session, isOut, clock, sql } = setUp()
    const [ann, ben, agent] = [someone('ann'), someone('ben'), someone('ci')]
    const [first, second, bens] = [await grant(ann, agent), await grant(ann, 'ide'), await grant(ben, agent)]
    const dead = await grant(ann, agent, { expiresInMs: 1 })
    const [annsSession, bensSession] = [await session(ann), await session(ben)]
    await sql.query(`update users set roles = '{admin}' where id in ($1, $2)`, [ann, ben])
    clock.advance(1)
    for (const each of [here, elsewhere]) expect(await resolve(each, first)).toBeDefined()
    const offboardedAt = new Date(clock.now()).toISOString()
    const ended = offboarded.parse(await here.users.offboardUser(ann))
    expect(ended).toEqual({ user: ann, offboardedAt, grants: [first.id, second.id].toSorted(), sessions: 1 })
    for (const one of [first, second, dead]) expect(await resolve(here, one)).toBeUndefined()
    clock.advance(GRANT_AGE_MS_MAX)
    expect(await resolve(elsewhere, first)).toBeUndefined()
    expect([await isOut(annsSession), await isOut(bensSession)]).toEqual([true, false])
    expect(await resolve(here, bens)).toMatchObject({ user: ben })
    expect(await here.users.showUser(ben)).toMatchObject({ grants: 1, sessions: 1, roles: ['admin'], offboardedAt: null })
    expect(await here.users.showUser(ann)).toMatchObject({ grants: 0, sessions: 0, roles: [], offboardedAt })
    expect(await here.users.offboardUser(ann)).toEqual({ user: ann, offboardedAt, grants: [], sessions: 0 })
    expect(await here.users.offboardUser('nobody-knows')).toBeUndefined()
  }) // biome-ignore format: long lines

  test('who is offboarded gets no grant until reinstated, and then not those of before', async () => {
    const { here, grant } = setUp()
    const ann = someone('ann')
    const before = await grant(ann, 'ci')
    await here.users.offboardUser(ann)
    await expect(grant(ann, 'ci')).rejects.toThrow(`cedargate users reinstate ${ann}`)
    expect(await here.grants.listGrants({ user: ann, limit: 9 })).toHaveLength(1)
    expect(await here.users.reinstateUser(ann)).toMatchObject({ id: ann, offboardedAt: null })
    expect(await resolve(here, before)).toBeUndefined()
    expect(await resolve(here, await grant(ann, 'ci'))).toMatchObject({ user: ann })
    expect(await here.users.reinstateUser('nobody-knows')).toBeUndefined()
  })

  test('what was made in the moment of offboarding stays dead when they are reinstated', async () => {
    const { here, grant, sql } = setUp()
    const ann = someone('ann')
    const late = await grant(ann, 'ci')
    await here.users.offboardUser(ann)
    await sql.query('update grants set revoked = null where id = $1', [late.id])
    await here.users.reinstateUser(ann)
    expect(await resolve(here, late)).toBeUndefined()
    const anew = await grant(ann, 'ci')
    await here.users.reinstateUser(ann)
    expect(await resolve(here, anew)).toBeDefined()
  })

  test('a grant made in the moment of offboarding is good for nothing', async () => {
    const { here, elsewhere, grant } = setUp()
    for (let round = 0; round < 10; round++) {
      const ann = someone('ann')
      await grant(ann, 'ci')
      const made = await Promise.all([
        ...Array.from({ length: 4 }, () => grant(ann, 'ci').catch(() => undefined)),
        elsewhere.users.offboardUser(ann),
        ...Array.from({ length: 4 }, () => grant(ann, 'ci').catch(() => undefined)),
      ])
      const grants = made.filter((one) => one !== undefined && 'digest' in one)
      const resolved = await Promise.all(grants.map((one) => resolve(here, one)))
      expect(resolved.filter((one) => one !== undefined)).toEqual([])
    }
  })

  test('offboarded or disabled by plain SQL, a grant that nobody revoked is good for nothing', async () => {
    const { here, grant, sql } = setUp()
    const [ann, agent] = [someone('ann'), someone('ci')]
    const made = await grant(ann, agent)
    const state = async () => (await here.grants.showGrant(made.id))?.state
    const after = async (text: string, id: string) => {
      await sql.query(text, [id])
      await here.feed.pollNow()
      return [(await resolve(here, made)) !== undefined, await state()]
    }
    expect([await resolve(here, made)]).toHaveLength(1)
    expect(await after('update users set offboarded = now() where id = $1', ann)).toEqual([false, 'offboarded'])
    expect(await after('update users set offboarded = null where id = $1', ann)).toEqual([true, 'active'])
    expect(await after('update agents set disabled = now() where id = $1', agent)).toEqual([false, 'agent_disabled'])
    expect(await after('update agents set disabled = null where id = $1', agent)).toEqual([true, 'active'])
  }) // biome-ignore format: long lines

  test('an agent is disabled for everybody, keeps its scopes, and comes back', async () => {
    const { here, elsewhere, grant, clock } = setUp()
    const [agent, other] = [someone('ci'), someone('ide')]
    const [anns, nobodys, others] = [await grant(someone('ann'), agent), await grant(null, agent), await grant(null, other)]
    await resolve(elsewhere, anns)
    const named = { id: agent, createdAt: new Date(clock.now()).toISOString() }
    const disabledAt = named.createdAt
    expect(agentRow.parse(await here.agents.putAgent(agent, { scopes: ['mcp:read'] }))).toEqual({ ...named, scopes: ['mcp:read'], grants: 2, disabledAt: null })
    expect(await resolve(here, nobodys)).toMatchObject({ scopes: { ...ALL, agent: ['mcp:read'] } })
    expect(await here.agents.putAgent(agent, { disabled: true })).toEqual({ ...named, scopes: ['mcp:read'], grants: 0, disabledAt })
    for (const one of [anns, nobodys]) expect(await resolve(here, one)).toBeUndefined()
    await expect(grant(null, agent)).rejects.toThrow(`cedargate agents enable ${agent}`)
    clock.advance(GRANT_AGE_MS_MAX)
    expect(await resolve(elsewhere, anns)).toBeUndefined()
    expect(await resolve(here, others)).toBeDefined()
    expect(await here.agents.putAgent(agent, {})).toMatchObject({ disabledAt })
    expect(await here.agents.putAgent(agent, { disabled: false })).toMatchObject({ disabledAt: null, grants: 2 })
    expect(await resolve(here, anns)).toBeDefined()
    const made = await here.agents.putAgent(someone('new'), { disabled: true })
    expect(made).toMatchObject({ disabledAt: expect.any(String), grants: 0 })
    expect((await here.agents.listAgents()).map(({ id }) => id)).toEqual(expect.arrayContaining([agent, other, made.id]))
  }) // biome-ignore format: long lines
})
