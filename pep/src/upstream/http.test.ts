// Calls to a server over HTTP: what crosses in each direction, what does not, and when a stream
// ends.
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Outcome, PepEvent, Visible } from '../../../schemas/pep-api.ts'
import {
  answerEvents,
  answerJson,
  clientHeaders,
  countingSql,
  createTestPdp,
  grantOf,
  modern,
  openTestUpstream,
  type Posted,
  parsed,
  post,
  type RunningTestPep,
  startTestPep,
  type TestPdp,
  type TestUpstream,
  testToken,
  toolCall,
  until,
} from '../testing.ts'

const VISIBLE: Visible = { tools: ['echo'], resources: true, prompts: true }
const LIST = { id: 1, method: 'tools/list' }
const BOTH = [{ name: 'hidden' }, { name: 'echo' }]
let pep: RunningTestPep
let pdp: TestPdp
let server: TestUpstream
let plainly: TestUpstream['answer']
let url: string

beforeAll(async () => {
  server = await openTestUpstream('demo')
  plainly = server.answer
  pdp = createTestPdp([server.upstream])
  pep = await startTestPep({ pdp: pdp.port, sql: countingSql() })
  url = `${pep.url}/demo/mcp`
})
afterAll(async () => {
  await pep.close()
  await server.close()
})
beforeEach(() => {
  server.answer = plainly
  server.reached.length = 0
  pdp.rule = () => ({ allow: true, visible: VISIBLE })
})

const answering = (status: number, headers: Record<string, string>, body: string) => {
  server.answer = (_request, response) => void response.writeHead(status, headers).end(body)
}
const listText = JSON.stringify({ jsonrpc: '2.0', id: 1, result: { tools: BOTH } })

describe('headers', () => {
  test('what a client says of itself and its network stays here', async () => {
    const secret = { cookie: 'a=b', forwarded: 'for=1.2.3.4', 'x-forwarded-for': '1.2.3.4' }
    const more = { 'x-real-ip': '1.2.3.4', 'proxy-authorization': 'Basic eA==', 'x-api-key': 'k' }
    await post(url, toolCall(), { ...secret, ...more, origin: pep.url })
    const [reached] = server.reached
    const names = Object.keys(reached?.headers ?? {})
    for (const name of Object.keys({ ...secret, ...more })) expect(names).not.toContain(name)
    expect(names).not.toContain('authorization')
    expect(names).not.toContain('origin')
    expect(reached?.headers.host).toBe(new URL(server.upstream.url ?? '').host)
    expect(JSON.stringify(reached)).not.toContain(testToken(1))
  })

  test('what the protocol needs goes on', async () => {
    const trace = { traceparent: '00-a-b-01', tracestate: 'x=y', 'mcp-param-region': 'eu' }
    const { message, headers } = modern(toolCall())
    await post(url, message, { ...headers, ...trace })
    expect(server.reached[0]?.headers).toMatchObject({ ...headers, ...trace })
  })

  test('of the answer only what a client needs comes back', async () => {
    const kept = { 'retry-after': '5', 'cache-control': 'no-store' }
    const gone = {
      'set-cookie': 'a=b',
      server: 'x',
      'www-authenticate': 'Bearer',
      'x-powered-by': 'y',
    }
    answering(
      200,
      { 'content-type': 'application/json', ...kept, ...gone },
      '{"jsonrpc":"2.0","id":1,"result":{}}',
    )
    const { headers } = await post(url, toolCall())
    expect(headers).toMatchObject(kept)
    for (const name of Object.keys(gone)) expect(headers).not.toHaveProperty(name)
    expect(headers['cedargate-decision']).toMatch(/^[0-9a-f-]{36}$/)
  })
})

const openSession = async (token: string) => {
  server.answer = (_request, response) => {
    response.setHeader('mcp-session-id', 'upstream-1')
    answerJson(response, { id: 1, result: {} })
  }
  const authorization = `Bearer ${token}`
  const { headers } = await post(
    url,
    { id: 1, method: 'initialize', params: {} },
    { authorization },
  )
  server.reached.length = 0
  return { authorization, 'mcp-session-id': String(headers['mcp-session-id']) }
}

