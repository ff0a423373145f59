// Servers of the HTTP+SSE transport: the reference server of it, started by the PEP, and a server of our own that does
// everything wrong that can be done.
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { request } from 'undici'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Upstream, Visible } from '../../../schemas/pep-api.ts'
import {
  SERVER_MESSAGE_BYTES_MAX,
  SESSIONS_MAX,
  SESSIONS_PER_GRANT_MAX,
  SSE_OPEN_TIMEOUT_MS,
} from '../limits.ts'
import {
  clientHeaders,
  countingSql,
  createTestPdp,
  grantOf,
  type Posted,
  post,
  type RunningTestPep,
  startTestPep,
  type TestPdp,
  testToken,
  toolCall,
  until,
} from '../testing.ts'

const sseUpstream = (id: string, url: string, command: string | null = null): Upstream => {
  const env: Record<string, string> = command === null ? {} : { PORT: '${PORT}' }
  const none = { cwd: null, writable: null, instructions: 'withhold' as const }
  return { id, transport: 'sse', url, command, args: command === null ? [] : ['sse'], env, ...none }
}
const INITIALIZE = {
  id: 0,
  method: 'initialize',
  params: {
    protocolVersion: '2025-11-25',
    capabilities: { sampling: {}, elicitation: {}, roots: { listChanged: true } },
    clientInfo: { name: 'c', version: '1' },
  },
}

type Session = { readonly url: string; readonly headers: Record<string, string> }
async function open(pep: RunningTestPep, server: string, seed = 1): Promise<Session> {
  const url = `${pep.url}/${server}/mcp`
  const { authorization = '' } = clientHeaders(testToken(seed))
  const { headers: answered } = await post(url, INITIALIZE, { authorization })
  const headers = { authorization, 'mcp-session-id': String(answered['mcp-session-id']) }
  await post(url, { method: 'notifications/initialized' }, headers)
  return { url, headers }
}
const events = (text: string): { id?: unknown; method?: string }[] =>
  [...text.matchAll(/^data: (.+)$/gm)].map(([, data = '{}']) => JSON.parse(data) as never)

describe('the reference server, started by the PEP', () => {
  let pdp: TestPdp
  let pep: RunningTestPep
  let session: Session
  let isDenied = false
  beforeAll(async () => {
    pdp = createTestPdp([
      sseUpstream('everything', 'http://127.0.0.1:${PORT}/sse', 'mcp-server-everything'),
    ])
    const visible: Visible = { tools: ['echo'], resources: true, prompts: true }
    pdp.rule = ({ from }) =>
      from === 'server' && isDenied ? { deny: 'no_permit' } : { allow: true, visible }
    pep = await startTestPep({ pdp: pdp.port, sql: countingSql() })
    session = await open(pep, 'everything')
  }, 60_000)
  afterAll(() => pep.close())

  test('was looked at by the gateway itself', () => {
    expect(pdp.definitions.get('everything')).toContain('echo')
  })

  test('a call, a list and progress', async () => {
    const { url, headers } = session
    const echoed = await post(url, toolCall('echo', { message: 'hi' }), headers)
    expect(echoed.json.result).toMatchObject({ content: [{ text: 'Echo: hi' }] })
    const listed = await post(url, { id: 2, method: 'tools/list' }, headers)
    expect(listed.json.result?.['tools']).toMatchObject([{ name: 'echo' }])
    const name = 'trigger-long-running-operation'
    const params = { name, arguments: { duration: 1, steps: 2 }, _meta: { progressToken: 'p' } }
    const { text } = await post(url, { id: 3, method: 'tools/call', params }, headers)
    const progress = events(text).filter(({ method }) => method === 'notifications/progress')
    expect(progress).toMatchObject([
      { params: { progressToken: 'p', progress: 1 } },
      { params: { progressToken: 'p', progress: 2 } },
    ])
  })

  /** Calls a tool that asks the client for something, and answers it. */
  const askingCall = async (name: string, args: object, answer: object): Promise<Posted[]> => {
    const { url, headers } = session
    const asked = await request(url, {
      headers: { ...clientHeaders(), ...headers, accept: 'text/event-stream' },
    })
    let said = ''
    const answered: Promise<Posted>[] = []
    asked.body.on('error', () => undefined)
    asked.body.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      const asking = events(said).find(({ id, method }) => id !== undefined && method !== undefined)
      if (asking === undefined || answered.length > 0) return
      answered.push(post(url, { id: asking.id, result: answer }, headers))
    })
    const called = await post(url, toolCall(name, args, name), headers)
    asked.body.destroy()
    return [called, ...(await Promise.all(answered))]
  }

  test.each([
    {
      method: 'sampling/createMessage', tool: 'trigger-sampling-request', args: { prompt: 'say it' },
      answer: { role: 'assistant', model: 'm', content: { type: 'text', text: 'it was said' } }, want: 'it was said',
    },
    {
      method: 'elicitation/create', tool: 'trigger-elicitation-request', args: {},
      answer: { action: 'accept', content: { name: 'somebody' } }, want: 'somebody',
    },
  ])('$method is decided, and asked of the client where it is allowed', async ({ method, tool, args, answer, want }) => {
    pdp.calls.length = 0
    const [called, answered] = await askingCall(tool, args, answer)
    expect(answered?.status).toBe(202)
    expect(JSON.stringify(called?.json.result)).toContain(want)
    const decided = pdp.calls.map((call) => [call.from, call.method])
    expect(decided).toContainEqual(['server', method])

    isDenied = true
    const [refused, ...asked] = await askingCall(tool, args, answer)
    isDenied = false
    expect(asked).toEqual([])
    expect(JSON.stringify(refused?.json)).not.toContain(want)
  }) // biome-ignore format: a table
})

