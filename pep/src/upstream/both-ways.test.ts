// What servers ask and say on streams, over real sockets: decided, passed, answered for, and known to every replica.

import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { META } from '../../../schemas/mcp.ts'
import type { Visible } from '../../../schemas/pep-api.ts'
import {
  answerJson,
  clientHeaders,
  countingSql,
  createTestPdp,
  digestOf,
  modern,
  openTestUpstream,
  parsed,
  post,
  type Reached,
  type RunningTestPep,
  startTestPep,
  type TestPdp,
  type TestUpstream,
  testToken,
  toolCall,
  until,
} from '../testing.ts'

const VISIBLE: Visible = { tools: ['echo'], resources: true, prompts: true }
let pdp: TestPdp
let server: TestUpstream
let plainly: TestUpstream['answer']
let pep: RunningTestPep
let replica: RunningTestPep
let url: string

beforeAll(async () => {
  server = await openTestUpstream('demo')
  plainly = server.answer
  pdp = createTestPdp([server.upstream])
  pep = await startTestPep({ pdp: pdp.port, sql: countingSql() })
  replica = await startTestPep({ pdp: pdp.port, sql: countingSql() })
  url = `${pep.url}/demo/mcp`
})
afterAll(async () => {
  await Promise.all([pep.close(), replica.close()])
  await server.close()
})
beforeEach(() => {
  server.answer = plainly
  server.reached.length = 0
  pdp.calls.length = 0
  pdp.outcomes.length = 0
  pdp.rule = () => ({ allow: true, visible: VISIBLE })
  pdp.lists = () => VISIBLE
})

const eventsOf = (...messages: readonly object[]): string =>
  messages.map((one) => `data: ${JSON.stringify({ jsonrpc: '2.0', ...one })}\n\n`).join('')
const begin = (response: ServerResponse, ...messages: readonly object[]) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.write(eventsOf(...messages))
}
/** Answers calls by `answer`, and what the gateway tells of its own with 202. */
const answerCalls = (answer: (request: Reached, response: ServerResponse) => void) => {
  server.answer = (reached, response) => {
    const { method } = parsed(reached)
    if (reached.method === 'POST' && method === undefined) response.writeHead(202).end()
    else if (
      method === 'tools/call' ||
      method === 'subscriptions/listen' ||
      reached.method === 'GET'
    )
      answer(reached, response)
    else plainly(reached, response)
  }
}
/** Reads an open answer as it grows. */
const listening = (answer: NodeJS.ReadableStream) => {
  let text = ''
  let over = false
  answer.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  answer
    .on('error', () => undefined)
    .on('close', () => {
      over = true
    })
  return { text: () => text, isOver: () => over }
}
const open = async (message: object, headers: Record<string, string> = {}, to = url) => {
  const body = JSON.stringify({ jsonrpc: '2.0', ...message })
  const own = { ...clientHeaders(), ...headers }
  const answer = await request(to, { method: 'POST', headers: own, body })
  return { ...listening(answer.body), body: answer.body, status: answer.statusCode }
}
const SAMPLING = {
  id: 's-1',
  method: 'sampling/createMessage',
  params: { maxTokens: 5, messages: [] },
}
const DONE = { id: 1, result: { content: [] } }
const toldServer = () =>
  server.reached.filter(
    ({ method, body }) => method === 'POST' && parsed({ body } as Reached).method === undefined,
  )

