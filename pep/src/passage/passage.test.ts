// The passage: what of a server's messages reaches the client that asked, each by itself.

import { pino } from 'pino'
import { beforeEach, describe, expect, test } from 'vitest'
import { META } from '../../../schemas/mcp.ts'
import type { Verdict } from '../../../schemas/pep-api.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { GatewayError } from '../gateway-error.ts'
import { createBindings } from '../inbound/bindings.ts'
import type { Inbound } from '../inbound/receive.ts'
import { createPassage, type Passage } from './passage.ts'

const bindings = createBindings(() => 1_000_000)
bindings.use([{ server: 'demo', id: 'k', key: Buffer.alloc(32, 1).toString('base64url') }])

const CALL: Inbound = {
  requestId: 'r-1', server: 'demo', from: 'client', grant: 'alice', token: null, jwt: null, expiresAt: null, era: 'legacy', method: 'tools/call',
  kind: 'request', id: 7, tool: 'pay', params: { name: 'pay' }, text: '{}', session: undefined,
  headers: {}, client: null, sourceIp: null,
} // biome-ignore format: a request
const MODERN: Inbound = { ...CALL, era: 'modern' }
const GET: Inbound = { ...CALL, method: 'http:get', kind: 'stream', id: undefined }
const verdictOf = (decision: 'allow' | 'deny') =>
  ({
    decision,
    code: 'no_permit',
    decisionId: 'd-1',
    policies: [],
    text: 'not permitted',
    visible: null,
  }) as unknown as Verdict

let asked: JsonObject[]
let told: JsonObject[]
let decision: 'allow' | 'deny' | 'fault'
let changed: string[]
let instructions: boolean
beforeEach(() => {
  asked = []
  told = []
  changed = []
  decision = 'allow'
  instructions = false
})

function passageOf(inbound: Inbound): Passage {
  const ports = {
    bindings,
    showTools: () => [],
    onListed: () => undefined,
    onToolsChanged: (server: string) => changed.push(server),
    passesInstructions: () => instructions,
    log: pino({ level: 'silent' }),
    async ask(_of: Inbound, request: JsonObject) {
      asked.push(request)
      if (decision === 'fault') throw new GatewayError('pdp_unavailable', 'no answer')
      return Promise.resolve(verdictOf(decision))
    },
  }
  return createPassage(ports, inbound, verdictOf('allow'))
}
const pass = (message: JsonObject, inbound: Inbound = CALL, passage = passageOf(inbound)) =>
  passage.pass({ jsonrpc: '2.0', ...message }, (text) => told.push(JSON.parse(text) as JsonObject))
const SAMPLING = { id: 's', method: 'sampling/createMessage', params: { maxTokens: 1 } }
const FORM = { method: 'elicitation/create', params: { message: 'name?' } }

describe('an answer', () => {
  test('passes as the object it is, and is known to be an error or none', () => {
    const message = { jsonrpc: '2.0', id: 7, result: { content: [], isError: true } }
    const passage = passageOf(CALL)
    expect(passage.pass(message, () => undefined)).toBe(message)
    expect(passage.answered()).toEqual({ isError: true })
  })

  test.each([
    { name: 'no jsonrpc', message: { jsonrpc: '1.0', id: 7, result: {} } },
    { name: 'a member that is none', message: { id: 7, result: {}, Result: {} } },
    { name: 'result and error', message: { id: 7, result: {}, error: {} } },
    { name: 'neither', message: { id: 7 } },
    { name: 'a text', message: { id: 7, result: 'text' } },
    { name: 'a respelled member', message: { id: 7, result: { ResultType: 'input_required' } } },
    { name: 'a method that is none', message: { method: 7 } },
    { name: 'a request without an id', message: { method: 'ping', id: null } },
    { name: 'a request that answers', message: { method: 'ping', id: 1, result: {} } },
  ])('of the server that is unusable is refused: $name', ({ message }) => {
    expect(() => pass(message)).toThrow(expect.objectContaining({ code: 'upstream_invalid' }))
  })

  test.each([CALL, MODERN, { ...CALL, kind: 'notification', id: undefined } as const])(
    'to another request does not pass on the stream of this one',
    (inbound) => {
      expect(pass({ id: 8, result: { tools: [] } }, inbound)).toBeNull()
    },
  )

  test('to another request passes on a resumed stream, but for lists', () => {
    expect(pass({ id: 8, result: { content: [] } }, GET)).toMatchObject({ result: { content: [] } })
    expect(pass({ id: 8, result: { tools: [] } }, GET)).toMatchObject({ error: { code: -31002 } })
  })
})

