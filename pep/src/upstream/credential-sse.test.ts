// Credentials of servers of the HTTP+SSE transport, with the reference transport of the SDK on the other side: on the
// stream and on each message, a new version without a new stream, masked in what comes; and of servers that the PEP starts
// itself, whose output nobody writes down.
import { createServer, type Server as HttpServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js'
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ReleasedCredential } from '../../../schemas/credentials.ts'
import type { Upstream } from '../../../schemas/pep-api.ts'
import { MASK } from '../mask/masker.ts'
import {
  bearer,
  countingSql,
  createTestPdp,
  EVERYTHING_VISIBLE,
  type Posted,
  post,
  type RunningTestPep,
  shownIn,
  startTestPep,
  type TestPdp,
  toolCall,
  until,
} from '../testing.ts'

const ONE = 'canary-one-0123456789'
const TWO = 'canary-two-0123456789'
/** By tool. */
const SAID: Readonly<Record<string, string>> = { one: ONE, two: TWO }
const INITIALIZE = {
  id: 0,
  method: 'initialize',
  params: {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'c', version: '1' },
  },
}
/** Prints the headers of every request, and answers with them. */
const PRINTING = `
require('node:http').createServer((request, response) => {
  let body = ''
  console.log(JSON.stringify(request.headers)); console.error(JSON.stringify(request.headers))
  request.on('data', (chunk) => { body += chunk })
  request.on('end', () => {
    const { id } = body === '' ? {} : JSON.parse(body)
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ jsonrpc: '2.0', id, result: { tools: [], headers: request.headers } }))
  })
}).listen(Number(process['env'].PORT))`

let http: HttpServer
let pdp: TestPdp
let pep: RunningTestPep
let credential: ReleasedCredential | undefined
let refuses = false
let logged = ''
const sent: { readonly method: string; readonly headers: IncomingHttpHeaders }[] = []
const ofIt = () => pdp.outcomes.filter(({ status }) => status === 401)
const streams = () => sent.filter(({ method }) => method === 'GET')

beforeAll(async () => {
  const transports = new Map<string, SSEServerTransport>()
  http = createServer((request, response) => {
    const { method = '', headers } = request
    sent.push({ method, headers })
    if (refuses) return void response.writeHead(401).end(headers.authorization)
    if (method === 'GET') {
      const transport = new SSEServerTransport('/messages', response)
      transports.set(transport.sessionId, transport)
      return void echoing().connect(transport)
    }
    const session = new URL(request.url ?? '', 'http://x').searchParams.get('sessionId') ?? ''
    return void transports.get(session)?.handlePostMessage(request, response)
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const none = { cwd: null, writable: null, instructions: 'withhold' as const }
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/sse`
  const sse: Upstream = { id: 'sse', transport: 'sse', url, command: null, args: [], env: {}, ...none }
  const spawned: Upstream = {
    id: 'spawned',
    transport: 'http',
    url: 'http://127.0.0.1:${PORT}/mcp',
    command: 'node',
    args: ['-e', PRINTING],
    env: { PORT: '${PORT}' },
    credential: { kind: 'bearer', per: 'deployment', required: true },
    ...none,
  }
  pdp = createTestPdp([sse, spawned])
  credential = bearer(ONE)
  pdp.rule = () => ({
    allow: true,
    visible: EVERYTHING_VISIBLE,
    ...(credential === undefined ? {} : { credential }),
  })
  const log = pino({ level: 'trace' }, { write: (line) => void (logged += line) })
  pep = await startTestPep({ pdp: pdp.port, sql: countingSql(), log })
}, 60_000) // biome-ignore format: an upstream
afterAll(async () => {
  await pep.close()
  http.closeAllConnections()
  await new Promise((resolve) => http.close(resolve))
})

/** A server that answers with the headers of the request it answers. */
function echoing(): Server {
  const server = new Server({ name: 's', version: '1' }, { capabilities: { tools: {} } })
  server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: [] }))
  server.setRequestHandler(CallToolRequestSchema, ({ params }, { requestInfo }) => {
    const { authorization = 'none' } = requestInfo?.headers ?? {}
    const of = SAID[params.name] ?? JSON.stringify(authorization)
    return { content: [{ type: 'text' as const, text: Buffer.from(of).toString('base64') + of }] }
  })
  return server
}

async function open() {
  const url = `${pep.url}/sse/mcp`
  const first = await post(url, INITIALIZE)
  const headers = { 'mcp-session-id': String(first.headers['mcp-session-id']) }
  await post(url, { method: 'notifications/initialized' }, headers)
  return (name: string): Promise<Posted> => post(url, toolCall(name), headers)
}

test('on the stream, and on every message, the gateway’s own too', async () => {
  credential = bearer(ONE)
  await open()
  expect(streams().length).toBeGreaterThanOrEqual(2)
  for (const { headers } of sent) {
    expect(headers.authorization).toBe(`Bearer ${ONE}`)
    expect(headers['accept-encoding']).toBe('identity')
  }
})

test('a new version goes with the next message, on the same stream; both are masked', async () => {
  credential = bearer(ONE)
  const call = await open()
  const before = streams().length
  expect((await call('headers')).text).toContain(MASK)
  credential = bearer(TWO, { version: 2 })
  const { text } = await call('headers')
  expect(text).toContain(MASK)
  expect(shownIn(text, TWO)).toEqual([])
  expect(sent.at(-1)?.headers.authorization).toBe(`Bearer ${TWO}`)
  const late = (await call('one')).text
  expect(late).toContain(MASK)
  expect(shownIn(late, ONE)).toEqual([])
  await until(() => pdp.outcomes.some((one) => one.credential?.version === 2))
  expect(pdp.outcomes.at(-1)).toMatchObject({ credential: { version: 2, echoed: true } })
  credential = undefined
  expect((await call('headers')).text).toContain('none')
  expect(sent.at(-1)?.headers).not.toHaveProperty('authorization')
  expect(streams()).toHaveLength(before)
})

test('a version that went with another session is masked in what this one says', async () => {
  credential = bearer(ONE)
  const call = await open()
  credential = bearer(TWO, { version: 2 })
  await (await open())('headers')
  credential = bearer(ONE)
  const { text } = await call('two')
  expect(text).toContain(MASK)
  expect(shownIn(text, TWO)).toEqual([])
})

test('401, to the stream and to a message: the PDP is told', async () => {
  credential = bearer(ONE, { version: 3 })
  const call = await open()
  refuses = true
  expect((await call('headers')).text).toContain('upstream_invalid')
  expect((await post(`${pep.url}/sse/mcp`, INITIALIZE)).text).toContain('upstream_invalid')
  refuses = false
  await until(() => ofIt().length === 2)
  const refused = { result: 'failed', status: 401, credential: { version: 3, echoed: false } }
  expect(ofIt()).toMatchObject([refused, refused])
})

test('what a server that the PEP started prints of it is not logged', async () => {
  credential = bearer(ONE)
  const { text } = await post(`${pep.url}/spawned/mcp`, toolCall())
  expect(text).toContain(MASK)
  expect(logged).not.toContain('accept-encoding')
})

test('of all that anybody else got, nothing shows them', () => {
  const all = logged + JSON.stringify([pdp.told, pdp.outcomes])
  for (const secret of [ONE, TWO]) expect(shownIn(all, secret)).toEqual([])
})
