// Deciding with scripted engines: what is refused before Cedar, and every way an engine can fail. Real decisions are
// in ../bundle/decisions.test.ts.
import { hash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { EngineAnswer, Evaluation } from '../../../schemas/cedar.ts'
import { NO_CEILINGS } from '../../../schemas/scopes.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { createAuthorizer } from './authorizer.ts'
import { toolArguments } from './tool-arguments.ts'
import type { AuthorizationRequest, AuthorizerBundle, DecidedTool, Evaluator } from './types.ts'

const keys = (name: string) => {
  const engine = { policySet: `set ${name}`, schema: `schema ${name}`, reads: 'all' } as const
  return {
    call: engine,
    shadow: null,
    listing: { ...engine, policySet: `list ${name}`, group: name },
  }
}
const SHA = 'a'.repeat(64)
const tool = (name: string): [string, DecidedTool] => {
  const inputSchema = { properties: { p: { type: 'string' } } }
  const { variants } = toolArguments([{ sha256: SHA, inputSchema }], [])
  return [name, { name, action: `files/${name}`, keys: keys(name), variants, latest: SHA }]
}
const actions = {
  connect: keys('connect'),
  'resources/read': keys('resources/read'),
  'prompts/get': keys('prompts/get'),
  'completion/complete': keys('completion/complete'),
  'sampling/createMessage': keys('sampling/createMessage'),
  'elicitation/create': keys('elicitation/create'),
  'roots/list': keys('roots/list'),
}
const BUNDLE: AuthorizerBundle = {
  generation: { id: 'g' },
  policies: new Map([['f', { reason: 'not on a Sunday' }], ['h', { reason: null }]]),
  base: new Map([['cedargate/b', { reason: 'not within your scopes' }]]),
  servers: new Map([
    ['files', { concealment: 'explain' as const, tools: new Map([tool('read'), tool('__proto__')]), actions }],
    ['other', { concealment: 'explain' as const, tools: new Map(), actions }],
  ]),
} // biome-ignore format: maps

const REQUEST: AuthorizationRequest = {
  user: 'alice',
  teams: [],
  agent: 'demo',
  grant: null,
  server: 'files',
  method: 'tools/call',
  params: { name: 'read', arguments: { p: 'x' } },
  definition: SHA,
  scopes: NO_CEILINGS,
  definitionRequired: true,
  from: 'client',
  time: 0,
  era: 'legacy',
  sourceIp: null,
}
const ALLOW: EngineAnswer = { kind: 'success', decision: 'allow', reason: ['p'], errors: [] }
const DENY: EngineAnswer = { kind: 'success', decision: 'deny', reason: ['h', 'f'], errors: [] }

function scripted(answer: (of: Evaluation) => EngineAnswer) {
  const seen: Evaluation[] = []
  const evaluator: Evaluator = {
    evaluate: async (batch) => {
      seen.push(...batch)
      return batch.map(answer)
    },
  }
  return { seen, evaluator }
}

/** Allows what these policy sets decide. */
function only(...sets: string[]): Evaluator {
  return scripted(({ policySet }) => (sets.includes(policySet) ? ALLOW : DENY)).evaluator
}

async function decide(change: Partial<AuthorizationRequest>, evaluator: Evaluator) {
  const authorizer = createAuthorizer({ bundle: BUNDLE, engine: evaluator })
  const [answer] = await authorizer.authorize([{ ...REQUEST, ...change }])
  return answer
}

type Refused = { name: string; change: Partial<AuthorizationRequest>; code: string; detail: RegExp }
test.each<Refused>([
  { name: 'an unknown method', change: { method: 'tools/delete' }, code: 'unknown_method', detail: /does not know/ },
  { name: 'a held method', change: { method: 'tasks/list' }, code: 'unknown_method', detail: /never allowed/ },
  { name: 'a request of servers from a client', change: { method: 'sampling/createMessage', params: { maxTokens: 1 } }, code: 'unknown_method', detail: /nothing that a client may send/ },
  { name: 'a call from a server', change: { from: 'server' }, code: 'unknown_method', detail: /nothing that a server may send/ },
  { name: 'a ping from a server', change: { method: 'ping', from: 'server' }, code: 'unknown_method', detail: /nothing that a server may send/ },
  { name: 'an unknown request of a server', change: { method: 'sampling/other', from: 'server' }, code: 'unknown_method', detail: /does not know/ },
  { name: 'a server that asks for nothing', change: { method: 'elicitation/create', from: 'server', params: undefined }, code: 'invalid_request', detail: /params/ },
  { name: 'too many bytes of arguments', change: { params: { name: 'read', arguments: { x: 'x'.repeat(65_536) } } }, code: 'unrepresentable_argument', detail: /longer than 65536 bytes/ },
  { name: 'too many bytes of arguments of a prompt', change: { method: 'prompts/get', params: { name: 'p', arguments: { x: 'x'.repeat(65_536) } } }, code: 'unrepresentable_argument', detail: /longer than 65536 bytes/ },
  { name: 'too many bytes of arguments where none belong', change: { method: 'ping', params: { arguments: { x: 'x'.repeat(65_536) } } }, code: 'unrepresentable_argument', detail: /longer than 65536 bytes/ },
  { name: 'a method of the other era', change: { method: 'initialize', era: 'modern' }, code: 'unknown_method', detail: /revision/ },
  { name: 'a tool of a server that is none', change: { server: 'nope' }, code: 'unknown_tool', detail: /no server/ },
  { name: 'another method there', change: { server: 'nope', method: 'ping' }, code: 'invalid_request', detail: /no server/ },
  { name: 'a tool of another server', change: { server: 'other' }, code: 'unknown_tool', detail: /reviewed/ },
  { name: 'no tool name', change: { params: undefined }, code: 'invalid_request', detail: /params\.name/ },
  { name: 'a tool name that is none', change: { params: { name: 7 } }, code: 'invalid_request', detail: /params\.name/ },
  { name: 'a name of every object', change: { params: { name: 'constructor' } }, code: 'unknown_tool', detail: /reviewed/ },
  { name: 'a tool the server does not serve', change: { definition: null }, code: 'unknown_tool', detail: /does not serve/ },
  { name: 'an advisory question about another definition', change: { definition: 'b'.repeat(64), definitionRequired: false }, code: 'tool_changed', detail: /reviewed/ },
  { name: 'a changed tool', change: { definition: 'b'.repeat(64) }, code: 'tool_changed', detail: /reviewed/ },
  { name: 'arguments that are no object', change: { params: { name: 'read', arguments: [] } }, code: 'invalid_request', detail: /params\.arguments/ },
  { name: 'null for arguments', change: { params: { name: 'read', arguments: null } }, code: 'invalid_request', detail: /params\.arguments/ },
  { name: 'an unknown argument', change: { params: { name: 'read', arguments: { q: 1 } } }, code: 'unknown_argument', detail: /\/q/ },
  { name: 'a time that is none', change: { time: Number.NaN }, code: 'invalid_request', detail: /cannot be read/ },
  { name: 'no uri', change: { method: 'resources/read', params: {} }, code: 'invalid_request', detail: /uri/ },
  { name: 'no prompt name', change: { method: 'prompts/get', params: undefined }, code: 'invalid_request', detail: /name/ },
  { name: 'a completion of nothing', change: { method: 'completion/complete', params: { ref: { type: 'x' } } }, code: 'invalid_request', detail: /ref\.type/ },
  { name: 'a completion of no argument', change: { method: 'completion/complete', params: { ref: { type: 'ref/prompt', name: 'p' } } }, code: 'invalid_request', detail: /name/ },
])('$name is refused with $code before Cedar', async ({ change, code, detail }) => {
  const { evaluator, seen } = scripted(() => ALLOW)
  const answer = await decide(change, evaluator)
  expect(answer).toMatchObject({ decision: 'deny', code, policies: [], visible: null, detail: expect.stringMatching(detail) })
  expect(answer?.cedar).toEqual({ request: '', context: '', entities: '' })
  expect(seen).toEqual([])
}) // biome-ignore format: a table

test.each<{ name: string; change: Partial<AuthorizationRequest>; set: string; args?: object }>([
  { name: 'a tool', change: {}, set: 'set read', args: { p: 'x' } },
  { name: 'a tool named like a prototype', change: { params: { name: '__proto__' } }, set: 'set __proto__', args: {} },
  { name: 'an advisory question', change: { definition: null, definitionRequired: false }, set: 'set read', args: { p: 'x' } },
  { name: 'a ping', change: { method: 'ping' }, set: 'set connect' },
  { name: 'a resource', change: { method: 'resources/read', params: { uri: 'a:b', x: 1 } }, set: 'set resources/read', args: { uri: 'a:b' } },
  { name: 'a prompt', change: { method: 'prompts/get', params: { name: 'n', arguments: { a: 'b' } } }, set: 'set prompts/get', args: { name: 'n' } },
  {
    name: 'a completion',
    change: { method: 'completion/complete', params: { ref: { type: 'ref/resource', uri: 'u' }, argument: { name: 'a', value: 'v' } } },
    set: 'set completion/complete',
    args: { ref: 'ref/resource', uri: 'u', argument: 'a' },
  },
  { name: 'a call as a task', change: { params: { name: 'read', arguments: { p: 'x' }, task: { ttl: 1 } } }, set: 'set read', args: { p: 'x' } },
  { name: 'what became of a task', change: { method: 'tasks/result', params: { taskId: 't' } }, set: 'set connect' },
  { name: 'a subscription of today', change: { method: 'subscriptions/listen', era: 'modern', params: {} }, set: 'set connect' },
  { name: 'one resource of it', change: { method: 'listen:resource', era: 'modern', params: { uri: 'a:b' } }, set: 'set resources/read', args: { uri: 'a:b' } },
  { name: 'a question for roots', change: { method: 'roots/list', from: 'server', params: undefined }, set: 'set roots/list', args: {} },
  { name: 'sampling', change: { method: 'sampling/createMessage', from: 'server', params: { maxTokens: 5 } }, set: 'set sampling/createMessage', args: { maxTokens: 5, tools: false, includeContext: 'none' } },
])('$name is put to Cedar under its own keys', async ({ change, set, args }) => {
  const { evaluator, seen } = scripted(() => ALLOW)
  expect(await decide(change, evaluator)).toMatchObject({ decision: 'allow', code: 'permit', policies: ['p'], detail: '' })
  expect(seen).toMatchObject([{ generation: 'g', policySet: set }])
  const context = JSON.parse(seen[0]?.texts.context ?? '') as { args?: object }
  expect(context.args).toEqual(args)
}) // biome-ignore format: a table

describe('what an engine can do', () => {
  test.each<{ name: string; answer: EngineAnswer; code: string; detail: string }>([
    { name: 'forbid', answer: DENY, code: 'forbid', detail: 'not on a Sunday; forbidden by `h`' },
    { name: 'fault', answer: { kind: 'fault', cause: 'c' }, code: 'engine_fault', detail: 'no decision could be made' },
    { name: 'failure', answer: { kind: 'failure', message: 'm' }, code: 'invalid_request', detail: 'the request does not fit the policy schema' },
    { name: 'an empty allow', answer: { ...ALLOW, reason: [] }, code: 'engine_fault', detail: 'no decision could be made' },
    { name: 'an error', answer: { ...ALLOW, errors: ['e'] }, code: 'policy_error', detail: 'a policy that applies failed to evaluate' },
  ])('$name denies with $code', async ({ answer, code, detail }) => {
    const { evaluator } = scripted(() => answer)
    expect(await decide({}, evaluator)).toMatchObject({ decision: 'deny', code, detail, arguments: '{"p":"x"}' })
  }) // biome-ignore format: a table

  test.each<{ name: string; evaluator: Evaluator }>([
    { name: 'rejects', evaluator: { evaluate: () => Promise.reject(new Error('x')) } },
    { name: 'answers too little', evaluator: { evaluate: async () => [] } },
  ])('an engine that $name denies everything', async ({ evaluator }) => {
    expect(await decide({}, evaluator)).toMatchObject({ decision: 'deny', code: 'engine_fault' })
    expect(await decide({ method: 'tools/list' }, evaluator)).toMatchObject({
      code: 'engine_fault',
    })
  })
})

describe('lists', () => {
  test.each([
    { method: 'tools/list', sets: ['list read'], want: { tools: ['read'], resources: false, prompts: false } },
    { method: 'tools/list', sets: [], want: { tools: [], resources: false, prompts: false } },
    { method: 'resources/list', sets: ['list resources/read'], want: { tools: [], resources: true, prompts: false } },
    { method: 'resources/templates/list', sets: ['list resources/read'], want: { tools: [], resources: true, prompts: false } },
    { method: 'prompts/list', sets: ['list prompts/get'], want: { tools: [], resources: false, prompts: true } },
    { method: 'prompts/list', sets: ['list resources/read'], want: { tools: [], resources: false, prompts: false } },
    { method: 'ping', sets: ['list read'], want: null },
  ])('$method with $sets shows $want', async ({ method, sets, want }) => {
    expect(await decide({ method }, only('set connect', ...sets))).toMatchObject({ decision: 'allow', visible: want })
  }) // biome-ignore format: a table

  test('whoever may not connect sees nothing', async () => {
    expect(await decide({ method: 'tools/list' }, only('list read'))).toMatchObject({
      decision: 'deny',
      visible: null,
    })
  })

  test('a list that the engine left open is no list', async () => {
    const { evaluator } = scripted(({ policySet }) =>
      policySet === 'list read' ? { kind: 'fault', cause: '' } : ALLOW,
    )
    expect(await decide({ method: 'tools/list' }, evaluator)).toMatchObject({
      decision: 'deny',
      code: 'engine_fault',
      policies: [],
      visible: null,
    })
  })
})

test('answers keep the order of the requests, lists and refusals between them', async () => {
  const { evaluator } = scripted(({ policySet }) => (policySet === 'set read' ? DENY : ALLOW))
  const requests = [{}, { method: 'tools/list' }, { method: 'nope' }, { method: 'ping' }, {}]
  const { authorize } = createAuthorizer({ bundle: BUNDLE, engine: evaluator })
  const answers = await authorize(requests.map((change) => ({ ...REQUEST, ...change })))
  expect(answers.map(({ code }) => code)).toEqual([
    'forbid',
    'permit',
    'unknown_method',
    'permit',
    'forbid',
  ])
  expect(answers[1]?.visible?.tools).toEqual(['__proto__', 'read'])
})

test.each([65_536, 65_537])(
  'arguments of %i characters are recorded: whole up to what can be decided, else by digest',
  async (length) => {
    const text = JSON.stringify({ x: 'x'.repeat(length - '{"x":""}'.length) })
    const params = { name: 'read', arguments: JSON.parse(text) as JsonObject }
    const answer = await decide({ params }, only())
    const digest = `sha256:${hash('sha256', text)};length=${length}`
    expect(answer?.arguments === text).toBe(length === 65_536)
    expect(answer?.arguments === digest).toBe(length === 65_537)
  },
)