describe('a description of itself', () => {
  const result = { serverInfo: { name: 's', version: '1' }, instructions: 'obey', capabilities: {} }
  const { instructions: _, ...without } = result
  const initialize: Inbound = { ...CALL, method: 'initialize' }
  const discover: Inbound = { ...MODERN, method: 'server/discover' }

  test('has no instructions for a model unless they may pass', () => {
    expect(pass({ id: 7, result }, initialize)).toMatchObject({ result: without })
    expect(pass({ id: 7, result }, initialize)).not.toHaveProperty('result.instructions')
    expect(pass({ id: 7, result }, GET)).not.toHaveProperty('result.instructions')
    instructions = true
    expect(pass({ id: 7, result }, initialize)).toMatchObject({ result })
  })

  test('is for one caller, and for a moment', () => {
    const cached = { ...result, ttlMs: 3_600_000, cacheScope: 'public' }
    expect(pass({ id: 7, result: cached }, discover)).toMatchObject({
      result: { ...without, ttlMs: 5_000, cacheScope: 'private' },
    })
    const read = { ...MODERN, method: 'resources/read' }
    expect(pass({ id: 7, result: { cacheScope: 'public', ttlMs: 9_000 } }, read)).toMatchObject({
      result: { cacheScope: 'private', ttlMs: 9_000 },
    })
  })
})

describe('a request of the server', () => {
  test('reaches the client once it was allowed, as it was decided', async () => {
    expect(await pass(SAMPLING)).toEqual({ jsonrpc: '2.0', ...SAMPLING })
    expect(asked).toEqual([{ jsonrpc: '2.0', ...SAMPLING }])
    expect(told).toEqual([])
  })

  test.each([
    { rules: 'deny', code: -31001 },
    { rules: 'fault', code: -31002 },
  ] as const)('that gets a $rules does not, and the server is told', async ({ rules, code }) => {
    decision = rules
    expect(await pass(SAMPLING)).toBeNull()
    expect(told).toMatchObject([{ id: 's', error: { code } }])
  })

  test('that the gateway does not know is refused without asking', () => {
    expect(pass({ id: 's', method: 'tasks/list' })).toBeNull()
    expect(asked).toEqual([])
    expect(told).toMatchObject([{ id: 's', error: { code: -32601 } }])
  })

  test('to see whether somebody is there is nobody’s to decide', () => {
    const ping = { jsonrpc: '2.0', id: 1, method: 'ping' }
    expect(passageOf(CALL).pass(ping, () => undefined)).toBe(ping)
  })

  test('does not exist in the modern era', () => {
    expect(() => pass(SAMPLING, MODERN)).toThrow(GatewayError)
  })
})

const required = (requests: JsonObject): JsonObject => {
  return {
    id: 7,
    result: { resultType: 'input_required', inputRequests: requests, requestState: 'st' },
  }
}

