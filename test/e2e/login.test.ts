// Operators of a real `cedargate pdp` on PostgreSQL, who sign in with `cedargate login` at a real OpenID provider: the
// first admin, groups and roles, what ends a session, and what each role may do. The sign-in itself, answer by answer:
// cli/src/sign-in/id-token.test.ts.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { actRow, createdGrant, createdSession } from '../../schemas/admin-api.ts'
import type { OperatorRole } from '../../schemas/roles.ts'
import {
  type Ended,
  endCommand,
  type Running,
  runCommandWith,
  startCommand,
} from '../harness/command.ts'
import { CLIENTS, type Idp, startIdp } from '../harness/idp.ts'
import { jsonHere, runHere, startHere } from '../harness/in-process.ts'
import { EXAMPLE_BUNDLE } from '../harness/pdp.ts'
import { signIn } from '../harness/sign-in.ts'
import { createTestDatabase } from '../harness/store.ts'

const GROUPS: Readonly<Record<OperatorRole, string>> = {
  admin: 'Admins',
  'policy-author': 'Policy',
  'credential-admin': 'Vault',
  approver: 'OnCall',
  auditor: 'Audit',
  viewer: 'Staff',
}

describe.runIf(inject('postgresUrl') !== null)('operators of `cedargate pdp`', () => {
  let folder: string
  let databaseUrl: string
  let idp: Idp
  let pdp: Running
  let url: string
  const at = (name: string): string => join(folder, name)

  /** Each person has a home of their own. */
  const homeOf = (person: string) => ({ CEDARGATE_HOME: at(person) })
  const as = (person: string, ...words: string[]): Promise<Ended> => runHere(words, homeOf(person))
  const json = (person: string, ...words: string[]): Promise<unknown> => jsonHere(words, homeOf(person)) // biome-ignore format: long
  const login = (account: string, ...words: string[]): Promise<Ended> =>
    signIn(idp, account, homeOf(account), '--url', url, ...words)
  const rolesOf = async (person: string): Promise<unknown> =>
    ((await json(person, 'whoami')) as { roles: unknown }).roles

  async function startPdp(): Promise<{ running: Running; url: string }> {
    const running = startCommand(['pdp'], {
      ...homeOf('pdp'),
      CEDARGATE_BUNDLE: EXAMPLE_BUNDLE,
      CEDARGATE_LOGIN_FILE: at('login.yaml'),
      CEDARGATE_PDP_PORT: '0',
      CEDARGATE_LOG_LEVEL: 'debug',
      DATABASE_URL: databaseUrl,
    })
    const listening = await vi.waitFor(
      () => {
        if (running.child.exitCode !== null) throw new Error(running.stderr())
        const line = running.stderr().split('\n').find((text) => text.includes('the PDP decides'))
        return (JSON.parse(line ?? '') as { url: string }).url
      },
      { timeout: 40_000, interval: 50 },
    ) // biome-ignore format: long lines
    return { running, url: listening }
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cedargate-operators-'))
    idp = await startIdp()
    for (const [role, group] of Object.entries(GROUPS)) idp.accounts.set(role, { groups: [group] })
    await mkdir(at('pdp'))
    await writeFile(
      at('login.yaml'),
      `issuer: ${idp.issuer}\nclientId: ${CLIENTS.cli}\nscope: openid groups\nroles: ${JSON.stringify(
        Object.fromEntries(Object.entries(GROUPS).map(([role, group]) => [role, [group]])),
      )}\n`,
    )
    databaseUrl = (await createTestDatabase()) ?? ''
    await jsonHere(['keys', 'create'], homeOf('pdp'))
    await runHere(['db', 'migrate'], { DATABASE_URL: databaseUrl })
    const started = await startPdp()
    pdp = started.running
    url = started.url
  }) // biome-ignore format: long lines
  afterAll(async () => {
    await endCommand(pdp)
    await idp.stop()
    await rm(folder, { recursive: true })
  })

  test('the first admin: a token that is printed once, read from stdin, and good once', async () => {
    const printed = pdp.stderr().match(/cgb_\S+/g) ?? []
    expect(printed.length).toBe(1)
    const words = ['login', '--url', url, '--bootstrap', '-', '--user', 'first']
    const withToken = (home: string, line = `${printed[0]}\n`) =>
      runCommandWith(line, words, homeOf(home))
    expect(await withToken('first', '')).toMatchObject({ code: 2, stderr: expect.stringMatching(/no token came on stdin/) })
    const ended = await withToken('first')
    expect(ended).toMatchObject({ code: 0, stdout: '', stderr: expect.stringContaining('as first (admin)') })
    expect(await rolesOf('first')).toEqual(['admin'])
    expect(await withToken('second')).toMatchObject({ code: 2, stderr: expect.stringMatching(/used or expired/) })
    expect(await as('second', 'whoami')).toMatchObject({ code: 2 })
    const other = await startPdp()
    await endCommand(other.running)
    expect(other.running.stderr()).not.toContain('cgb_')
  }) // biome-ignore format: long lines

  test.each(Object.keys(GROUPS))('a group of the provider makes a %s', async (role) => {
    const { code, stderr } = await login(role)
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining(`as ${role} (${role})`) }) // biome-ignore format: long
    expect(await rolesOf(role)).toEqual([role])
  })

  test('who is in no such group is told so, and gets no session', async () => {
    idp.accounts.set('guest', { groups: ['Guests'] })
    const { code, stderr } = await login('guest')
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/cedargate: guest has no role/) }) // biome-ignore format: long
    expect(await as('guest', 'whoami')).toMatchObject({ code: 2 })
  })

  test('groups count from the next sign-in on', async () => {
    idp.accounts.set('mover', { groups: [GROUPS.admin, GROUPS.viewer] })
    await login('mover')
    expect(await rolesOf('mover')).toEqual(['admin', 'viewer'])
    idp.accounts.set('mover', { groups: [GROUPS.viewer] })
    await login('mover')
    expect(await rolesOf('mover')).toEqual(['viewer'])
  })

  test('roles that an admin gives and takes count at once', async () => {
    const vouch = ['users', 'add', 'viewer', '--issuer', idp.issuer, '--subject', 'viewer']
    expect(await json('admin', ...vouch)).toMatchObject({ link: { vouched: true } })
    expect(await json('admin', 'users', 'roles', 'viewer', 'auditor')).toMatchObject({ roles: ['auditor'] }) // biome-ignore format: long
    expect(await rolesOf('viewer')).toEqual(['auditor', 'viewer'])
    await json('admin', 'users', 'roles', 'viewer', '--none')
    expect(await rolesOf('viewer')).toEqual(['viewer'])
  })

  describe('what each role may', () => {
    const MAY = /^(\d+ leaves checked.*\n)?$/
    const MAY_NOT =
      /^cedargate: this is for operators with the role .*\nhint: `cedargate whoami` says/
    test.each<{ words: string; roles: OperatorRole[] }>([
      {
        words: 'grants ls',
        roles: ['admin', 'policy-author', 'credential-admin', 'approver', 'auditor', 'viewer'],
      },
      { words: 'grants create --user carol --agent codex --server files', roles: ['admin'] },
      {
        words: 'users ls',
        roles: ['admin', 'policy-author', 'credential-admin', 'approver', 'auditor', 'viewer'],
      },
      { words: 'users add carol --team engineering', roles: ['admin'] },
      { words: 'users roles carol viewer', roles: ['admin'] },
      { words: 'users offboard carol', roles: ['admin', 'approver'] },
      { words: 'agents disable codex', roles: ['admin'] },
      { words: 'peps enroll --server files', roles: ['admin'] },
      { words: 'bundles activate --follow', roles: ['policy-author'] },
      { words: 'acts ls', roles: ['admin', 'auditor'] },
      { words: 'ledger fsck', roles: ['admin', 'auditor'] },
    ])('$words', async ({ words, roles }) => {
      for (const role of Object.keys(GROUPS)) {
        const may = roles.some((one) => one === role)
        const { code, stderr } = await as(role, ...words.split(' '), '--format', 'json')
        expect({ role, code }).toEqual({ role, code: may ? 0 : 2 })
        expect(stderr).toMatch(may ? MAY : MAY_NOT)
      }
    })

    test('revoking is for an admin, and at night for an approver', async () => {
      const { id } = await create()
      for (const role of ['viewer', 'auditor', 'policy-author', 'credential-admin'])
        expect(await as(role, 'grants', 'revoke', id)).toMatchObject({ code: 2, stderr: expect.stringMatching(/admin or approver/) }) // biome-ignore format: long
      expect(await as('approver', 'grants', 'revoke', id)).toMatchObject({ code: 0 })
      expect(await as('admin', 'grants', 'revoke', (await create()).id)).toMatchObject({ code: 0 })
    })
  })

  describe('what ends a session', () => {
    const GONE = /no longer knows your login session\nhint: you were signed out/

    test('signing out: at the gateway, too', async () => {
      idp.accounts.set('leaver', { groups: [GROUPS.viewer] })
      await login('leaver')
      const kept = await runHere(['whoami'], homeOf('leaver'))
      expect(kept.code).toBe(0)
      const { token } = createdSession.parse(await session('leaver'))
      await rm(at('leaver/login.json'))
      const headers = { authorization: `Bearer ${token}` }
      const whoami = () => fetch(`${url}/admin/v1/whoami`, { headers })
      expect((await whoami()).status).toBe(200)
      expect((await fetch(`${url}/admin/v1/sessions/current`, { method: 'DELETE', headers })).status).toBe(204) // biome-ignore format: long
      expect((await whoami()).status).toBe(401)
      await login('leaver')
      expect(await as('leaver', 'logout')).toMatchObject({ code: 0 })
      expect(await as('leaver', 'whoami')).toMatchObject({ code: 2, stderr: expect.stringMatching(/no running gateway found/) }) // biome-ignore format: long
    })

    test('offboarding: at once, everywhere; nobody else’s; and no new one until reinstated', async () => {
      idp.accounts.set('gone', { groups: [GROUPS.viewer] })
      await login('gone')
      expect(await json('admin', 'users', 'offboard', 'gone')).toMatchObject({ user: 'gone', grants: [], sessions: 1 }) // biome-ignore format: long
      expect(await as('gone', 'whoami')).toMatchObject({ code: 2, stderr: expect.stringMatching(GONE) }) // biome-ignore format: long
      expect(await login('gone')).toMatchObject({ code: 2, stderr: expect.stringMatching(/gone is offboarded/) }) // biome-ignore format: long
      expect(await rolesOf('viewer')).toEqual(['viewer'])
      await json('admin', 'users', 'reinstate', 'gone')
      expect(await as('gone', 'whoami')).toMatchObject({ code: 2 })
      expect(await login('gone')).toMatchObject({ code: 0 })
    })
  })

  describe('an ID token', () => {
    test('is good once', async () => {
      const idToken = await idp.idToken({ ...ASKED, account: 'viewer', nonce: 'one' })
      expect([await send(idToken), await send(idToken)]).toEqual([201, 401])
      const raced = await idp.idToken({ ...ASKED, account: 'viewer', nonce: 'two' })
      const all = await Promise.all(Array.from({ length: 8 }, () => send(raced)))
      expect(all.filter((status) => status === 201).length).toBe(1)
      expect(all.filter((status) => status === 401).length).toBe(7)
    })

    test.each<{ what: string; status: number; of: () => object }>([
      { what: 'as it should be', status: 201, of: () => claims({}) },
      { what: 'expired', status: 401, of: () => old(300, 200) },
      { what: 'unexpired and old', status: 401, of: () => old(700, 3_600) },
      { what: 'for another client', status: 401, of: () => claims({ aud: CLIENTS.other }) },
      { what: 'of another issuer', status: 401, of: () => claims({ iss: 'https://evil.example.com' }) },
      { what: 'of somebody with no group', status: 403, of: () => claims({ sub: 'new', groups: [] }) },
    ])('$what: $status', async ({ status, of }) => {
      expect(await send(await idp.sign({ ...of() }, { typ: 'JWT' }))).toBe(status)
    }) // biome-ignore format: a table

    test('is no access token', async () => {
      expect(await send(await idp.accessToken({ account: 'viewer', client: CLIENTS.cli }))).toBe(
        401,
      )
    })
  })

  test('by a code on another device', async () => {
    const running = startHere(['login', '--device', '--url', url], homeOf('device'))
    const complete = /^or {4}(http\S+)$/m
    await expect.poll(running.stderr).toMatch(complete)
    await idp.approveDevice('auditor', complete.exec(running.stderr())?.[1] ?? '')
    expect(await running.ended).toMatchObject({ code: 0 })
    expect(await rolesOf('device')).toEqual(['auditor'])
  })

  test('what operators did is there to read; no token is, not in the log either', async () => {
    const acts = actRow.array().parse(await json('auditor', 'acts', 'ls', '--limit', '1000'))
    const done = new Set(acts.map(({ act, by, status }) => `${act} ${by} ${status}`))
    expect(done).toContain('bootstrap first 201')
    expect(done).toContain('sessions.create viewer 201')
    expect(done).toContain('users.offboard admin 200')
    const text = `${JSON.stringify(acts)}${pdp.stderr().replace(/cgb_\S+/, '')}`
    expect(text).not.toMatch(/cg[stbo]_[\w-]{20}|eyJ[\w-]{20}/)
    expect(await as('auditor', 'ledger', 'fsck')).toMatchObject({ code: 0 })
  })

  const ASKED = { client: CLIENTS.cli, audience: null, scope: 'openid groups' }
  const send = async (idToken: string): Promise<number> => (await post({ idToken })).status
  const claims = (change: object) => {
    const now = Math.floor(Date.now() / 1_000)
    return { iss: idp.issuer, sub: 'viewer', aud: CLIENTS.cli, iat: now, exp: now + 300, groups: [GROUPS.viewer], ...change } // biome-ignore format: long
  }
  const old = (ageSeconds: number, lifeSeconds: number) => {
    const iat = Math.floor(Date.now() / 1_000) - ageSeconds
    return claims({ iat, exp: iat + lifeSeconds })
  }
  const create = async () =>
    createdGrant.parse(await json('admin', 'grants', 'create', '--user', 'dave', '--agent', 'pager', '--server', 'files')) // biome-ignore format: long
  const post = (body: object): Promise<Response> =>
    fetch(`${url}/admin/v1/sessions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const session = async (account: string): Promise<unknown> => {
    const idToken = await idp.idToken({ account, client: CLIENTS.cli, audience: null, scope: 'openid groups' }) // biome-ignore format: long
    return (await post({ idToken })).json()
  }
})
