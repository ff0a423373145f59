// People, agents and their grants on the command line, against a running gateway: what each change does to calls, within
// a second, and to nobody else's.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  actRow,
  agentRow,
  createdGrant,
  grantRow,
  offboarded,
  userRow,
} from '../../schemas/admin-api.ts'
import { OPERATOR_ROLES } from '../../schemas/roles.ts'
import { SCOPES } from '../../schemas/scopes.ts'
import { type Ended, sleep } from '../harness/command.ts'
import { type Dev, startDev } from '../harness/dev.ts'
import { jsonHere, runHere } from '../harness/in-process.ts'

let dev: Dev
beforeAll(async () => {
  dev = await startDev()
})
afterAll(() => dev.stop())

const run = (...words: string[]): Promise<Ended> => runHere(words, { CEDARGATE_HOME: dev.home })
const json = (...words: string[]): Promise<unknown> => jsonHere(words, { CEDARGATE_HOME: dev.home })
const create = async (...words: string[]) =>
  createdGrant.parse(await json('grants', 'create', ...words))
const CAROL = ['--user', 'carol', '--agent', 'codex', '--server', 'files']
const statusOf = async (token: string): Promise<number> => {
  const answer = await fetch(`${dev.facts.pepUrl}/t/files/mcp`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
    body: '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}',
  })
  await answer.body?.cancel()
  return answer.status
} // biome-ignore format: long lines
const show = async (id: string) => grantRow.parse(await json('grants', 'show', id))

describe('the life of a grant', () => {
  test('rotate: the same grant, a new token; the old one ends', async () => {
    const { id, token } = await create(...CAROL)
    expect(await statusOf(token)).toBe(200)
    const rotated = createdGrant.parse(await json('grants', 'rotate', id))
    expect(rotated).toMatchObject({ id, user: 'carol', agent: 'codex', servers: ['files'] })
    await sleep(1_000)
    expect([await statusOf(token), await statusOf(rotated.token)]).toEqual([401, 200])
    expect(await show(id)).toMatchObject({ state: 'active', tokenLast4: rotated.token.slice(-4) })
  })

  test('last use, and where from', async () => {
    const { id, token } = await create(...CAROL)
    expect(await show(id)).toMatchObject({ lastUsedAt: null, lastSource: null })
    await statusOf(token)
    await expect.poll(() => show(id)).toMatchObject({ lastUsedAt: expect.any(String), lastSource: '127.0.0.1' })
    expect((await run('grants', 'ls')).stdout).toMatch(new RegExp(`\\n${id} .* \\d{4}-\\S+Z +127\\.0\\.0\\.1\\n`))
  })

  test('an agent that acts for nobody, within scopes', async () => {
    const grant = await create('--nobody', '--agent', 'nightly', '--server', 'files', '--scope', 'mcp:read')
    expect(grant).toMatchObject({ user: null, agent: 'nightly', teams: [], scopes: ['mcp:read'] })
    expect(await statusOf(grant.token)).toBe(200)
    expect(await show(grant.id)).toMatchObject({ user: null, scopes: ['mcp:read'] })
  })

  test('ls narrows and pages', async () => {
    const made = []
    for (const agent of ['p1', 'p2', 'p3']) made.push(await create('--user', 'pat', '--agent', agent, '--server', 'files'))
    const [first, second, third] = made
    const list = async (...words: string[]) =>
      z.array(grantRow).parse(await json('grants', 'ls', '--user', 'pat', ...words)).map(({ agent }) => agent)
    expect(await list()).toEqual(['p3', 'p2', 'p1'])
    expect(await list('--limit', '2')).toEqual(['p3', 'p2'])
    expect((await run('grants', 'ls', '--user', 'pat', '--limit', '2')).stderr).toBe(`more: --before ${second?.id}\n`)
    expect(await list('--limit', '2', '--before', second?.id ?? '')).toEqual(['p1'])
    expect(await list('--agent', 'p2')).toEqual(['p2'])
    expect(await list('--server', 'everything')).toEqual([])
    await json('grants', 'revoke', third?.id ?? '')
    expect([await list('--state', 'revoked'), await list('--state', 'active')]).toEqual([['p3'], ['p2', 'p1']])
    expect(first?.teams).toEqual([])
  })
}) // biome-ignore format: long lines

const user = async (id: string) => userRow.parse(await json('users', 'show', id))

