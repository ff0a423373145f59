// What a server asks of its client is decided by policies that name it, and by no other; real Cedar.
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SERVER_REQUESTS } from '../../../schemas/mcp.ts'
import { NO_CEILINGS } from '../../../schemas/scopes.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import type { Authorizer } from '../authorize/authorizer.ts'
import { createAuthorizer } from '../authorize/authorizer.ts'
import type { AuthorizationRequest } from '../authorize/types.ts'
import type { Engine } from '../engine/engine.ts'
import { startEngine } from '../engine/engine.ts'
import { loadBundle } from './load.ts'
import { bundleFiles, withFiles } from './testing.ts'

const TOOLS = { tools: [{ name: 'read' }] }
const permit = (team: string, actions: string, when = '') =>
  `@id("by-hand/${team}") permit(principal in MCP::Team::"${team}", action in [${actions}], resource == MCP::Server::"files") ${when};`
const POLICIES = {
  tools: permit(
    'tools',
    'MCP::Action::"connect", MCP::Action::"all", MCP::Action::"server:files", MCP::Action::"resources/read", MCP::Action::"prompts/get"',
  ),
  every: '@id("by-hand/every") permit(principal in MCP::Team::"every", action, resource);',
  host: permit(
    'host',
    'MCP::Action::"elicitation/create"',
    'when { context.args has url_host && context.args.url_host == "login.example.com" }',
  ),
  fields: permit(
    'fields',
    'MCP::Action::"elicitation/create"',
    'when { context.args.mode == "form" && context.args.fields.containsAll(["city"]) } unless { context.args.asksSecret }',
  ),
  model: permit(
    'model',
    'MCP::Action::"sampling/createMessage"',
    'when { context.args has maxTokens && context.args.maxTokens <= 100 && !context.args.tools && context.args.includeContext == "none" }',
  ),
  roots: permit('roots', 'MCP::Action::"roots/list"'),
}

let engine: Engine
let authorizer: Authorizer
beforeAll(async () => {
  const files = bundleFiles({ files: TOOLS, mail: TOOLS }, POLICIES)
  const bundle = await withFiles(tmpdir(), files, (folder) => loadBundle(folder, { env: {} }))
  engine = await startEngine({ workers: 1, timeoutMs: 60_000 })
  await engine.activate(bundle.generation)
  authorizer = createAuthorizer({ bundle, engine })
})
afterAll(() => engine.stop())

async function ask(team: string, change: Partial<AuthorizationRequest>) {
  const [answer] = await authorizer.authorize([
    {
      user: 'ada',
      teams: [team],
      agent: 'demo',
      grant: null,
      server: 'files',
      from: 'server',
      method: 'roots/list',
      params: undefined,
      definition: null,
      scopes: NO_CEILINGS,
      definitionRequired: true,
      time: 0,
      era: 'modern',
      sourceIp: null,
      ...change,
    },
  ])
  return answer
}

const schema = (name: string) => ({ type: 'object', properties: { [name]: { type: 'string' } } })
const PARAMS: Readonly<Record<string, JsonObject>> = {
  'elicitation/create': { message: 'Where?', requestedSchema: schema('city') },
  'sampling/createMessage': { messages: [], maxTokens: 100 },
  'roots/list': {},
}

test.each(SERVER_REQUESTS)('%s is permitted by no permit of tools, and by one of every action', async (method) => {
  const params = PARAMS[method]
  for (const era of ['legacy', 'modern'] as const) {
    expect(await ask('nobody', { method, params, era })).toMatchObject({ code: 'no_permit', policies: [] })
    expect(await ask('tools', { method, params, era })).toMatchObject({ code: 'no_permit', policies: [] })
    expect(await ask('every', { method, params, era })).toMatchObject({ code: 'permit', policies: ['by-hand/every'] })
  }
  expect(await ask('every', { method, params, from: 'client' })).toMatchObject({ code: 'unknown_method', policies: [] })
}) // biome-ignore format: long lines

const PAGE = { message: 'Sign in', mode: 'url' }
test.each<{ team: string; method: string; params: JsonObject; code: string }>([
  { team: 'host', method: 'elicitation/create', params: { ...PAGE, url: 'https://LOGIN.example.com./a' }, code: 'permit' },
  { team: 'host', method: 'elicitation/create', params: { ...PAGE, url: 'https://login.example.com.evil.example/' }, code: 'no_permit' },
  { team: 'host', method: 'elicitation/create', params: { ...PAGE, url: 'https://login.example.com%2eevil.example/' }, code: 'unrepresentable_argument' },
  { team: 'fields', method: 'elicitation/create', params: { message: 'Where?', requestedSchema: schema('city') }, code: 'permit' },
  { team: 'fields', method: 'elicitation/create', params: { message: 'Where?', requestedSchema: schema('street') }, code: 'no_permit' },
  { team: 'fields', method: 'elicitation/create', params: { message: 'Your password?', requestedSchema: schema('city') }, code: 'no_permit' },
  { team: 'model', method: 'sampling/createMessage', params: { messages: [], maxTokens: 100 }, code: 'permit' },
  { team: 'model', method: 'sampling/createMessage', params: { messages: [], maxTokens: 101 }, code: 'no_permit' },
  { team: 'model', method: 'sampling/createMessage', params: { messages: [] }, code: 'no_permit' },
  { team: 'model', method: 'sampling/createMessage', params: { messages: [], maxTokens: 1, tools: [] }, code: 'no_permit' },
  { team: 'model', method: 'sampling/createMessage', params: { messages: [], maxTokens: 1, includeContext: 'thisServer' }, code: 'no_permit' },
  { team: 'model', method: 'sampling/createMessage', params: { messages: [], maxTokens: 2 ** 60 }, code: 'unrepresentable_argument' },
  { team: 'roots', method: 'roots/list', params: {}, code: 'permit' },
])('$team: $method $params is $code', async ({ team, method, params, code }) => {
  expect(await ask(team, { method, params })).toMatchObject({ code, errors: [] })
  expect(await ask(team, { method, params, server: 'mail' })).toMatchObject({ decision: 'deny', errors: [] })
}) // biome-ignore format: a table