describe('what an answer asks of the client', () => {
  test('is decided, one by one, and the state is bound to this call', async () => {
    const { id: _, ...sampling } = SAMPLING
    const got = await pass(required({ a: sampling, b: FORM }), MODERN)
    expect(asked.map(({ id, method }) => [id, method])).toEqual([
      ['a', 'sampling/createMessage'],
      ['b', 'elicitation/create'],
    ])
    const state = (got as { result: { requestState: string } }).result.requestState
    const owner = { server: 'demo', grant: 'alice' }
    expect(bindings.open('state', { ...owner, use: 'tools/call pay' }, state)).toBe('st')
    expect(() => bindings.open('state', { ...owner, use: 'tools/call get' }, state)).toThrow(
      GatewayError,
    )
  })

  test('denied, denies the answer in the form that a model is shown', async () => {
    decision = 'deny'
    expect(await pass(required({ a: FORM }), MODERN)).toEqual({
      jsonrpc: '2.0',
      id: 7,
      result: {
        resultType: 'complete',
        content: [{ type: 'text', text: 'not permitted' }],
        isError: true,
        _meta: { [META.decision]: { decisionId: 'd-1', code: 'no_permit', policies: [] } },
      },
    })
  })

  test.each([
    { name: 'a method that no server has', requests: { a: { method: 'tools/call' } } },
    { name: 'no method', requests: { a: {} } },
    { name: 'no request', requests: { a: 'x' } },
    { name: 'no list of them', requests: ['x'] },
    {
      name: 'too many',
      requests: Object.fromEntries(Array.from({ length: 33 }, (_, at) => [`k${at}`, FORM])),
    },
  ])('and cannot be read is refused: $name', async ({ requests }) => {
    const got = async () => pass(required(requests as unknown as JsonObject), MODERN)
    await expect(got()).rejects.toThrow(expect.objectContaining({ code: 'upstream_invalid' }))
  })

  describe('in a task', () => {
    const look = { ...MODERN, method: 'tasks/get', tool: undefined }
    const task = { taskId: 't1', status: 'input_required', inputRequests: { a: FORM } }
    const message = { id: 7, result: { resultType: 'complete', ...task } }

    test('is decided like any other', async () => {
      expect(await pass(message, look)).toMatchObject({ result: { inputRequests: { a: FORM } } })
      expect(asked).toMatchObject([{ id: 'a', ...FORM }])
      decision = 'deny'
      expect(await pass(message, look)).toMatchObject({ error: { code: -31001 } })
    })

    test('is a complete answer to who looks at it, and to nobody else', () => {
      expect(() => pass(message, MODERN)).toThrow(/it is complete/)
      expect(asked).toEqual([])
    })

    test.each([
      { name: 'as it is', result: { inputRequests: { a: FORM } } },
      { name: 'in another case', result: { InputRequests: { a: FORM } } },
    ])('that has ended is refused: $name', ({ result }) => {
      const ended = { taskId: 't1', status: 'completed' }
      const content = { id: 7, result: { ...ended, result: { content: [] } } }
      expect(pass(content, look)).toMatchObject({ result: { result: { content: [] } } })
      expect(() => pass({ id: 7, result: { ...ended, result } }, look)).toThrow(GatewayError)
    })

    test.each([
      { rules: 'allow', want: expect.objectContaining({ method: 'notifications/tasks' }) },
      { rules: 'deny', want: null },
      { rules: 'fault', want: null },
    ] as const)('is told of on a stream only when allowed: $rules', async ({ rules, want }) => {
      decision = rules
      expect(await pass({ method: 'notifications/tasks', params: task }, GET)).toEqual(want)
      expect(asked).toMatchObject([{ id: 'a', ...FORM }])
    })
  })

  test('as an error of 2025-11-25 is decided too', async () => {
    const data = { elicitations: [{ mode: 'url', url: 'https://a.example/', elicitationId: 'e' }] }
    const error = { code: -32042, message: 'first log in', data }
    expect(await pass({ id: 7, error })).toMatchObject({ error })
    expect(asked).toMatchObject([{ method: 'elicitation/create', params: data.elicitations[0] }])
    decision = 'deny'
    expect(await pass({ id: 7, error })).toMatchObject({ result: { isError: true } })
    expect(() => pass({ id: 7, error: { code: -32042, message: 'x' } })).toThrow(GatewayError)
  })
})

const opened = (id: unknown) =>
  bindings.open('task', { server: 'demo', grant: 'alice' }, String(id))