describe('a request of the server on the stream of a call', () => {
  beforeEach(() => {
    answerCalls((_request, response) => {
      begin(response, SAMPLING)
      setTimeout(() => response.end(eventsOf(DONE)), 50)
    })
  })

  test('is decided as the server’s, recorded, and reaches the client', async () => {
    const { text } = await post(url, toolCall())
    expect(text).toContain('"sampling/createMessage"')
    expect(pdp.calls.map(({ from, method }) => [from, method])).toEqual([
      ['client', 'tools/call'],
      ['server', 'sampling/createMessage'],
    ])
    expect(pdp.calls[1]?.message).toBe(JSON.stringify({ jsonrpc: '2.0', ...SAMPLING }))
    await until(() => pdp.outcomes.length >= 2)
    expect(toldServer()).toEqual([])
  })

  test('that is denied never does; the server is told, and the call goes on', async () => {
    pdp.rule = ({ from }) =>
      from === 'server' ? { deny: 'no_permit', text: 'no sampling here' } : { allow: true }
    const { text, json } = await post(url, toolCall(), { 'mcp-protocol-version': '2025-11-25' })
    expect(text).not.toContain('sampling')
    expect(json.result).toEqual({ content: [] })
    await until(() => toldServer().length === 1)
    const [told] = toldServer()
    expect(JSON.parse(told?.body ?? '')).toMatchObject({
      id: 's-1',
      error: { code: -31001, message: 'no sampling here' },
    })
    expect(told?.headers).toMatchObject({ 'mcp-protocol-version': '2025-11-25' })
    expect(told?.headers).not.toHaveProperty('authorization')
  })
})

describe('an answer that breaks off', () => {
  test.each([
    { name: 'cut', end: (response: ServerResponse) => response.destroy() },
    { name: 'ended', end: (response: ServerResponse) => response.end() },
  ])('is said to be one, where nothing can be resumed: $name', async ({ end }) => {
    answerCalls((_request, response) => {
      begin(response, { method: 'notifications/progress', params: {} })
      setTimeout(() => end(response), 20)
    })
    const { json, headers } = await post(url, toolCall())
    expect(json).toMatchObject({ id: 1, result: { isError: true } })
    const outcome = () =>
      pdp.outcomes.find(({ decisionId }) => decisionId === headers['cedargate-decision'])
    await until(() => outcome() !== undefined)
    expect(outcome()?.result).toBe('unknown')
  })

  test('may be resumed in the legacy era, where its events have ids', async () => {
    answerCalls((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.end('id: 1\nretry: 10\ndata: \n\n')
    })
    expect((await post(url, toolCall())).text).toBe('id: 1\nretry: 10\ndata: \n\n')
    const { message, headers } = modern(toolCall())
    expect((await post(url, message, headers)).json).toMatchObject({ result: { isError: true } })
  })

  test('in the middle of JSON is said to be one', async () => {
    answerCalls((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
      response.write('{"jsonrpc":"2.0",')
      setTimeout(() => response.destroy(), 20)
    })
    const { status, json } = await post(url, toolCall())
    expect([status, json.result?.['isError']]).toEqual([200, true])
  })
})

const urisOf = (count: number) => Array.from({ length: count }, (_, at) => `a:${at}`)

const subscribeTo = (count: number) => {
  const notifications = { resourceSubscriptions: urisOf(count) }
  const { message, headers } = modern({
    id: 'sub',
    method: 'subscriptions/listen',
    params: { notifications },
  })
  return post(url, message, headers)
}