describe('sessions', () => {
  test('the client never sees the server’s id, and its own is turned back into it', async () => {
    const headers = await openSession(testToken(1))
    expect(headers['mcp-session-id']).toMatch(/^v2\.test\.0\.[\w-]+\.[\w-]{43}$/)
    expect((await post(url, toolCall(), headers)).status).toBe(200)
    expect(server.reached[0]?.headers['mcp-session-id']).toBe('upstream-1')
  })

  test('it is worth nothing to another token', async () => {
    const headers = await openSession(testToken(1))
    const stolen = { ...headers, authorization: `Bearer ${testToken(2)}` }
    const { status, json } = await post(url, toolCall(), stolen)
    expect([status, json.error?.data['code']]).toEqual([404, 'unknown_session'])
    expect(server.reached).toEqual([])
  })

  test('a resumption is only for whoever has the session', async () => {
    server.answer = (_request, response) => answerEvents(response)
    const get = { ...clientHeaders(), 'last-event-id': '7' }
    await (await request(url, { headers: get })).body.dump()
    expect(server.reached[0]?.headers['last-event-id']).toBeUndefined()
    const held = await openSession(testToken(1))
    await (await request(url, { headers: { ...get, ...held } })).body.dump()
    expect(server.reached[0]?.headers['last-event-id']).toBe('7')
  })

  test('the modern era has none', async () => {
    const { message, headers } = modern(toolCall())
    expect((await post(url, message, { ...headers, 'mcp-session-id': 'any' })).status).toBe(200)
    expect(server.reached[0]?.headers['mcp-session-id']).toBeUndefined()
  })
})

describe('lists', () => {
  test.each([
    { how: 'JSON', answer: (response: ServerResponse) => answerJson(response, { id: 1, result: { tools: BOTH } }) },
    { how: 'events', answer: (response: ServerResponse) => answerEvents(response, { id: 1, result: { tools: BOTH } }) },
    { how: 'events under another id', answer: (response: ServerResponse) => answerEvents(response, { id: '1', result: { tools: BOTH } }) },
  ])('as $how are filtered', async ({ answer }) => {
    server.answer = (_request, response) => answer(response)
    const { status, json } = await post(url, LIST)
    expect(status).toBe(200)
    expect(json.result).toEqual({ tools: pdp.reviewed })
  }) // biome-ignore format: a table

  test.each([
    { type: 'text/plain', body: listText },
    { type: 'application/json, text/event-stream', body: listText },
    { type: 'text/json', body: listText },
    { type: 'application/json', body: `[${listText}]` },
    { type: 'application/json', body: listText.slice(0, -1) },
    { type: 'application/json', body: `data: ${listText}\n\n` },
  ])('as $type that cannot be filtered are refused', async ({ type, body }) => {
    answering(200, { 'content-type': type }, body)
    const { json, text } = await post(url, LIST)
    expect(json.error?.data['code']).toBe('upstream_invalid')
    expect(text).not.toContain('hidden')
  })

  test('in another case of the type are filtered all the same', async () => {
    answering(200, { 'content-type': 'Application/JSON; charset=UTF-8' }, listText)
    expect((await post(url, LIST)).json.result).toEqual({ tools: pdp.reviewed })
  })

  test('with the status of an error: the status passes, a body that is no JSON does not', async () => {
    answering(404, { 'content-type': 'text/plain' }, listText)
    expect(await post(url, LIST)).toMatchObject({ status: 404, text: '' })
  })
})

test.each([
  { name: 'a redirect', status: 307, headers: { location: 'http://127.0.0.1:1/' } },
  { name: 'a demand for credentials', status: 401, headers: { 'www-authenticate': 'Bearer' } },
  { name: 'an encoded answer', status: 200, headers: { 'content-encoding': 'gzip' } },
])('$name is not for the client', async ({ status, headers }) => {
  answering(status, { 'content-type': 'application/json', ...headers }, '{"id":1,"result":{}}')
  const got = await post(url, toolCall())
  expect(got.status).toBe(200)
  expect(got.json.result).toMatchObject({ isError: true })
  expect(got.text).toContain('upstream_invalid')
  expect(got.headers).not.toHaveProperty('location')
})

test.each([
  'text/event-stream; charset=utf-7',
  'text/event-stream;charset="UTF-16"',
  'application/json; charset=iso-8859-1',
  'text/event-stream; charset=utf-8; charset=utf-7',
])('bytes that a client would read otherwise are not for it: %s', async (type) => {
  answering(200, { 'content-type': type }, 'data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n')
  const { text, headers } = await post(url, toolCall())
  expect(text).toContain('upstream_invalid')
  expect(headers['content-type']).not.toContain('charset=utf-7')
})

test('the type of an answer is written anew', async () => {
  const type = 'Application/JSON; Charset="utf8"; x=y'
  answering(200, { 'content-type': type }, '{"jsonrpc":"2.0","id":1,"result":{}}')
  expect((await post(url, toolCall())).headers['content-type']).toBe('application/json')
})

test.each([200, 400, 404, 405, 500])('an answer of %i passes as it is', async (status) => {
  const body = '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"x"}}'
  answering(status, { 'content-type': 'application/json' }, body)
  expect(await post(url, toolCall())).toMatchObject({ status, text: body })
})

