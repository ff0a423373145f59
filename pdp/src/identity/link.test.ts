// Who a user id belongs to, on both databases: a name that somebody chose in their claims gets nothing that was meant for
// somebody else, until an operator says who the link is; and what unlinking ends.
import { hash, randomBytes, randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { userRow } from '../../../schemas/admin-api.ts'
import { GRANT_AGE_MS_MAX } from '../../../schemas/limits.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import { ISSUER, openTestIdentity, SETTINGS } from '../../../test/harness/identity.ts'
import { testClock } from '../../../test/harness/ledger.ts'
import { openBootstrap } from './bootstrap.ts'
import { clientKey } from './resolve.ts'
import { openSessions } from './sessions.ts'

const DAY_MS = 86_400_000

const random = (bytes: number) => randomBytes(bytes)

onEachDatabase((database) => {
  /** `carol` is who Eve calls herself at first use. */
  const setUp = async () => {
    const clock = testClock()
    const { store } = database()
    const here = openTestIdentity(store, clock)
    const bootstrap = openBootstrap({ sql: store.sql, clock, random })
    const sessions = openSessions({ sql: store.sql, clock, random })
    const id = `carol-${randomUUID()}`
    const link = { issuer: ISSUER, subject: `eve-${randomUUID()}` }
    const claims = (subject = link.subject, teams: string[] | null = ['staff']) =>
      here.signIn({ issuer: ISSUER, subject, user: id, teams, issuedAt: clock.now() })
    const create = (teams: string[]) =>
      here.grants.createGrant({ user: id, agent: 'ci', servers: ['files'], teams, expiresInMs: DAY_MS })
    const createForClient = () =>
      here.clientGrants.createClientGrant({ user: id, issuer: ISSUER, client: 'portal', expiresInMs: DAY_MS }, SETTINGS)
    await claims()
    return { clock, sql: store.sql, here, elsewhere: openTestIdentity(store, clock), bootstrap, sessions, id, link, claims, create, createForClient }
  } // biome-ignore format: long lines
  type Rig = Awaited<ReturnType<typeof setUp>>

  const GIFTS: { what: string; give: (rig: Rig) => Promise<unknown> }[] = [
    { what: 'teams', give: ({ here, id }) => here.users.putUser(id, { teams: ['payments'] }) },
    { what: 'scopes', give: ({ here, id }) => here.users.putUser(id, { scopes: ['mcp:read', 'mcp:write'] }) },
    { what: 'roles', give: ({ bootstrap, id }) => bootstrap.setRoles(id, ['viewer']) },
    { what: 'teams with a grant', give: ({ create }) => create(['payments']) },
    { what: 'a grant of a client', give: ({ createForClient }) => createForClient() },
  ] // biome-ignore format: a table

  test.each(GIFTS)('$what: not to whom claims alone linked; then to whom an operator named', async ({ give }) => {
    const rig = await setUp()
    const { here, id, link } = rig
    await here.users.putUser(id, { scopes: ['mcp:read'] })
    const before = await here.users.showUser(id)
    expect(userRow.parse(before).link).toEqual({ ...link, vouched: false })
    await expect(give(rig)).rejects.toThrow(`cedargate users add ${id} --issuer ${ISSUER} --subject ${link.subject}`)
    await expect(give(rig)).rejects.toThrow(/nobody vouched/)
    expect(await here.users.showUser(id)).toEqual(before)
    expect((await here.users.putUser(id, { link })).link).toEqual({ ...link, vouched: true })
    await give(rig)
    expect((await here.users.putUser(id, {})).link?.vouched).toBe(true)
  }) // biome-ignore format: long lines

  test('with the link named, teams are given in one step', async () => {
    const { here, id, link } = await setUp()
    const teams = ['payments']
    await expect(here.users.putUser(id, { teams, link: { ...link, subject: 'carol' } })).rejects.toThrow('linked to somebody else')
    expect((await here.users.showUser(id))?.link?.vouched).toBe(false)
    expect(await here.users.putUser(id, { teams, link })).toMatchObject({ teams, link: { vouched: true } })
  }) // biome-ignore format: long lines

  test('taking away needs nobody’s word', async () => {
    const { here, id, sql, bootstrap, create } = await setUp()
    await sql.query(`update users set teams = '{a,b}', roles = '{admin,viewer}' where id = $1`, [id])
    expect((await here.users.putUser(id, { teams: ['a'], scopes: ['mcp:read'] })).scopes).toEqual(['mcp:read'])
    expect(await bootstrap.setRoles(id, ['viewer'])).toEqual(['viewer'])
    expect(await bootstrap.setRoles(id, [])).toEqual([])
    expect((await create(['a'])).teams).toEqual(['a', 'staff'])
    expect(await here.users.putUser(id, { teams: [], scopes: [] })).toMatchObject({ teams: [], scopes: [] })
    expect(await here.users.offboardUser(id)).toMatchObject({ user: id })
  }) // biome-ignore format: long lines

  test('the bootstrap token makes them no admin, and is not used up', async () => {
    const { bootstrap, here, id, link } = await setUp()
    const { token } = await bootstrap.renew()
    const command = `cedargate users add ${id} --issuer ${ISSUER} --subject ${link.subject}`
    await expect(bootstrap.use(token, id)).rejects.toThrow(command)
    expect([(await here.users.showUser(id))?.roles, await bootstrap.isWaiting(token)]).toEqual([[], true])
    await expect(bootstrap.use(token, id)).rejects.toThrow(/use the token, which still waits, for another id; .*cedargate users roles carol-/)
    expect(await bootstrap.use(token, `other-${id}`)).toBe(true)
    await here.users.putUser(id, { link })
    expect(await bootstrap.setRoles(id, ['admin'])).toEqual(['admin'])
  }) // biome-ignore format: long lines

  test('a subject is quoted in the command: it may be pasted', async () => {
    const { here } = await setUp()
    const id = `dave-${randomUUID()}`
    const subject = `x'; rm -rf ~ #${id}`
    await here.signIn({ issuer: ISSUER, subject, user: id, teams: null, issuedAt: 0 })
    await expect(here.users.putUser(id, { teams: ['a'] })).rejects.toThrow(`--subject 'x'\\''; rm -rf ~ #${id}'`)
  }) // biome-ignore format: long lines

  test('unlinking ends what came by the link, at once, and nothing else', async () => {
    const { here, elsewhere, clock, sql, sessions, id, link, claims, create, createForClient } = await setUp()
    await here.users.putUser(id, { link, teams: ['given'] })
    const key = clientKey({ ...link, client: 'portal' })
    const byClient = async (identity = here) => (await identity.resolver.resolveByClient([key])).get(key)
    const [granted, digest] = [await createForClient(), hash('sha256', (await create([])).token)]
    const session = await sessions.createSession({ user: id, roles: ['viewer'], source: null })
    expect([(await byClient())?.id, (await byClient(elsewhere))?.id]).toEqual([granted, granted])
    expect(await here.users.unlinkUser(id)).toMatchObject({
      id, link: null, teams: ['given'], claimTeams: [], grants: 1, sessions: 0,
    })
    expect(await byClient()).toBeUndefined()
    clock.advance(GRANT_AGE_MS_MAX)
    expect(await byClient(elsewhere)).toBeUndefined()
    expect(await sessions.resolveSession(session?.token ?? '')).toBeUndefined()
    expect((await here.resolver.resolveGrants([digest])).get(digest)).toMatchObject({ user: id, teams: ['given'] })
    await expect(claims()).rejects.toThrow(`cedargate users add ${id} --issuer ${ISSUER} --subject ${link.subject}`)
    const right = { issuer: ISSUER, subject: `real-${id}` }
    expect((await here.users.putUser(id, { link: right })).link).toEqual({ ...right, vouched: true })
    expect(await claims(right.subject)).toBe(id)
    await expect(claims()).rejects.toThrow('somebody else')
    expect((await sql.query('select claims_at from users where id = $1', [id]))[0]?.['claims_at']).not.toBeNull()
    expect(await here.users.unlinkUser('nobody-knows')).toBeUndefined()
  }) // biome-ignore format: long lines

  test('what was made in the moment of unlinking is good for nothing', async () => {
    const { here, sql, id, link, createForClient } = await setUp()
    await here.users.putUser(id, { link })
    const granted = await createForClient()
    await here.users.unlinkUser(id)
    await sql.query('update grants set revoked = null where id = $1', [granted])
    expect(await here.grants.showGrant(granted)).toMatchObject({
      state: 'revoked',
      revokedAt: null,
    })
    expect(await here.users.showUser(id)).toMatchObject({ grants: 0 })
    const key = clientKey({ ...link, client: 'portal' })
    expect((await here.resolver.resolveByClient([key])).get(key)).toBeUndefined()
    await here.users.putUser(id, { link: { issuer: ISSUER, subject: `real-${id}` } })
    expect((await here.resolver.resolveByClient([key])).get(key)).toBeUndefined()
  })

  test('who signed in in the moment of unlinking gets no session', async () => {
    const { here, sessions, id, link } = await setUp()
    const signIn = (sha256: string) =>
      sessions.createSession({ user: id, roles: ['viewer'], source: null, idToken: { ...link, sha256 } })
    expect(await signIn(`one ${id}`)).toMatchObject({ user: id })
    await here.users.unlinkUser(id)
    expect(await signIn(`two ${id}`)).toBeUndefined()
    await here.users.putUser(id, { link: { issuer: ISSUER, subject: `real-${id}` } })
    expect(await signIn(`three ${id}`)).toBeUndefined()
  }) // biome-ignore format: long lines

  test('servers named twice are granted once', async () => {
    const { here, id } = await setUp()
    const asked = { user: id, agent: 'ci', servers: ['files', 'a', 'files'], expiresInMs: DAY_MS }
    expect((await here.grants.createGrant(asked)).servers).toEqual(['files', 'a'])
  })

  test('roles are not given to whoever is offboarded: they would come back with them', async () => {
    const { here, bootstrap, id, link } = await setUp()
    await here.users.putUser(id, { link })
    await here.users.offboardUser(id)
    await expect(bootstrap.setRoles(id, ['viewer'])).rejects.toThrow(`cedargate users reinstate ${id}`)
    expect(await bootstrap.setRoles(id, [])).toEqual([])
    expect((await here.users.reinstateUser(id))?.roles).toEqual([])
  }) // biome-ignore format: long lines
})
