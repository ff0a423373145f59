// Grants, users, agents and acts on the command line: what each asks of the gateway, and what it prints of the answer.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  agentRequest,
  clientGrantRequest,
  grantRequest,
  rolesRequest,
  userRequest,
} from '../../../schemas/admin-api.ts'
import { SCOPES } from '../../../schemas/scopes.ts'
import type { Ended } from '../../../test/harness/command.ts'
import { runHere } from '../../../test/harness/in-process.ts'
import { type FakeGateway, type Route, startFakeGateway } from '../testing.ts'

const ID = '01990000-0000-7000-8000-000000000001'
const AT = '2026-11-23T08:00:00.000Z'
const GRANT = {
  id: ID,
  user: 'carol',
  agent: 'codex',
  servers: ['files'],
  teams: ['a', 'b'],
  scopes: ['mcp:read'],
  tokenLast4: 'beef',
  client: null,
  state: 'active',
  createdAt: AT,
  expiresAt: '2027-02-21T08:00:00.000Z',
  revokedAt: null,
  lastUsedAt: null,
  lastSource: null,
}
const CREATED = {
  id: ID,
  token: 'cgt_new',
  user: 'carol',
  agent: 'codex',
  servers: ['files'],
  teams: [],
  scopes: [...SCOPES],
  expiresAt: AT,
}
const LINK = { issuer: 'https://login.example.com', subject: '7' }
const USER = {
  id: 'carol',
  teams: ['a'],
  claimTeams: ['a', 'b'],
  scopes: [...SCOPES],
  roles: ['viewer'],
  link: { ...LINK, vouched: true },
  grants: 2,
  sessions: 1,
  createdAt: AT,
  offboardedAt: null,
}
const AGENT = { id: 'codex', scopes: [], grants: 3, createdAt: AT, disabledAt: null }
const CLIENT = { issuer: 'https://login.example.com', subject: '7', client: 'portal' }
const ACT = {
  id: ID,
  at: AT,
  act: 'grant.create',
  by: 'root',
  what: { user: 'carol' },
  status: 201,
}
const LIFE_MS = 90 * 86_400_000

let gateway: FakeGateway
beforeAll(async () => {
  gateway = await startFakeGateway()
})
afterAll(() => gateway.close())
const run = (...words: string[]): Promise<Ended> =>
  runHere(words, { CEDARGATE_URL: gateway.url, CEDARGATE_TOKEN: 'cgs_mine' })

/** The token alone on stdout; the rest on stderr. */
const SHOWN =
  /^cgt_new\n\|grant \S+ for carol through codex, until \S+\nthe token is shown this once;/

type Case = { words: string; route: Route; sends?: unknown; says: RegExp }
const grant = (words: string, body: object): Case => ({
  words: `grants create ${words}`,
  route: { on: 'POST /admin/v1/grants', takes: grantRequest, status: 201, answers: CREATED },
  sends: { expiresInMs: LIFE_MS, ...body },
  says: SHOWN,
})
const BASE = { user: 'carol', agent: 'codex', servers: ['files'] }

