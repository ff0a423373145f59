// What a server coined for one caller is worth nothing to another: task ids, `requestState` and event ids of somebody else,
// of another server, for something else, changed, too old, or as the server itself spells them.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { REQUEST_STATE_MS_MAX } from '../../pep/src/limits.ts'
import { META } from '../../schemas/mcp.ts'
import { type Gateway, startGateway } from '../harness/gateway.ts'
import { legacyText, modern, type Params, type Request, tell } from '../harness/mcp-request.ts'
import { answerJson, messageOf } from '../harness/upstream.ts'

const POLICIES = `
@id("gateway/discovery")
permit (principal == MCP::Agent::"cedargate", action == MCP::Action::"connect", resource);
@id("staff/connect")
permit (principal in MCP::Team::"staff", action == MCP::Action::"connect", resource);
@id("staff/everything")
permit (principal in MCP::Team::"staff", action in MCP::Action::"all", resource);
@id("staff/items")
permit (principal in MCP::Team::"staff", action in [MCP::Action::"resources/read", MCP::Action::"prompts/get"], resource);
@id("echo/no-secrets")
forbid (principal, action == MCP::Action::"echo/echo", resource)
when { context.args has message && context.args.message like "*secret*" };
`
let gateway: Gateway
/** Of the PEP's calendar. */
let skewMs = 0
beforeAll(async () => {
  gateway = await startGateway({ policies: POLICIES, now: () => Date.now() + skewMs })
})
afterAll(() => gateway.stop())
beforeEach(() => {
  gateway.upstream.reset()
  skewMs = 0
})

const TASK = 'task-of-the-server'
const STATE = 'state-of-the-server'
type Era = 'legacy' | 'modern'
const requestOf = (
  era: Era,
  method: string,
  params: Params,
): Request & { readonly body: string } =>
  era === 'modern' ? modern(method, params) : { body: legacyText(method, params) }

/** One answer with a task and a state in it, to whoever asks. */
async function coined(era: Era, method = 'tools/call', params: Params = ECHO, token?: string) {
  gateway.upstream.answer = (request, response) => {
    const result = {
      resultType: 'input_required',
      requestState: STATE,
      taskId: TASK,
      task: { taskId: TASK },
    }
    answerJson(response, { jsonrpc: '2.0', id: messageOf(request).id, result })
  }
  const own = token === undefined ? {} : { token }
  const { body } = await tell(gateway, { ...requestOf(era, method, params), ...own })
  expect(body).not.toContain(TASK)
  expect(body).not.toContain(STATE)
  gateway.upstream.reset()
  return (JSON.parse(body) as { result: { requestState: string; taskId: string } }).result
}
const ECHO = { name: 'echo', arguments: { message: 'hi' } }

type Tried = {
  readonly code: string | undefined
  /** Whether the client got to see anything as the server spells it. */
  readonly isLeaked: boolean
  readonly recorded: number
  readonly reached: number
  readonly decision: string | undefined
}
async function tried(request: Request): Promise<Tried> {
  const before = await gateway.recorded()
  const reachedBefore = gateway.upstream.reached.length
  const { said, body } = await tell(gateway, request)
  const rows = await gateway.decisionsAfter(before)
  return {
    code: said.code,
    isLeaked: /of-the-server/.test(body),
    recorded: rows.filter(({ verdict }) => verdict === 'allow').length,
    reached: gateway.upstream.reached.length - reachedBefore,
    decision: rows.at(-1)?.id,
  }
}
/** Before anything is decided: no record, nothing sent. */
const refused = (code: string): Tried => {
  return { code, isLeaked: false, recorded: 0, reached: 0, decision: undefined }
}
const PASSED = { code: undefined, recorded: 1, reached: 1 }
const WANTED = {
  user: 'alice',
  agent: 'demo',
  servers: ['echo', 'twin'],
  teams: [],
  expiresInMs: 60_000,
}
const another = async (): Promise<string> => (await gateway.pdp.admin.createGrant(WANTED)).token
/** The token of a new grant, and what gives it the next one. */
const rotating = async (): Promise<[string, () => Promise<string>]> => {
  const { id, token } = await gateway.pdp.admin.createGrant(WANTED)
  return [token, async () => (await gateway.pdp.admin.rotateGrant(id))?.token ?? '']
}
/** With another letter in the middle of the part at `at`. */
const changed = (bound: string, at: number): string => {
  const parts = bound.split('.')
  const part = parts[at] ?? ''
  const middle = part.length >> 1
  parts[at] = `${part.slice(0, middle)}${part[middle] === 'A' ? 'B' : 'A'}${part.slice(middle + 1)}`
  return parts.join('.')
}
const FORGED: readonly { readonly name: string; readonly forge: (bound: string) => unknown }[] = [
  { name: "the server's own", forge: (bound) => Buffer.from(bound.split('.')[3] ?? '', 'base64url').toString() },
  { name: 'another value', forge: (bound) => changed(bound, 3) },
  { name: 'another proof', forge: (bound) => changed(bound, 4) },
  { name: 'no proof', forge: (bound) => bound.slice(0, bound.lastIndexOf('.')) },
  { name: 'an empty proof', forge: (bound) => bound.slice(0, bound.lastIndexOf('.') + 1) },
  { name: 'another time', forge: (bound) => changed(bound, 2) },
  { name: 'more behind it', forge: (bound) => `${bound}.x` },
  { name: 'nothing', forge: () => '' },
  { name: 'a number', forge: () => 5 },
  { name: 'a list', forge: (bound) => [bound] },
  { name: 'an object', forge: () => ({ toString: 5 }) },
] // biome-ignore format: a table