test('a long JSON answer is streamed whole', async () => {
  const content = [{ type: 'text', text: 'ä'.repeat(1_000_000) }]
  server.answer = (_request, response) => answerJson(response, { id: 1, result: { content } })
  expect((await post(url, toolCall())).json.result).toEqual({ content })
})

/** A server that has said one thing and is still at it. */
const answerSlowly = () => {
  const held = Promise.withResolvers<ServerResponse>()
  server.answer = (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n')
    held.resolve(response)
  }
  return held.promise
}
const ask = async (message: object, headers: Record<string, string> = {}) => {
  const body = JSON.stringify({ jsonrpc: '2.0', ...message })
  const { body: answer, ...rest } = await request(url, {
    method: 'POST',
    headers: { ...clientHeaders(), ...headers },
    body,
  })
  answer.on('error', () => undefined)
  return { answer, ...rest }
}
const isClosed = (response: ServerResponse) => () => response.destroyed

async function outcomeOf(headers: Posted['headers']): Promise<Outcome | undefined> {
  const find = () => pdp.outcomes.find((one) => one.decisionId === headers['cedargate-decision'])
  await until(() => find() !== undefined)
  return find()
}

describe('streams', () => {
  test('what a server says arrives when it says it', async () => {
    const [response, { answer, headers }] = await Promise.all([answerSlowly(), ask(toolCall())])
    const [first] = (await answer.take(1).toArray()) as Buffer[]
    expect(first?.toString()).toContain('notifications/progress')
    expect(headers['x-accel-buffering']).toBe('no')
    response.end()
  })

  test('a modern client that goes away cancels the call', async () => {
    const { message, headers } = modern(toolCall())
    const [response, { answer, headers: answered }] = await Promise.all([
      answerSlowly(),
      ask(message, headers),
    ])
    answer.destroy()
    await until(isClosed(response))
    expect(await outcomeOf(answered)).toMatchObject({ result: 'unknown' })
  })

  test('a legacy client that goes away does not', async () => {
    const [response, { answer, headers }] = await Promise.all([answerSlowly(), ask(toolCall())])
    answer.destroy()
    await sleep(100)
    expect(response.destroyed).toBe(false)
    response.end('data: {"jsonrpc":"2.0","id":1,"result":{"isError":true}}\n\n')
    expect(await outcomeOf(headers)).toMatchObject({ result: 'forwarded', isError: true })
  })

  test('a GET stream ends with its client', async () => {
    const opening = answerSlowly()
    const { body } = await request(url, { headers: clientHeaders() })
    const response = await opening
    body.on('error', () => undefined).destroy()
    await until(isClosed(response))
    expect(response.writableFinished).toBe(false)
  })

  test.each([
    { name: 'a GET stream', message: undefined },
    { name: 'an answer on its way', message: toolCall() },
  ])('$name is cut when its token is revoked, and only then', async ({ message }) => {
    const open = async (seed: number) => {
      const authorization = `Bearer ${testToken(seed)}`
      const opening = answerSlowly()
      const { body } = message
        ? { body: (await ask(message, { authorization })).answer }
        : await request(url, { headers: { ...clientHeaders(), authorization } })
      body.on('error', () => undefined)
      return { body, response: await opening }
    }
    const seed = message ? 11 : 12
    const [cut, kept] = [await open(seed), await open(seed + 10)]
    const event: PepEvent = { kind: 'revoked', grant: grantOf(testToken(seed)) }
    pdp.tell(event)
    await until(isClosed(cut.response))
    await sleep(50)
    expect(kept.response.destroyed).toBe(false)
    kept.body.destroy()
    const { status } = await post(url, toolCall(), { authorization: `Bearer ${testToken(seed)}` })
    expect(status).toBe(401)
  })

  test('while revocations cannot be heard, no GET stream is open', async () => {
    const opening = answerSlowly()
    const { body } = await request(url, { headers: clientHeaders() })
    body.on('error', () => undefined)
    const response = await opening
    pdp.hangUp()
    await until(isClosed(response))
    const refused = await request(url, { headers: clientHeaders() })
    expect([refused.statusCode, await refused.body.text()]).toEqual([
      503,
      expect.stringContaining('pdp_unavailable'),
    ])
    await sleep(300)
    server.answer = (_request, again) => answerEvents(again)
    const later = await request(url, { headers: clientHeaders() })
    expect(later.statusCode).toBe(200)
    await later.body.dump()
  })
})

test('a notification is 202 without a body', async () => {
  expect(await post(url, { method: 'notifications/initialized' })).toMatchObject({
    status: 202,
    text: '',
  })
  expect(
    parsed(server.reached[0] ?? { method: '', headers: {}, rawHeaders: [], body: '' }).method,
  ).toBe('notifications/initialized')
})