/** One POST that reached the server. */
type Said = { readonly path: string; readonly body: string; readonly headers: object }

/** A server that greets as it should, until a test says otherwise. */
class OddServer {
  readonly said: Said[] = []
  readonly streams: ServerResponse[] = []
  /** Of the session that the last POST is of: the gateway's own looks have streams too. */
  current: ServerResponse | undefined
  /** Requests for streams, those included that were refused. */
  opened: object[] = []
  onOpen: (response: ServerResponse) => void = () => undefined
  onPost: (
    message: { id?: number; method: string; params?: object },
    response: ServerResponse,
  ) => void = () => undefined
  readonly #server: Server = createServer((incoming, response) => {
    if (incoming.method === 'GET') {
      this.opened.push(incoming.headers)
      this.onOpen(response)
      return
    }
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const body = Buffer.concat(chunks).toString()
      this.said.push({ path: incoming.url ?? '', body, headers: incoming.headers })
      this.current = this.streams[Number(/\d+$/.exec(incoming.url ?? '')?.[0])]
      this.onPost(JSON.parse(body) as never, response)
    })
  }) // biome-ignore format: long lines

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    this.behave()
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  behave(): void {
    this.onOpen = (response) => this.welcome(response)
    this.onPost = ({ id, method, params }, response) => {
      response.writeHead(202).end('Accepted')
      const result = method === 'initialize' ? { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 's', version: '1' } } : method === 'tools/list' ? { tools: [{ name: 'x', inputSchema: {} }] } : { params: params ?? null }
      if (id !== undefined) this.say(JSON.stringify({ jsonrpc: '2.0', id, result }))
    } // biome-ignore format: long lines
  }

  welcome(response: ServerResponse, endpoint = `/messages?session=${this.streams.length}`): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(`event: endpoint\ndata: ${endpoint}\n\n`)
    this.streams.push(response)
  }

  say(data: string, type = 'message'): void {
    this.current?.write(`event: ${type}\ndata: ${data}\n\n`)
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

const call = ({ url, headers }: Session, name = 'x', id: string | number = 1): Promise<Posted> =>
  post(url, toolCall(name, {}, id), headers)

describe('a server that', () => {
  const server = new OddServer()
  const elsewhere = new OddServer()
  let elsewhereUrl: string
  let pdp: TestPdp
  let pep: RunningTestPep
  beforeAll(async () => {
    elsewhereUrl = await elsewhere.listen()
    pdp = createTestPdp([sseUpstream('odd', `${await server.listen()}/sse`)])
    pep = await startTestPep({ pdp: pdp.port, sql: countingSql() })
  }, 30_000)
  afterAll(async () => {
    await pep.close()
    await Promise.all([server.close(), elsewhere.close()])
  })
  beforeEach(() => {
    server.said.length = 0
    server.opened = []
    pdp.outcomes.length = 0
    pdp.corrupt = (results) => ({ results })
  })
  afterEach(() => server.behave())

  const start = () => post(`${pep.url}/odd/mcp`, INITIALIZE)

  test('behaves gets the text that was decided, and of the client nothing else', async () => {
    const session = await open(pep, 'odd')
    const text =
      '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x","arguments":{"2":1,"10":2,"__proto__":{"a":1},"b":null,"a":1e+30}}}'
    pdp.calls.length = 0
    const cookie = 'secret-cookie'
    const answered = await request(session.url, {
      method: 'POST',
      headers: { ...clientHeaders(), ...session.headers, cookie, traceparent: 'trace', 'x-mine': 'mine' },
      body: text,
    }) // biome-ignore format: long lines
    expect(await answered.body.text()).toContain('"__proto__":{"a":1}')
    const said = server.said.at(-1)
    expect(said?.body).toBe(text)
    expect(pdp.calls[0]?.message).toBe(text)
    expect(said?.path).toMatch(/^\/messages\?session=\d+$/)
    expect(Object.keys(said?.headers ?? {}).toSorted()).toEqual([
      'accept', 'connection', 'content-length', 'content-type', 'host',
    ]) // biome-ignore format: a list
    expect(Object.keys(server.opened.at(-1) ?? {}).toSorted()).toEqual([
      'accept',
      'connection',
      'host',
    ])
  })

  test('has a stream for every session, which is worth nothing to another token', async () => {
    const one = await open(pep, 'odd', 1)
    const ofOne = server.current
    await open(pep, 'odd', 2)
    const ofTwo = server.current
    expect(ofTwo).not.toBe(ofOne)
    const stolen = { ...one.headers, authorization: `Bearer ${testToken(2)}` }
    expect((await post(one.url, toolCall('x'), stolen)).status).toBe(404)
    const deleted = await request(one.url, { method: 'DELETE', headers: one.headers })
    await deleted.body.dump()
    await until(() => ofOne?.destroyed === true)
    expect(ofTwo?.destroyed).toBe(false)
    pdp.tell({ kind: 'revoked', grant: grantOf(testToken(2)) })
    await until(() => ofTwo?.destroyed === true)
  })

  test('ends its stream: calls under way are told, the next one gets a new stream and a new greeting', async () => {
    const session = await open(pep, 'odd', 3)
    server.onPost = (_message, response) => {
      response.writeHead(202).end()
      server.current?.end()
    }
    expect((await call(session)).text).toContain('upstream_unavailable')
    server.said.length = 0
    server.behave()
    const { json, text } = await call(session)
    expect(json.result).toEqual({ params: { name: 'x', arguments: {} } })
    expect(text).toContain('the stream of the server ended and was opened again')
    expect(server.said.map(({ body }) => (JSON.parse(body) as { method: string }).method)).toEqual([
      'initialize', 'notifications/initialized', 'tools/call',
    ]) // biome-ignore format: a list
  })

  test.each([
    { how: 'drops the connection', answer: (response: ServerResponse) => void response.destroy(), code: 'upstream_unavailable' },
    { how: 'answers 500', answer: (response: ServerResponse) => void response.writeHead(500).end('x'), code: 'upstream_unavailable' },
    { how: 'answers 404', answer: (response: ServerResponse) => void response.writeHead(404).end('x'), code: 'upstream_invalid' },
    { how: 'answers 401', answer: (response: ServerResponse) => void response.writeHead(401, { 'www-authenticate': 'Bearer' }).end(), code: 'upstream_invalid' },
    { how: 'redirects', answer: (response: ServerResponse) => void response.writeHead(307, { location: elsewhereUrl }).end(), code: 'upstream_invalid' },
  ])('$how on a POST: that call is told, and the session goes on', async ({ answer, code }) => {
    const session = await open(pep, 'odd', 4)
    const decided: unknown[] = []
    pdp.corrupt = (results) => {
      decided.push(...results.map((one) => one.kind === 'verdict' && one.decisionId))
      return { results }
    }
    server.onPost = (_message, response) => answer(response)
    const { json } = await call(session, 'x', 'r')
    expect(json).toMatchObject({ id: 'r', result: { isError: true } })
    expect(JSON.stringify(json)).toContain(code)
    expect((await post(session.url, { method: 'notifications/cancelled' }, session.headers)).status).toBeGreaterThanOrEqual(500)
    const ended = () => pdp.outcomes.filter(({ decisionId }) => decided.includes(decisionId)).map(({ result }) => result)
    await until(() => ended().length === 2)
    expect(ended()).toEqual(['failed', 'failed'])
    server.behave()
    expect((await call(session)).json.result).toMatchObject({ params: {} })
    expect(elsewhere.said.length + elsewhere.opened.length).toBe(0)
  }) // biome-ignore format: a table

  test.each([
    { how: 'redirects', welcome: (response: ServerResponse) => void response.writeHead(302, { location: elsewhereUrl }).end(), code: 'upstream_invalid' },
    { how: 'is not there', welcome: (response: ServerResponse) => void response.writeHead(404).end(), code: 'upstream_invalid' },
    { how: 'is out of order', welcome: (response: ServerResponse) => void response.writeHead(503).end(), code: 'upstream_unavailable' },
    { how: 'drops the connection', welcome: (response: ServerResponse) => void response.destroy(), code: 'upstream_unavailable' },
    { how: 'is no event stream', welcome: (response: ServerResponse) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<p>'), code: 'upstream_invalid' },
    { how: 'ends before its endpoint', welcome: (response: ServerResponse) => void response.writeHead(200, { 'content-type': 'text/event-stream' }).end(': hi\n\n'), code: 'upstream_unavailable' },
    { how: 'names an endpoint of another origin', welcome: (response: ServerResponse) => server.welcome(response, `${elsewhereUrl}/messages`), code: 'upstream_invalid' },
    { how: 'names an endpoint of another host by //', welcome: (response: ServerResponse) => server.welcome(response, '//localhost/messages'), code: 'upstream_invalid' },
    { how: 'names an endpoint that is no URL', welcome: (response: ServerResponse) => server.welcome(response, 'http://['), code: 'upstream_invalid' },
    { how: 'names an empty endpoint', welcome: (response: ServerResponse) => server.welcome(response, ''), code: 'upstream_invalid' },
  ])('$how when its stream is opened has no session', async ({ welcome, code }) => {
    server.onOpen = welcome
    const { json } = await start()
    expect(json.error?.data['code']).toBe(code)
    expect(server.said).toEqual([])
    expect(elsewhere.said.length + elsewhere.opened.length).toBe(0)
    expect(server.opened).toHaveLength(1) // Nobody tries again by himself.
  }) // biome-ignore format: a table

  test('never names an endpoint is given up', async () => {
    let closed = false
    server.onOpen = (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
      response.on('close', () => {
        closed = true
      })
    }
    const began = performance.now()
    const { json } = await start()
    expect(json.error?.data['code']).toBe('upstream_timeout')
    expect(performance.now() - began).toBeGreaterThanOrEqual(SSE_OPEN_TIMEOUT_MS)
    await until(() => closed)
  })

  test(`has ${SESSIONS_MAX} sessions has no more`, async () => {
    const own = await startTestPep({ pdp: pdp.port, sql: countingSql() })
    const openedBy = async (seed: number) => {
      const { authorization = '' } = clientHeaders(testToken(seed))
      return (await post(`${own.url}/odd/mcp`, INITIALIZE, { authorization })).json
    }
    const grants = SESSIONS_MAX / SESSIONS_PER_GRANT_MAX
    for (let count = 0; count < SESSIONS_MAX; count++)
      expect((await openedBy(20 + (count % grants))).result).toBeDefined()
    expect((await openedBy(20 + grants)).error?.data['code']).toBe('too_many_requests')
    expect((await openedBy(20)).result).toBeDefined() // In the place of one of its own.
    await own.close()
  })

  test('says what is no message is heard all the same', async () => {
    const session = await open(pep, 'odd', 5)
    server.onPost = ({ id }, response) => {
      response.writeHead(202).end()
      server.current?.write('data\n\n: comment\n\nid: 4\nretry: 1\n\nnonsense\n\n')
      server.say('not json')
      server.say('[1]')
      server.say('{"jsonrpc":"2.0","id":1,"result":{"of":"another type"}}', 'other')
      server.say('{"jsonrpc":"2.0","id":99,"result":{}}')
      server.say(JSON.stringify({ jsonrpc: '2.0', id, result: { of: 'the message' } }))
    }
    expect((await call(session)).json.result).toEqual({ of: 'the message' })
  })

  test(`sends an event of more than ${SERVER_MESSAGE_BYTES_MAX} bytes loses the stream`, async () => {
    const session = await open(pep, 'odd', 6)
    server.onPost = (_message, response) => {
      response.writeHead(202).end()
      server.current?.write(`data: ${'x'.repeat(SERVER_MESSAGE_BYTES_MAX + 1_024)}`)
    }
    expect((await call(session)).text).toContain('upstream_unavailable')
    await until(() => server.current?.destroyed === true)
  })

  test('asks for roots is not told no: the request is decided like any other', async () => {
    const session = await open(pep, 'odd', 7)
    pdp.calls.length = 0
    server.onPost = ({ id, method }, response) => {
      response.writeHead(202).end()
      if (method === 'tools/call') {
        server.say('{"jsonrpc":"2.0","id":"r","method":"roots/list"}')
        server.say(JSON.stringify({ jsonrpc: '2.0', id, result: {} }))
      }
    }
    expect((await call(session)).text).toContain('"method":"roots/list"')
    expect(pdp.calls.map(({ from, method }) => [from, method])).toContainEqual(['server', 'roots/list'])
  }) // biome-ignore format: long lines
})