describe.each<{ method: string; era: Era }>([
  { method: 'tasks/get', era: 'legacy' },
  { method: 'tasks/result', era: 'legacy' },
  { method: 'tasks/cancel', era: 'legacy' },
  { method: 'tasks/get', era: 'modern' },
  { method: 'tasks/update', era: 'modern' },
  { method: 'tasks/cancel', era: 'modern' },
])('$era $method', ({ method, era }) => {
  const about = (taskId: unknown, more: Request = {}): Request => ({
    ...requestOf(era, method, { taskId }),
    ...more,
  })

  test('of its own task passes, each time decided again, and names it as the server knows it', async () => {
    const { taskId } = await coined(era)
    expect(await tried(about(taskId))).toMatchObject(PASSED)
    expect(gateway.upstream.reached.map((one) => messageOf(one).params?.['taskId'])).toEqual([TASK])
    gateway.upstream.reached.length = 0
    expect(await tried(about(taskId))).toMatchObject(PASSED)
  })

  test.each<{ whose: string; request: (taskId: string) => Request | Promise<Request> }>([
    { whose: 'somebody else', request: (id) => about(id, { token: gateway.tokens.bob }) },
    { whose: 'another grant', request: async (id) => about(id, { token: await another() }) },
    { whose: 'another server', request: (id) => about(id, { path: '/twin/mcp' }) },
  ])('of the task of $whose is refused', async ({ request }) => {
    const { taskId } = await coined(era)
    expect(await tried(await request(taskId))).toEqual(refused('unknown_task'))
  })

  test('goes on with the next token of its grant', async () => {
    const [token, rotate] = await rotating()
    const { taskId } = await coined(era, 'tools/call', ECHO, token)
    expect(await tried(about(taskId, { token: await rotate() }))).toMatchObject(PASSED)
  })

  test.each(FORGED)('of $name is refused', async ({ forge }) => {
    const { taskId } = await coined(era)
    expect(await tried(about(forge(taskId)))).toEqual(refused('unknown_task'))
  })
})

const relating = (related: unknown, more: Request = {}): Request => ({
  body: legacyText('tools/call', { ...ECHO, _meta: { [META.relatedTask]: related } }),
  ...more,
})

describe('a message that is about a task', () => {
  test('of its own passes, and names it as the server knows it', async () => {
    const { taskId } = await coined('legacy')
    expect(await tried(relating({ taskId }))).toMatchObject(PASSED)
    expect(gateway.upstream.reached[0]?.body).toContain(`"taskId":"${TASK}"`)
  })

  test('of somebody else, or as nobody bound it, is refused', async () => {
    const { taskId } = await coined('legacy')
    expect(await tried(relating({ taskId }, { token: gateway.tokens.bob }))).toEqual(
      refused('unknown_task'),
    )
    for (const { forge } of FORGED)
      expect(await tried(relating({ taskId: forge(taskId) }))).toEqual(refused('unknown_task'))
    for (const odd of [TASK, 5, [taskId], {}, null])
      expect(await tried(relating(odd))).toEqual(refused('unknown_task'))
  })
})

