// The token of the first admin, on both databases: there is one at a time, it is good once, and dies with the first admin.
import { randomBytes } from 'node:crypto'
import { beforeEach, expect, test } from 'vitest'
import { BOOTSTRAP_LIFETIME_MS } from '../../../schemas/limits.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import { type TestClock, testClock } from '../../../test/harness/ledger.ts'
import { type Bootstrap, bootstrapNotice, openBootstrap } from './bootstrap.ts'

onEachDatabase((database) => {
  let clock: TestClock
  let bootstrap: Bootstrap
  const query = (text: string, params: unknown[] = []) => database().store.sql.query(text, params)
  const rolesOf = async (user: string): Promise<unknown> =>
    (await query('select roles from users where id = $1', [user]))[0]?.['roles']
  const offered = async (): Promise<string> => (await bootstrap.offer())?.token ?? ''

  beforeEach(async () => {
    await query('delete from bootstrap')
    await query('delete from users')
    clock = testClock()
    const { sql } = database().store
    bootstrap = openBootstrap({ sql, clock, random: (bytes) => randomBytes(bytes) })
  })

  test('of four PDPs that start at once, one gets a token; none while it waits', async () => {
    const made = await Promise.all([1, 2, 3, 4].map(() => bootstrap.offer()))
    const [token, ...others] = made.filter((one) => one !== undefined)
    expect(token?.token).toMatch(/^cgb_/)
    expect(others).toEqual([])
    expect(await bootstrap.offer()).toBeUndefined()
    const rows = await query('select * from bootstrap')
    expect(JSON.stringify(rows)).not.toContain(token?.token)
  })

  test('it makes one admin: once, also when it comes twice at once', async () => {
    const token = await offered()
    expect(await bootstrap.isWaiting(token)).toBe(true)
    const used = await Promise.all(['carol', 'dave'].map((user) => bootstrap.use(token, user)))
    expect(used.filter(Boolean)).toHaveLength(1)
    expect([await rolesOf('carol'), await rolesOf('dave')]).toContainEqual(['admin'])
    expect([await rolesOf('carol'), await rolesOf('dave')]).toContain(undefined)
    expect(await bootstrap.isWaiting(token)).toBe(false)
    expect(await bootstrap.offer()).toBeUndefined()
  })

  test('a user who is there keeps what they have; one who is offboarded does not use it up', async () => {
    await query(
      `insert into users (id, teams, created, roles) values ('carol', '{staff}', now(), '{viewer}')`,
    )
    await query(
      `insert into users (id, teams, created, offboarded) values ('gone', '{}', now(), now())`,
    )
    const token = await offered()
    await expect(bootstrap.use(token, 'gone')).rejects.toThrow('cedargate users reinstate gone')
    expect(await bootstrap.use(token, 'carol')).toBe(true)
    const [carol] = await query(`select teams, roles from users where id = 'carol'`)
    expect(carol).toEqual({ teams: ['staff'], roles: ['admin', 'viewer'] })
  })

  test('another token is nobody’s', async () => {
    expect(await bootstrap.isWaiting('')).toBe(false)
    const token = await offered()
    for (const other of ['', 'x', `${token}x`, token.toUpperCase()]) {
      expect(await bootstrap.isWaiting(other)).toBe(false)
      expect(await bootstrap.use(other, 'carol')).toBe(false)
    }
    expect(await rolesOf('carol')).toBeUndefined()
  })

  test('it is good for a day; then there is another', async () => {
    const token = await offered()
    clock.advance(BOOTSTRAP_LIFETIME_MS - 1)
    expect(await bootstrap.isWaiting(token)).toBe(true)
    expect(await bootstrap.offer()).toBeUndefined()
    clock.advance(1)
    expect(await bootstrap.isWaiting(token)).toBe(false)
    expect(await bootstrap.use(token, 'carol')).toBe(false)
    expect(await bootstrap.use(await offered(), 'carol')).toBe(true)
  })

  test.each<{ by: string; act: () => Promise<unknown> }>([
    {
      by: 'roles that an admin gives',
      act: () => bootstrap.setRoles('carol', ['viewer', 'admin']),
    },
    { by: 'the groups of somebody who signs in', act: () => bootstrap.retire() },
  ])('it is dead as soon as there is an admin by $by', async ({ act }) => {
    await query(`insert into users (id, teams, created) values ('carol', '{}', now())`)
    const token = await offered()
    await bootstrap.setRoles('carol', ['viewer'])
    expect(await bootstrap.isWaiting(token)).toBe(true)
    await act()
    expect(await bootstrap.isWaiting(token)).toBe(false)
    expect(await bootstrap.use(token, 'eve')).toBe(false)
  })

  test('none is offered where there is an admin, unless they are offboarded', async () => {
    await query(
      `insert into users (id, teams, created, roles) values ('carol', '{}', now(), '{admin}')`,
    )
    expect(await bootstrap.offer()).toBeUndefined()
    await query('update users set offboarded = now()')
    expect(await bootstrap.offer()).toBeDefined()
  })

  test('who may write the database gets one at any time, in place of the one before', async () => {
    const lost = await offered()
    const first = (await bootstrap.renew()).token
    expect(await bootstrap.isWaiting(lost)).toBe(false)
    expect(await bootstrap.use(first, 'carol')).toBe(true)
    expect(await bootstrap.use((await bootstrap.renew()).token, 'dave')).toBe(true)
    expect(await rolesOf('dave')).toEqual(['admin'])
  })

  test.each<{ name: string; act: (token: string) => Promise<unknown> }>([
    { name: 'used', act: (token) => bootstrap.use(token, 'carol') },
    { name: 'retired by an admin of a group', act: () => bootstrap.retire() },
  ])('once one was $name, none is offered at any later start', async ({ act }) => {
    await act(await offered())
    await query(`update users set roles = '{}'`)
    clock.advance(BOOTSTRAP_LIFETIME_MS + 1)
    for (let start = 0; start < 2; start++) expect(await bootstrap.offer()).toBeUndefined()
    const { token } = await bootstrap.renew()
    await query(`update users set roles = '{}'`)
    expect(await bootstrap.use(token, 'dave')).toBe(true)
    expect(await bootstrap.offer()).toBeUndefined()
  })

  test('none is offered after an admin signed in where no token ever was', async () => {
    await bootstrap.retire()
    expect(await bootstrap.offer()).toBeUndefined()
    expect(await bootstrap.isWaiting('')).toBe(false)
    expect(await bootstrap.use('', 'carol')).toBe(false)
  })

  test('roles: each once, of a user there is', async () => {
    expect(await bootstrap.setRoles('nobody', ['admin'])).toBeUndefined()
    await query(`insert into users (id, teams, created) values ('carol', '{}', now())`)
    expect(await bootstrap.setRoles('carol', ['viewer', 'auditor', 'viewer'])).toEqual([
      'auditor',
      'viewer',
    ])
    expect(await bootstrap.setRoles('carol', [])).toEqual([])
  })

  test('the notice says the token, how long, how it is used, and what to do when it is lost', async () => {
    const made = await bootstrap.renew()
    const notice = bootstrapNotice(made, 'https://pdp.test')
    for (const part of [made.token, made.expiresAt.toISOString(), 'cedargate login --url https://pdp.test', 'cedargate db bootstrap'])
      expect(notice).toContain(part)
  }) // biome-ignore format: long lines
})