describe('what a command asks, and what it says', () => {
  test.each<Case>([
    grant('--user carol --agent codex --server files', BASE),
    grant('--user carol --agent codex --server files --server x --team a --team b --expires 1h', { ...BASE, servers: ['files', 'x'], teams: ['a', 'b'], expiresInMs: 3_600_000 }),
    grant('--nobody --agent codex --server files --scope mcp:read --scope mcp:ask', { ...BASE, user: null, scopes: ['mcp:read', 'mcp:ask'] }),
    {
      words: 'grants create --user carol --client portal --issuer https://login.example.com',
      route: { on: 'POST /admin/v1/client-grants', takes: clientGrantRequest, status: 201, answers: { ...GRANT, tokenLast4: null, client: CLIENT } },
      sends: { user: 'carol', client: 'portal', issuer: 'https://login.example.com', expiresInMs: LIFE_MS },
      says: /^grant \S+ for carol through codex, until \S+\naccess tokens of client portal stand for it/,
    },
    {
      words: 'grants ls',
      route: { on: 'GET /admin/v1/grants?limit=200', answers: { grants: [GRANT] } },
      says: /^ID +USER +AGENT +SERVERS +TEAMS +SCOPES +TOKEN +STATE +EXPIRES +LAST USED +SOURCE\n\S+ +carol +codex +files +a,b +read +…beef +active +2027-02-21 +never\n$/,
    },
    {
      words: 'grants ls --user carol --agent codex --server files --state revoked --limit 1 --before 2',
      route: { on: 'GET /admin/v1/grants?limit=1&user=carol&agent=codex&server=files&state=revoked&before=2', answers: { grants: [{ ...GRANT, user: null, tokenLast4: null, client: CLIENT, lastUsedAt: AT, lastSource: '10.0.0.7' }] } },
      says: new RegExp(`client portal +active .* ${AT} +10\\.0\\.0\\.7\\n\\|more: --before ${ID}\\n$`),
    },
    { words: 'grants ls --user nobody', route: { on: 'GET /admin/v1/grants?limit=200&user=nobody', answers: { grants: [] } }, says: /^no grants match\n$/ },
    { words: 'grants ls', route: { on: 'GET /admin/v1/grants?limit=200', answers: { grants: [] } }, says: /^no grants yet; see/ },
    { words: `grants show ${ID}`, route: { on: `GET /admin/v1/grants/${ID}`, answers: GRANT }, says: /^id +\S+\nuser +carol\n/ },
    { words: 'grants show a/../b', route: { on: 'GET /admin/v1/grants/a%2F..%2Fb', answers: GRANT }, says: /^id / },
    { words: `grants rotate ${ID}`, route: { on: `POST /admin/v1/grants/${ID}/rotate`, answers: CREATED }, sends: {}, says: SHOWN },
    { words: `grants revoke ${ID}`, route: { on: `DELETE /admin/v1/grants/${ID}`, answers: { id: ID, revokedAt: AT } }, says: /^grant \S+1 is revoked\n$/ },
    { words: 'users add carol', route: { on: 'PUT /admin/v1/users/carol', takes: userRequest, answers: USER }, sends: {}, says: /^id +carol\nteams +\["a"\]\n/ },
    {
      words: 'users add carol --team a --team b --scope mcp:read --issuer https://login.example.com --subject 7',
      route: { on: 'PUT /admin/v1/users/carol', takes: userRequest, answers: USER },
      sends: { teams: ['a', 'b'], scopes: ['mcp:read'], link: LINK },
      says: /^id +carol\n/,
    },
    { words: 'users add carol --no-team --no-scope', route: { on: 'PUT /admin/v1/users/carol', takes: userRequest, answers: USER }, sends: { teams: [], scopes: [] }, says: /^id +carol\n/ },
    { words: 'users add carol --no-team --team a', route: { on: 'PUT /admin/v1/users/carol', takes: userRequest, answers: USER }, sends: { teams: ['a'] }, says: /^id +carol\n/ },
    {
      words: 'users ls --team a --limit 1 --after bob',
      route: { on: 'GET /admin/v1/users?limit=1&team=a&after=bob', answers: { users: [USER] } },
      says: /^ID +TEAMS +SCOPES +ROLES +GRANTS +SESSIONS +LINKED TO +OFFBOARDED\ncarol +a,b +all +viewer +2 +1 +https:\/\/login\.example\.com\n\|more: --after carol\n$/,
    },
    {
      words: 'users ls',
      route: { on: 'GET /admin/v1/users?limit=200', answers: { users: [{ ...USER, link: { ...LINK, vouched: false } }] } },
      says: /https:\/\/login\.example\.com \(not vouched for\)\n$/,
    },
    { words: 'users unlink carol', route: { on: 'DELETE /admin/v1/users/carol/link', answers: { ...USER, link: null } }, says: /\nlink +null\n/ },
    { words: 'users show carol', route: { on: 'GET /admin/v1/users/carol', answers: USER }, says: /\nlink +\{"issuer":/ },
    {
      words: 'users offboard carol',
      route: { on: 'POST /admin/v1/users/carol/offboard', answers: { user: 'carol', offboardedAt: AT, grants: [ID], sessions: 2 } },
      sends: {},
      says: /^\S+1\n\|carol is offboarded since \S+\nended now: 1 grants, 2 login sessions\n$/,
    },
    { words: 'users reinstate carol', route: { on: 'POST /admin/v1/users/carol/reinstate', answers: { ...USER, link: null } }, sends: {}, says: /^id +carol\n[^|]*$/ },
    { words: 'users reinstate carol', route: { on: 'POST /admin/v1/users/carol/reinstate', answers: { ...USER, link: { ...LINK, vouched: true } } }, sends: {}, says: /\|their grants of clients stay revoked; to give one back: `cedargate grants create --client <client> --issuer https:\/\/login\.example\.com --user carol`\n$/ },
    { words: 'users reinstate carol', route: { on: 'POST /admin/v1/users/carol/reinstate', answers: { ...USER, link: { ...LINK, vouched: false } } }, sends: {}, says: /back: `cedargate users add carol --issuer … --subject …`, then `cedargate grants create/ },
    { words: 'users roles carol viewer auditor', route: { on: 'PUT /admin/v1/users/carol/roles', takes: rolesRequest, answers: USER }, sends: { roles: ['viewer', 'auditor'] }, says: /^id +carol\n/ },
    { words: 'users roles carol --none', route: { on: 'PUT /admin/v1/users/carol/roles', takes: rolesRequest, answers: USER }, sends: { roles: [] }, says: /^id +carol\n/ },
    { words: 'agents ls', route: { on: 'GET /admin/v1/agents', answers: { agents: [AGENT] } }, says: /^ID +SCOPES +GRANTS +DISABLED\ncodex +none +3\n$/ },
    { words: 'agents set codex --scope mcp:read', route: { on: 'PUT /admin/v1/agents/codex', takes: agentRequest, answers: AGENT }, sends: { scopes: ['mcp:read'] }, says: /^id +codex\n/ },
    { words: 'agents set codex --no-scope', route: { on: 'PUT /admin/v1/agents/codex', takes: agentRequest, answers: AGENT }, sends: { scopes: [] }, says: /^id +codex\n/ },
    { words: 'agents disable codex', route: { on: 'PUT /admin/v1/agents/codex', takes: agentRequest, answers: AGENT }, sends: { disabled: true }, says: /^id +codex\n/ },
    { words: 'agents enable codex', route: { on: 'PUT /admin/v1/agents/codex', takes: agentRequest, answers: AGENT }, sends: { disabled: false }, says: /^id +codex\n/ },
    {
      words: 'acts ls --by root --act grant.create --limit 1',
      route: { on: 'GET /admin/v1/acts?limit=1&by=root&act=grant.create', answers: { acts: [{ ...ACT, status: null }] } },
      says: /^AT +BY +ACT +STATUS +WHAT +ID\n\S+ +root +grant\.create +unknown +\{"user":"carol"\} +\S+\n\|more: --before \S+\n$/,
    },
  ])('cedargate $words', async ({ words, route, sends, says }) => {
    gateway.answer(route)
    const text = await run(...words.split(' '))
    expect(gateway.asked).toEqual([{ on: route.on, bearer: 'cgs_mine', body: sends }])
    expect(text.code).toBe(0)
    expect([text.stdout, text.stderr].filter((said) => said !== '').join('|')).toMatch(says)
    const { code, stdout, stderr } = await run(...words.split(' '), '--format', 'json')
    const rows = / ls\b/.test(words) ? Object.values(route.answers as object)[0] : route.answers
    expect({ code, data: JSON.parse(stdout) }).toEqual({ code: 0, data: rows })
    expect(stderr.replace(/^more: .*\n$/, '')).toBe('')
  })
}) // biome-ignore format: a table

describe('what does not fit together: exit 2, and nothing is asked', () => {
  beforeEach(() => gateway.answer())
  test.each([
    { words: 'grants create --agent a --server files', says: /--user <id>, or --nobody/ },
    { words: 'grants create --user u --nobody --agent a --server files', says: /--user <id>, or --nobody/ },
    { words: 'grants create --nobody --agent a --server files --team t', says: /--team is for a --user/ },
    { words: 'grants create --user u --server files', says: /--agent <id>/ },
    { words: 'grants create --user u --agent a', says: /--server <id>/ },
    { words: 'grants create --user u --agent a --server files --scope admin', says: /Allowed choices are mcp:read, mcp:write/ },
    { words: 'grants create --user u --client c', says: /--client and --issuer belong together/ },
    { words: 'grants create --client c --issuer https://i', says: /--user <id>/ },
    { words: 'grants create --user u --client c --issuer https://i --server files', says: /only --user, --issuer and --expires.*\nhint: .*gateway\.yaml/ },
    { words: 'grants create --user u --client c --issuer https://i --expires 367d', says: /at most 366d/ },
    { words: 'grants ls --state broken', says: /Allowed choices are revoked, offboarded/ },
    { words: 'grants ls --limit 1001', says: /a whole number from 1 to 1000/ },
    { words: 'grants rotate', says: /missing required argument 'id'/ },
    { words: 'users add', says: /missing required argument 'id'/ },
    { words: 'users add carol --issuer https://i', says: /--issuer and --subject belong together/ },
    { words: 'users roles carol', says: /name the roles, or --none/ },
    { words: 'users roles carol viewer --none', says: /name the roles, or --none/ },
    { words: 'users ls --limit 0', says: /a whole number from 1 to 1000/ },
    { words: 'users offboard', says: /missing required argument 'id'/ },
    { words: 'agents set codex', says: /--scope <scope>/ },
    { words: 'agents set codex --scope mcp:all', says: /Allowed choices are/ },
    { words: 'agents disable', says: /missing required argument 'id'/ },
  ])('cedargate $words', async ({ words, says }) => {
    const { code, stdout, stderr } = await run(...words.split(' '))
    expect({ code, stdout, asked: gateway.asked }).toEqual({ code: 2, stdout: '', asked: [] })
    expect(stderr).toMatch(says)
  })
}) // biome-ignore format: a table

describe('what the gateway refuses', () => {
  test.each([
    { status: 403, message: 'this is for the roles admin, approver', says: /^cedargate: this is for the roles admin, approver\nhint: `cedargate whoami` says which roles you have\n$/, code: 2 },
    { status: 404, message: 'no such user', says: /^cedargate: no such user\n$/, code: 2 },
    { status: 429, message: 'too many', says: /^cedargate: too many\nhint: try again in 7 seconds\n$/, code: 2 },
    { status: 503, message: 'the act could not be recorded', says: /^cedargate: the act could not be recorded\n/, code: 1 },
    { status: 307, message: undefined, says: /^cedargate: the gateway answered 307\n$/, code: 2 },
  ])('$status', async ({ status, message, says, code }) => {
    const headers = { location: `${gateway.url}/elsewhere`, ...(status === 429 ? { 'retry-after': '7' } : {}) }
    gateway.answer({ on: 'POST /admin/v1/users/carol/offboard', status, headers, answers: { message } })
    const ended = await run('users', 'offboard', 'carol')
    expect(ended).toEqual({ code, stdout: '', stderr: expect.stringMatching(says) })
    expect(gateway.asked.length).toBe(1)
  })

  test('an answer with control characters is shown, not obeyed', async () => {
    gateway.answer({ on: 'GET /admin/v1/grants?limit=200', answers: { grants: [{ ...GRANT, lastSource: '\u001b[2J' }] } })
    expect((await run('grants', 'ls')).stdout).toContain('\\u{1b}[2J')
    gateway.answer({ on: `GET /admin/v1/grants/${ID}`, answers: { ...GRANT, agent: '\u001b[2J' } })
    expect((await run('grants', 'show', ID)).stdout).toContain('\\u{1b}[2J')
  })
}) // biome-ignore format: a table