describe.each<{ method: string; params: Params }>([
  { method: 'tools/call', params: ECHO },
  { method: 'prompts/get', params: { name: 'hello' } },
  { method: 'resources/read', params: { uri: 'file:///a' } },
])('a state of $method', ({ method, params }) => {
  const again = (requestState: unknown, more: Request = {}, change: Params = {}): Request => ({
    ...modern(method, { ...params, ...change, inputResponses: {}, requestState }),
    ...more,
  })

  test('comes back as the server spelled it; a replay is decided again, each on record', async () => {
    const { requestState } = await coined('modern', method, params)
    const first = await tried(again(requestState))
    expect(first).toMatchObject(PASSED)
    expect(gateway.upstream.reached[0]?.body).toContain(`"requestState":"${STATE}"`)
    gateway.upstream.reached.length = 0
    const second = await tried(again(requestState))
    expect(second).toMatchObject(PASSED)
    expect(second.decision).not.toBe(first.decision)
  })

  test('of somebody else, of another grant, of another server: refused', async () => {
    const { requestState } = await coined('modern', method, params)
    expect(await tried(again(requestState, { token: gateway.tokens.bob }))).toEqual(
      refused('invalid_state'),
    )
    expect(await tried(again(requestState, { token: await another() }))).toEqual(
      refused('invalid_state'),
    )
    expect(await tried(again(requestState, { path: '/twin/mcp' }))).toEqual(
      refused('invalid_state'),
    )
  })

  test('goes on with the next token of its grant', async () => {
    const [token, rotate] = await rotating()
    const { requestState } = await coined('modern', method, params, token)
    expect(await tried(again(requestState, { token: await rotate() }))).toMatchObject(PASSED)
  })

  test('for something else of the same server: refused', async () => {
    const { requestState } = await coined('modern', method, params)
    const other = method === 'resources/read' ? { uri: 'file:///b' } : { name: 'secret' }
    expect(await tried(again(requestState, {}, other))).toEqual(refused('invalid_state'))
    for (const name of ['tools/call', 'prompts/get'].filter((one) => one !== method)) {
      const elsewhere = modern(name, { name: params['name'] ?? 'x', arguments: {}, requestState })
      expect(await tried(elsewhere)).toEqual(refused('invalid_state'))
    }
  })

  test.each(FORGED)('of $name: refused', async ({ forge }) => {
    const { requestState } = await coined('modern', method, params)
    expect(await tried(again(forge(requestState)))).toEqual(refused('invalid_state'))
  })

  test('is too old after REQUEST_STATE_MS_MAX', async () => {
    const { requestState } = await coined('modern', method, params)
    skewMs = REQUEST_STATE_MS_MAX - 5_000
    expect(await tried(again(requestState))).toMatchObject(PASSED)
    gateway.upstream.reached.length = 0
    skewMs = REQUEST_STATE_MS_MAX + 1
    expect(await tried(again(requestState))).toEqual(refused('invalid_state'))
  })
})

test('a state does not carry a call past its policy: other arguments are decided as such', async () => {
  const { requestState } = await coined('modern')
  const request = modern('tools/call', {
    name: 'echo',
    arguments: { message: 'a secret' },
    requestState,
  })
  const { said } = await tell(gateway, request)
  expect(said).toMatchObject({ code: 'forbid', policies: ['echo/no-secrets'] })
  expect(gateway.upstream.reached).toEqual([])
})

test('a task is worth nothing as a state or session, nor the other way round', async () => {
  const { requestState, taskId } = await coined('modern')
  expect(await tried(modern('tasks/get', { taskId: requestState }))).toEqual(
    refused('unknown_task'),
  )
  expect(await tried(modern('tools/call', { ...ECHO, requestState: taskId }))).toEqual(
    refused('invalid_state'),
  )
  const request = { body: legacyText('tools/call', ECHO) }
  for (const id of [taskId, requestState])
    expect(await tried({ ...request, headers: { 'mcp-session-id': id } })).toEqual(
      refused('unknown_session'),
    )
})

const resumed = (session: string | null, more: Request = {}): Request => ({
  method: 'GET',
  ...more,
  headers: { 'mcp-session-id': session, 'last-event-id': 'event-of-bob', ...more.headers },
})

const seen = () => gateway.upstream.reached.map(({ headers }) => headers['last-event-id'])

describe('Last-Event-ID', () => {
  const INITIALIZE = legacyText('initialize', {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 't', version: '1' },
  })
  const sessionOf = async (token: string): Promise<string> =>
    String((await tell(gateway, { body: INITIALIZE, token })).headers['mcp-session-id'])

  test('goes on within its own session', async () => {
    const session = await sessionOf(gateway.tokens.alice)
    gateway.upstream.reached.length = 0
    await tell(gateway, resumed(session))
    expect(seen()).toEqual(['event-of-bob'])
  })

  test('does not within that of somebody else', async () => {
    const session = await sessionOf(gateway.tokens.bob)
    gateway.upstream.reached.length = 0
    expect(await tried(resumed(session))).toEqual(refused('unknown_session'))
    expect(await tried(resumed(session, { path: '/twin/mcp' }))).toEqual(refused('unknown_session'))
  })

  test('does not without a session, nor with a message', async () => {
    const session = await sessionOf(gateway.tokens.alice)
    gateway.upstream.reached.length = 0
    await tell(gateway, resumed(null))
    const call = { method: 'POST', body: legacyText('tools/call', ECHO) }
    await tell(gateway, resumed(null, call))
    await tell(gateway, resumed(session, call))
    const now = modern('tools/call', ECHO)
    await tell(gateway, { ...now, headers: { ...now.headers, 'last-event-id': 'event-of-bob' } })
    expect(seen()).toEqual([undefined, undefined, undefined, undefined])
  })
})