describe('a subscription', () => {
  const LISTEN = {
    id: 'sub-1',
    method: 'subscriptions/listen',
    params: { notifications: { toolsListChanged: true, resourceSubscriptions: ['a:1', 'b:2'] } },
  }
  const ACK = { method: 'notifications/subscriptions/acknowledged', params: {} }

  test('names only the resources that its caller may read, each decided by itself', async () => {
    answerCalls((_request, response) => begin(response, ACK))
    pdp.rule = ({ method, message }) =>
      method === 'listen:resource' && message.includes('b:2')
        ? { deny: 'no_permit' }
        : { allow: true }
    const { message, headers } = modern(LISTEN)
    const { text, body } = await open(message, headers)
    await until(() => text().includes('acknowledged'))
    expect(pdp.calls.map(({ method }) => method)).toEqual([
      'listen:resource', 'listen:resource', 'subscriptions/listen',
    ]) // biome-ignore format: a list
    const { params } = JSON.parse(server.reached.at(-1)?.body ?? '') as typeof LISTEN
    expect(params.notifications).toEqual({ toolsListChanged: true, resourceSubscriptions: ['a:1'] })
    body.destroy()
  })

  test('is told when what its caller may see has changed, and only then', async () => {
    answerCalls((_request, response) => begin(response, ACK))
    const wanting = modern(LISTEN)
    const { notifications: _, ...rest } = LISTEN.params
    const without = modern({ ...LISTEN, id: 'sub-2', params: { ...rest, notifications: {} } })
    const [told, other] = await Promise.all([
      open(wanting.message, wanting.headers),
      open(without.message, without.headers),
    ])
    await until(() => told.text().includes('acknowledged') && other.text().includes('acknowledged'))
    await post(url, { id: 2, method: 'tools/list' })
    pdp.tell({ kind: 'bundle', bundle: 'c'.repeat(64) })
    await sleep(200)
    expect(told.text()).not.toContain('list_changed')
    pdp.lists = () => ({ ...VISIBLE, tools: [] })
    pdp.tell({ kind: 'bundle', bundle: 'd'.repeat(64) })
    await until(() => told.text().includes('list_changed'))
    const data = told.text().trimEnd().split('data: ').at(-1) ?? ''
    expect(JSON.parse(data)).toEqual({
      jsonrpc: '2.0',
      method: 'notifications/tools/list_changed',
      params: { _meta: { [META.subscriptionId]: 'sub-1' } },
    })
    expect(other.text()).not.toContain('list_changed')
    told.body.destroy()
    other.body.destroy()
  })

  test('to tasks speaks to each side of them by the ids that it knows', async () => {
    const task = { taskId: 't-1', status: 'working' }
    answerCalls((reached, response) => {
      if (parsed(reached).method === 'tools/call') {
        return answerJson(response, { id: 1, result: { resultType: 'task', ...task } })
      }
      const { notifications } = (JSON.parse(reached.body) as typeof LISTEN).params
      begin(response, { ...ACK, params: { notifications } })
      response.end(eventsOf({ method: 'notifications/tasks', params: task }))
    })
    const called = modern(toolCall())
    const { json } = await post(url, called.message, called.headers)
    const taskId = String(json.result?.['taskId'])
    const { message, headers } = modern({
      ...LISTEN,
      params: { notifications: { taskIds: [taskId] } },
    })
    const { text, isOver } = await open(message, headers, `${replica.url}/demo/mcp`)
    await until(isOver)
    expect(server.reached.at(-1)?.body).toContain('"taskIds":["t-1"]')
    expect(text().split(taskId)).toHaveLength(3)
    expect(text()).not.toContain('"t-1"')
  })

  test('ends when its caller may not listen any more', async () => {
    answerCalls((_request, response) => begin(response, ACK))
    const { message, headers } = modern(LISTEN)
    const { text, isOver } = await open(message, headers)
    await until(() => text().includes('acknowledged'))
    pdp.lists = () => null
    pdp.tell({ kind: 'bundle', bundle: 'e'.repeat(64) })
    await until(isOver)
    expect(isOver()).toBe(true)
  })

  test('to more resources than SUBSCRIBED_URIS_MAX is refused, to just as many it is not', async () => {
    answerCalls((_request, response) => {
      begin(response, ACK)
      response.end()
    })
    expect((await subscribeTo(64)).status).toBe(200)
    expect((await subscribeTo(65)).json.error?.data['code']).toBe('too_many_requests')
  })
})

test('a GET stream is told too, in a legacy client’s words', async () => {
  answerCalls((_request, response) => {
    begin(response)
    response.flushHeaders()
  })
  const { body } = await request(url, { headers: clientHeaders() })
  const { text } = listening(body)
  await sleep(50)
  pdp.tell({ kind: 'bundle', bundle: 'f'.repeat(64) })
  await until(() => text().includes('notifications/tools/list_changed'))
  expect(text()).not.toContain('_meta')
  body.destroy()
})

/** The retry of a call, through the other PEP. */
const again = (name: string, state: string) => {
  const params = { name, arguments: {}, inputResponses: {}, requestState: state }
  const { message, headers } = modern({ id: 2, method: 'tools/call', params })
  return post(`${replica.url}/demo/mcp`, message, headers)
}