describe('a task', () => {
  type Named = { readonly taskId?: string }
  type Got = Named & { readonly task?: Named; readonly _meta?: Readonly<Record<string, Named>> }

  test.each([
    {
      name: 'made by a call',
      result: { task: { taskId: 't1', status: 'working' } },
      at: (got: Got) => got.task?.taskId,
    },
    {
      name: 'looked at',
      result: { taskId: 't1', status: 'working' },
      at: (got: Got) => got.taskId,
    },
    {
      name: 'that a result is of',
      result: { content: [], _meta: { [META.relatedTask]: { taskId: 't1' } } },
      at: (got: Got) => got._meta?.[META.relatedTask]?.taskId,
    },
  ])('$name has the name that only its caller can use', async ({ result, at }) => {
    const got = (await pass({ id: 7, result })) as { result: Got }
    expect(JSON.stringify(got)).not.toContain('"t1"')
    expect(opened(at(got.result))).toBe('t1')
  })

  test('is named alike in notifications', () => {
    const message = {
      method: 'notifications/tasks/status',
      params: { taskId: 't1', status: 'working' },
    }
    const got = pass(message) as { params: { taskId: string } }
    expect(opened(got.params.taskId)).toBe('t1')
  })

  describe('in a subscription', () => {
    const listen: Inbound = {
      ...MODERN,
      method: 'subscriptions/listen',
      params: { notifications: { taskIds: ['t1'] } },
    }
    const state = { method: 'notifications/tasks', params: { taskId: 't1', status: 'working' } }

    test('that names it is told of by the name that its caller knows', () => {
      const got = pass(state, listen) as { params: { taskId: string } }
      expect(opened(got.params.taskId)).toBe('t1')
    })

    test('that does not name it is not told of', () => {
      expect(pass({ ...state, params: { taskId: 't2' } }, listen)).toBeNull()
      const { params: _, ...open } = listen
      expect(pass(state, { ...open, params: { notifications: {} } })).toBeNull()
    })

    test('is agreed to by the name that its caller knows', () => {
      const method = 'notifications/subscriptions/acknowledged'
      const agreed = { toolsListChanged: true, taskIds: ['t1'] }
      const got = pass({ method, params: { notifications: agreed } }, listen) as {
        params: { notifications: { toolsListChanged: boolean; taskIds: string[] } }
      }
      const { toolsListChanged, taskIds } = got.params.notifications
      expect([toolsListChanged, taskIds.map(opened)]).toEqual([true, ['t1']])
    })

    test.each(['t1', [7]])('cannot be agreed to in another form: %j', (taskIds) => {
      const method = 'notifications/subscriptions/acknowledged'
      const agreed = { method, params: { notifications: { taskIds } } }
      expect(() => pass(agreed, listen)).toThrow(GatewayError)
    })
  })
})

describe('a notification', () => {
  test('of tools that changed passes, and is heard', () => {
    expect(pass({ method: 'notifications/tools/list_changed' })).not.toBeNull()
    expect(changed).toEqual(['demo'])
  })

  test('that the protocol does not know does not pass', () => {
    expect(pass({ method: 'notifications/claude/channel', params: { content: 'obey' } })).toBeNull()
  })

  test('of a resource passes to a subscription of it or of what it is part of, and to no other', () => {
    const notifications = { resourceSubscriptions: ['file:///a'] }
    const listen = { ...MODERN, method: 'subscriptions/listen', params: { notifications } }
    const updated = (uri: string) => {
      return pass({ method: 'notifications/resources/updated', params: { uri } }, listen)
    }
    expect(updated('file:///a')).not.toBeNull()
    expect(updated('file:///a/b')).not.toBeNull()
    expect(updated('file:///b')).toBeNull()
  })
})

test('in place of an answer that cannot be had, a request gets one, and a stream none', () => {
  expect(passageOf(CALL).refuse('upstream_timeout')).toMatchObject({
    id: 7,
    result: { isError: true },
  })
  expect(passageOf({ ...CALL, method: 'prompts/get' }).refuse('upstream_timeout')).toMatchObject({
    error: { code: -31002, data: { code: 'upstream_timeout' } },
  })
  expect(passageOf(GET).refuse('upstream_timeout')).toBeUndefined()
})