describe('users and agents', () => {
  test('users add: made, and changed in what is named', async () => {
    const made = userRow.parse(await json('users', 'add', 'uma', '--team', 'payments'))
    expect(made).toMatchObject({ id: 'uma', teams: ['payments'], scopes: expect.arrayContaining([...SCOPES]), roles: [], link: null, grants: 0 })
    const link = { issuer: 'https://login.example.com', subject: '00u1' }
    await json('users', 'add', 'uma', '--issuer', link.issuer, '--subject', link.subject)
    await json('users', 'add', 'uma', '--scope', 'mcp:read')
    expect(await user('uma')).toMatchObject({ teams: ['payments'], scopes: ['mcp:read'], link })
    await json('users', 'add', 'uma', '--no-team')
    expect(await user('uma')).toMatchObject({ teams: [], link })
    expect(await run('users', 'add', 'uma', '--issuer', link.issuer, '--subject', '00u2')).toMatchObject({ code: 2 })
    expect(await run('users', 'add', 'umo', '--issuer', link.issuer, '--subject', '00u1')).toMatchObject({ code: 2 })
  })

  test('users ls', async () => {
    await json('users', 'add', 'vic', '--team', 'listed')
    const listed = z.array(userRow).parse(await json('users', 'ls', '--team', 'listed'))
    expect(listed.map(({ id }) => id)).toEqual(['vic'])
    expect((await run('users', 'ls')).stdout).toMatch(/^ID +TEAMS +SCOPES +ROLES +GRANTS +SESSIONS +LINKED TO +OFFBOARDED\n/)
  })

  test('offboard ends all that is theirs within a second, and nothing of anybody else', async () => {
    const grants = [await create('--user', 'wim', '--agent', 'a', '--server', 'files'), await create('--user', 'wim', '--agent', 'b', '--server', 'files')]
    const other = await create('--user', 'xia', '--agent', 'a', '--server', 'files')
    const tokens = [...grants, other].map(({ token }) => token)
    expect(await Promise.all(tokens.map(statusOf))).toEqual([200, 200, 200])
    const ended = offboarded.parse(await json('users', 'offboard', 'wim'))
    expect(ended).toMatchObject({ user: 'wim', sessions: 0 })
    expect(ended.grants.toSorted()).toEqual(grants.map(({ id }) => id).toSorted())
    await sleep(1_000)
    expect(await Promise.all(tokens.map(statusOf))).toEqual([401, 401, 200])
    expect((await run('grants', 'create', '--user', 'wim', '--agent', 'a', '--server', 'files')).stderr).toMatch(/offboarded.*users reinstate/)
    expect(await json('users', 'offboard', 'wim')).toMatchObject({ grants: [], sessions: 0, offboardedAt: ended.offboardedAt })
    expect(userRow.parse(await json('users', 'reinstate', 'wim'))).toMatchObject({ offboardedAt: null, grants: 0 })
    await sleep(1_000)
    expect(await statusOf(tokens[0] ?? '')).toBe(401)
    expect(await statusOf((await create('--user', 'wim', '--agent', 'a', '--server', 'files')).token)).toBe(200)
  })

  test('agents: a ceiling, and off and on for everybody', async () => {
    const { id, token } = await create('--user', 'yan', '--agent', 'switched', '--server', 'files')
    expect(agentRow.parse(await json('agents', 'set', 'switched', '--scope', 'mcp:read'))).toMatchObject({ scopes: ['mcp:read'], grants: 1, disabledAt: null })
    expect(agentRow.parse(await json('agents', 'disable', 'switched'))).toMatchObject({ disabledAt: expect.any(String) })
    await sleep(1_000)
    expect({ status: await statusOf(token), state: (await show(id)).state }).toEqual({ status: 401, state: 'agent_disabled' })
    expect(agentRow.parse(await json('agents', 'enable', 'switched'))).toMatchObject({ disabledAt: null })
    await sleep(1_000)
    expect(await statusOf(token)).toBe(200)
    expect(z.array(agentRow).parse(await json('agents', 'ls')).map((agent) => agent.id)).toContain('switched')
  })

  test('roles, and what was done to get there', async () => {
    expect(await json('users', 'roles', 'uma', 'viewer', 'approver')).toMatchObject({ id: 'uma' })
    expect((await user('uma')).roles.toSorted()).toEqual(['approver', 'viewer'])
    expect(await json('users', 'roles', 'uma', '--none')).toMatchObject({ id: 'uma', roles: [] })
    const acts = z.array(actRow).parse(await json('acts', 'ls', '--act', 'users.roles'))
    expect(acts.map(({ by, status }) => [by, status])).toEqual([['operator', 200], ['operator', 200]])
    expect((await run('acts', 'ls', '--limit', '1')).stdout).toMatch(/^AT +BY +ACT +STATUS +WHAT +ID\n\S+ +operator +users\.roles +200 +\{/)
  })

  test('whoami: the operator of `dev` has every role, and does not expire', async () => {
    expect(await json('whoami')).toEqual({ user: 'operator', roles: [...OPERATOR_ROLES], expiresAt: null })
    expect(await run('login', '--url', dev.facts.pdpUrl)).toMatchObject({ code: 2, stderr: expect.stringMatching(/nobody can sign in here/) })
  })
}) // biome-ignore format: long lines
