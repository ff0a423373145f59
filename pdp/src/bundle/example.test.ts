// The example bundle in `policies/` promises what its comments say: each row is one call, its verdict and its policies.

import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { NO_CEILINGS } from '../../../schemas/scopes.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import type { Authorizer } from '../authorize/authorizer.ts'
import { createAuthorizer } from '../authorize/authorizer.ts'
import type { AuthorizationRequest } from '../authorize/types.ts'
import type { Engine } from '../engine/engine.ts'
import { startEngine } from '../engine/engine.ts'
import type { Bundle } from './bundle.ts'
import { loadBundle } from './load.ts'

const HOME = '/srv/gate'
const DEMO = `${HOME}/demo`
const PEOPLE = {
  alice: { user: 'alice', teams: ['engineering'] },
  bob: { user: 'bob', teams: ['interns'] },
  carol: { user: 'carol', teams: [] },
} as const

let bundle: Bundle
let engine: Engine
let authorizer: Authorizer
beforeAll(async () => {
  const directory = join(import.meta.dirname, '../../../policies')
  bundle = await loadBundle(directory, { env: { CEDARGATE_HOME: HOME } })
  engine = await startEngine({ workers: 1, timeoutMs: 10_000 })
  await engine.activate(bundle.generation)
  authorizer = createAuthorizer({ bundle, engine })
})
afterAll(() => engine.stop())

async function ask(change: Partial<AuthorizationRequest>) {
  const request: AuthorizationRequest = {
    ...PEOPLE.alice,
    agent: 'demo',
    grant: { id: 'g', expiresAt: 2_000_000_000_000 },
    server: 'files',
    method: 'tools/call',
    params: undefined,
    definition: null,
    scopes: NO_CEILINGS,
    definitionRequired: false,
    from: 'client',
    time: 1_800_000_000_000,
    era: 'legacy',
    sourceIp: '127.0.0.1',
    ...change,
  }
  const [answer] = await authorizer.authorize([request])
  return answer
}

const DRAFTS = ['engineering/write-drafts']
const OUTSIDE_DRAFTS = ['files/writes-below-drafts']
const OUTSIDE = ['files/reads-inside']
type Row = { who: keyof typeof PEOPLE; tool: string; args: JsonObject; code: string; by?: string[] }
test.each<Row>([
  { who: 'alice', tool: 'write_file', args: { path: 'drafts/a', content: '' }, code: 'permit', by: DRAFTS },
  { who: 'alice', tool: 'write_file', args: { path: './drafts//a/../b', content: '' }, code: 'permit', by: DRAFTS },
  { who: 'alice', tool: 'write_file', args: { path: `${DEMO}/drafts/a`, content: '' }, code: 'permit', by: DRAFTS },
  { who: 'alice', tool: 'edit_file', args: { path: 'drafts/a', edits: [{ oldText: 'a', newText: 'b' }] }, code: 'permit', by: DRAFTS },
  { who: 'alice', tool: 'create_directory', args: { path: 'drafts/new' }, code: 'permit', by: DRAFTS },
  { who: 'alice', tool: 'create_directory', args: { path: 'drafts' }, code: 'forbid', by: OUTSIDE_DRAFTS },
  { who: 'alice', tool: 'create_directory', args: { path: 'drafts/..' }, code: 'forbid', by: OUTSIDE_DRAFTS },
  { who: 'alice', tool: 'write_file', args: { path: 'notes.txt', content: '' }, code: 'forbid', by: OUTSIDE_DRAFTS },
  { who: 'alice', tool: 'write_file', args: { path: 'drafts/../x', content: '' }, code: 'forbid', by: OUTSIDE_DRAFTS },
  { who: 'alice', tool: 'write_file', args: { path: 'drafts/..//x', content: '' }, code: 'forbid', by: OUTSIDE_DRAFTS },
  { who: 'alice', tool: 'write_file', args: { path: 'drafts2/x', content: '' }, code: 'forbid', by: OUTSIDE_DRAFTS },
  { who: 'alice', tool: 'write_file', args: { path: 'Drafts/x', content: '' }, code: 'forbid', by: OUTSIDE_DRAFTS },
  { who: 'alice', tool: 'write_file', args: { path: `${DEMO}/drafts/../../x`, content: '' }, code: 'forbid', by: OUTSIDE_DRAFTS },
  { who: 'alice', tool: 'write_file', args: { path: '/drafts/x', content: '' }, code: 'forbid', by: OUTSIDE_DRAFTS },
  { who: 'alice', tool: 'write_file', args: { path: 'drafts/a\0', content: '' }, code: 'unrepresentable_argument' },
  { who: 'alice', tool: 'write_file', args: { path: ' drafts/a', content: '' }, code: 'unrepresentable_argument' },
  { who: 'alice', tool: 'write_file', args: { path: '~/drafts/a', content: '' }, code: 'unrepresentable_argument' },
  { who: 'alice', tool: 'write_file', args: { path: 'drafts/a', content: '', mode: 1 }, code: 'unknown_argument' },
  { who: 'alice', tool: 'move_file', args: { source: 'drafts/a', destination: 'drafts/b' }, code: 'no_permit' },
  { who: 'alice', tool: 'move_file', args: { source: 'drafts/a', destination: 'b' }, code: 'forbid', by: OUTSIDE_DRAFTS },
  { who: 'alice', tool: 'move_file', args: { source: 'notes.txt', destination: 'drafts/b' }, code: 'forbid', by: OUTSIDE_DRAFTS },
  { who: 'alice', tool: 'read_text_file', args: { path: 'notes.txt', head: 3 }, code: 'permit', by: ['engineering/read'] },
  { who: 'bob', tool: 'read_text_file', args: { path: 'notes.txt' }, code: 'permit', by: ['interns/read'] },
  { who: 'bob', tool: 'list_allowed_directories', args: {}, code: 'permit', by: ['interns/read'] },
  { who: 'bob', tool: 'read_multiple_files', args: { paths: ['notes.txt', 'drafts/a'] }, code: 'permit', by: ['interns/read'] },
  { who: 'bob', tool: 'read_multiple_files', args: { paths: ['notes.txt', '/etc/passwd'] }, code: 'forbid', by: OUTSIDE },
  { who: 'bob', tool: 'read_multiple_files', args: { paths: ['../secret'] }, code: 'forbid', by: OUTSIDE },
  { who: 'alice', tool: 'read_text_file', args: { path: '../secret' }, code: 'forbid', by: OUTSIDE },
  { who: 'alice', tool: 'directory_tree', args: { path: '/' }, code: 'forbid', by: OUTSIDE },
  { who: 'alice', tool: 'list_directory', args: { path: '.' }, code: 'permit', by: ['engineering/read'] },
  { who: 'bob', tool: 'write_file', args: { path: 'drafts/a', content: '' }, code: 'no_permit' },
  { who: 'bob', tool: 'write_file', args: { path: 'notes.txt', content: '' }, code: 'forbid', by: OUTSIDE_DRAFTS },
  { who: 'carol', tool: 'read_text_file', args: { path: 'notes.txt' }, code: 'no_permit' },
  { who: 'alice', tool: 'delete_file', args: { path: 'drafts/a' }, code: 'unknown_tool' },
])('$who: $tool $args is $code', async ({ who, tool, args, code, by = [] }) => {
  const answer = await ask({ ...PEOPLE[who], params: { name: tool, arguments: args } })
  expect(answer).toMatchObject({ code, policies: by, errors: [] })
}) // biome-ignore format: a table