describe('replicas', () => {
  test('serve the same sessions, tasks and states, for their own caller alone', async () => {
    server.answer = (reached, response) => {
      const { id, method } = parsed(reached)
      if (method === 'initialize') response.setHeader('mcp-session-id', 'upstream-7')
      const task = { taskId: 't-1', status: 'working' }
      answerJson(response, { id, result: method === 'tools/call' ? { task } : {} })
    }
    const opened = await post(url, { id: 1, method: 'initialize', params: {} })
    const session = { 'mcp-session-id': String(opened.headers['mcp-session-id']) }
    const other = `${replica.url}/demo/mcp`
    const called = await post(other, toolCall(), session)
    const { taskId } = (called.json.result?.['task'] ?? {}) as { taskId?: string }
    expect(taskId).not.toContain('t-1')
    const get = { id: 3, method: 'tasks/get', params: { taskId } }
    expect((await post(url, get, session)).status).toBe(200)
    const last = server.reached.at(-1)
    expect(JSON.parse(last?.body ?? '')).toMatchObject({ params: { taskId: 't-1' } })
    expect(last?.headers['mcp-session-id']).toBe('upstream-7')
    server.reached.length = 0
    const bob = { authorization: `Bearer ${testToken(2)}` }
    expect(await post(other, toolCall(), { ...session, ...bob })).toMatchObject({ status: 404 })
    expect((await post(other, get, bob)).json.error).toMatchObject({
      code: -32602,
      data: { code: 'unknown_task' },
    })
    expect(server.reached).toEqual([])
    expect(pdp.calls.some(({ token }) => token === digestOf(testToken(2)))).toBe(false)
  })

  test('take back a state for the call that it was given for, and no other', async () => {
    server.answer = (reached, response) => {
      const { id } = parsed(reached)
      answerJson(response, { id, result: { resultType: 'input_required', requestState: 'st-1' } })
    }
    const first = modern(toolCall())
    const given = await post(url, first.message, first.headers)
    const requestState = String(given.json.result?.['requestState'])
    expect(requestState).not.toContain('st-1')
    expect((await again('echo', requestState)).status).toBe(200)
    expect(JSON.parse(server.reached.at(-1)?.body ?? '')).toMatchObject({
      params: { requestState: 'st-1' },
    })
    const reached = server.reached.length
    for (const odd of [
      again('erase', requestState),
      again('echo', `${requestState}x`),
      again('echo', 'st-1'),
    ])
      expect((await odd).json.error).toMatchObject({
        code: -32602,
        data: { code: 'invalid_state' },
      })
    expect(server.reached).toHaveLength(reached)
  })
})

const callWith = (args: object, extra: Record<string, string>) => {
  const { message, headers } = modern(toolCall('echo', args))
  return post(url, message, { ...headers, ...extra })
}

test('headers that a definition asks for say what the arguments say', async () => {
  const region = { type: 'string', 'x-mcp-header': 'Region' }
  const count = { type: 'integer', 'x-mcp-header': 'Count' }
  const properties = { region, deep: { type: 'object', properties: { count } } }
  pdp.reviewed = [{ name: 'echo', inputSchema: { type: 'object', properties } }]
  pdp.tell({ kind: 'bundle', bundle: '1'.repeat(64) })
  await sleep(200)
  const args = { region: 'eu', deep: { count: 42 } }
  const right = { 'mcp-param-region': '=?base64?ZXU=?=', 'mcp-param-count': '42.0' }
  expect((await callWith(args, { ...right, 'mcp-param-other': 'x' })).status).toBe(200)
  expect(server.reached.at(-1)?.headers).toMatchObject({ ...right, 'mcp-param-other': 'x' })
  expect((await callWith({ region: null }, { 'mcp-param-region': 'us' })).status).toBe(200)
  server.reached.length = 0
  for (const wrong of [
    { ...right, 'mcp-param-region': 'us' },
    { ...right, 'mcp-param-count': '43' },
    { 'mcp-param-count': '42' },
    { ...right, 'mcp-param-region': '=?base64?ZXU?=' },
  ]) {
    const { status, json } = await callWith(args, wrong)
    expect([status, json.error?.code, json.id]).toEqual([400, -32020, 1])
  }
  expect(server.reached).toEqual([])
})
