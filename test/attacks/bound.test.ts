// What a server coined for one caller is worth nothing to another: task ids, `requestState` and event ids of somebody else,
// of another server, for something else, changed, too old, or as the server itself spells them.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { REQUEST_STATE_MS_MAX } from '../../pep/src/limits.ts'
import { META } from '../../schemas/mcp.ts'
import { type Gateway, startGateway } from '../harness/gateway.ts'
import {
  legacyText,
  modern,
  type Params,
  type Request,
  type Told,
  tell,
} from '../harness/mcp-request.ts'
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

/** Refused before anything is decided: no record, nothing sent. */
async function expectRefused(request: Request, code: string): Promise<void> {
  const before = await gateway.recorded()
  const told = await tell(gateway, request)
  expect(told.said.code).toBe(code)
  expect(told.body).not.toMatch(/of-the-server/)
  expect(await gateway.recorded()).toBe(before)
  expect(gateway.upstream.reached).toEqual([])
}
async function expectPassed(request: Request): Promise<Told> {
  const before = await gateway.recorded()
  const told = await tell(gateway, request)
  expect(told).toMatchObject({ status: 200, isError: false, said: {} })
  expect(gateway.upstream.reached).toHaveLength(1)
  const [row] = await gateway.decisionsAfter(before)
  expect(row).toMatchObject({ id: told.headers['cedargate-decision'], verdict: 'allow' })
  return told
}
const another = async (): Promise<string> => {
  const wanted = {
    user: 'alice',
    agent: 'demo',
    servers: ['echo', 'twin'],
    teams: [],
    expiresInMs: 60_000,
  }
  return (await gateway.pdp.admin.createGrant(wanted)).token
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
    await expectPassed(about(taskId))
    expect(gateway.upstream.reached.map((one) => messageOf(one).params?.['taskId'])).toEqual([TASK])
    gateway.upstream.reached.length = 0
    await expectPassed(about(taskId))
  })

  test.each(['somebody else', 'another token of the same person', 'another server'])(
    'of the task of %s is refused',
    async (whose) => {
      const { taskId } = await coined(era)
      const bob = gateway.tokens.bob
      if (whose === 'another server')
        await expectRefused(about(taskId, { path: '/twin/mcp' }), 'unknown_task')
      else
        await expectRefused(
          about(taskId, { token: whose === 'somebody else' ? bob : await another() }),
          'unknown_task',
        )
    },
  )

  test.each(FORGED)('of $name is refused', async ({ forge }) => {
    const { taskId } = await coined(era)
    await expectRefused(about(forge(taskId)), 'unknown_task')
  })
})

describe('a message that is about a task', () => {
  const about = (related: unknown, more: Request = {}): Request => ({
    body: legacyText('tools/call', { ...ECHO, _meta: { [META.relatedTask]: related } }),
    ...more,
  })

  test('of its own passes, and names it as the server knows it', async () => {
    const { taskId } = await coined('legacy')
    await expectPassed(about({ taskId }))
    expect(gateway.upstream.reached[0]?.body).toContain(`"taskId":"${TASK}"`)
  })

  test('of somebody else, or as nobody bound it, is refused', async () => {
    const { taskId } = await coined('legacy')
    await expectRefused(about({ taskId }, { token: gateway.tokens.bob }), 'unknown_task')
    for (const { forge } of FORGED)
      await expectRefused(about({ taskId: forge(taskId) }), 'unknown_task')
    for (const odd of [TASK, 5, [taskId], {}, null]) await expectRefused(about(odd), 'unknown_task')
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
    const first = await expectPassed(again(requestState))
    expect(gateway.upstream.reached[0]?.body).toContain(`"requestState":"${STATE}"`)
    gateway.upstream.reached.length = 0
    const second = await expectPassed(again(requestState))
    expect(second.headers['cedargate-decision']).not.toBe(first.headers['cedargate-decision'])
  })

  test('of somebody else, of another token, of another server: refused', async () => {
    const { requestState } = await coined('modern', method, params)
    await expectRefused(again(requestState, { token: gateway.tokens.bob }), 'invalid_state')
    await expectRefused(again(requestState, { token: await another() }), 'invalid_state')
    await expectRefused(again(requestState, { path: '/twin/mcp' }), 'invalid_state')
  })

  test('for something else of the same server: refused', async () => {
    const { requestState } = await coined('modern', method, params)
    const other = method === 'resources/read' ? { uri: 'file:///b' } : { name: 'secret' }
    await expectRefused(again(requestState, {}, other), 'invalid_state')
    for (const name of ['tools/call', 'prompts/get'].filter((one) => one !== method)) {
      const elsewhere = modern(name, { name: params['name'] ?? 'x', arguments: {}, requestState })
      await expectRefused(elsewhere, 'invalid_state')
    }
  })

  test.each(FORGED)('of $name: refused', async ({ forge }) => {
    const { requestState } = await coined('modern', method, params)
    await expectRefused(again(forge(requestState)), 'invalid_state')
  })

  test('is too old after REQUEST_STATE_MS_MAX', async () => {
    const { requestState } = await coined('modern', method, params)
    skewMs = REQUEST_STATE_MS_MAX - 5_000
    await expectPassed(again(requestState))
    gateway.upstream.reached.length = 0
    skewMs = REQUEST_STATE_MS_MAX + 1
    await expectRefused(again(requestState), 'invalid_state')
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
  await expectRefused(modern('tasks/get', { taskId: requestState }), 'unknown_task')
  await expectRefused(modern('tools/call', { ...ECHO, requestState: taskId }), 'invalid_state')
  const request = { body: legacyText('tools/call', ECHO) }
  for (const id of [taskId, requestState])
    await expectRefused({ ...request, headers: { 'mcp-session-id': id } }, 'unknown_session')
})

describe('Last-Event-ID', () => {
  const INITIALIZE = legacyText('initialize', {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 't', version: '1' },
  })
  const resumed = (session: string | null, more: Request = {}): Request => ({
    method: 'GET',
    ...more,
    headers: { 'mcp-session-id': session, 'last-event-id': 'event-of-bob', ...more.headers },
  })
  const sessionOf = async (token: string): Promise<string> =>
    String((await tell(gateway, { body: INITIALIZE, token })).headers['mcp-session-id'])
  const seen = () => gateway.upstream.reached.map(({ headers }) => headers['last-event-id'])

  test('goes on within its own session', async () => {
    const session = await sessionOf(gateway.tokens.alice)
    gateway.upstream.reached.length = 0
    await tell(gateway, resumed(session))
    expect(seen()).toEqual(['event-of-bob'])
  })

  test('does not within that of somebody else', async () => {
    const session = await sessionOf(gateway.tokens.bob)
    gateway.upstream.reached.length = 0
    await expectRefused(resumed(session), 'unknown_session')
    await expectRefused(resumed(session, { path: '/twin/mcp' }), 'unknown_session')
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