test('nothing in it is even doubtful', () => {
  expect(bundle.warnings).toEqual([])
})

test('a refusal by a guardrail says why', async () => {
  const answer = await ask({
    params: { name: 'write_file', arguments: { path: 'x', content: '' } },
  })
  expect(answer?.detail).toBe('on this server only what is below drafts/ may be changed')
})

test.each([
  { who: 'alice', server: 'files', some: ['read_file', 'write_file'], never: ['move_file'] },
  { who: 'bob', server: 'files', some: ['read_file'], never: ['write_file', 'edit_file', 'create_directory', 'move_file'] },
  { who: 'alice', server: 'everything', some: ['echo', 'get-sum'], never: ['gzip-file-as-resource', 'trigger-sampling-request'] },
  { who: 'bob', server: 'everything', some: ['echo'], never: ['toggle-simulated-logging', 'simulate-research-query'] },
] as const)('$who sees what some call of theirs could be allowed, on $server', async ({ who, server, some, never }) => {
  const answer = await ask({ ...PEOPLE[who], server, method: 'tools/list' })
  expect(answer?.visible?.tools).toEqual(expect.arrayContaining([...some]))
  for (const tool of never) expect(answer?.visible?.tools).not.toContain(tool)
}) // biome-ignore format: a table

test.each([
  { who: 'alice', method: 'elicitation/create', field: 'city', code: 'permit', by: ['engineering/asked'] },
  { who: 'bob', method: 'elicitation/create', field: 'city', code: 'permit', by: ['interns/asked'] },
  { who: 'carol', method: 'elicitation/create', field: 'city', code: 'no_permit', by: [] },
  { who: 'alice', method: 'elicitation/create', field: 'apiToken', code: 'forbid', by: ['gateway/no-secret-forms'] },
  { who: 'carol', method: 'elicitation/create', field: 'apiToken', code: 'forbid', by: ['gateway/no-secret-forms'] },
  { who: 'alice', method: 'sampling/createMessage', field: '', code: 'no_permit', by: [] },
  { who: 'alice', method: 'roots/list', field: '', code: 'no_permit', by: [] },
] as const)('a server asks $who by $method for $field: $code', async ({ who, method, field, code, by }) => {
  const requestedSchema = { type: 'object', properties: { [field]: { type: 'string' } } }
  const params = { message: 'Please', requestedSchema }
  expect(await ask({ ...PEOPLE[who], from: 'server', method, params })).toMatchObject({ code, policies: by })
}) // biome-ignore format: a table

test.each([
  { name: 'whoever is in no team', change: PEOPLE.carol, code: 'no_permit' },
  {
    name: 'an agent for nobody',
    change: { user: null, teams: ['engineering'] },
    code: 'no_permit',
  },
  {
    name: 'the gateway itself',
    change: { user: null, agent: 'cedargate', grant: null },
    code: 'permit',
  },
  {
    name: 'a person who names an agent so',
    change: { ...PEOPLE.carol, agent: 'cedargate' },
    code: 'no_permit',
  },
])('$name may connect: $code', async ({ change, code }) => {
  expect(await ask({ ...change, method: 'initialize' })).toMatchObject({ code })
})
