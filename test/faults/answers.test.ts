// Answers that are none: garbage, another protocol's, another era's, without end, or a gigabyte. The client gets a clear error
// and nothing of what the server said, the record says what is known, memory stays, and others are served meanwhile.
import type { ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { UPSTREAM_TELLS_MAX } from '../../pep/src/limits.ts'
import type { DecisionRow } from '../../schemas/decisions-api.ts'
import { type Gateway, startGateway } from '../harness/gateway.ts'
import { callText, legacyText, modern, type Request, sentOf, tell } from '../harness/mcp-request.ts'
import { open } from '../harness/raw-http.ts'
import { answerJson, messageOf } from '../harness/upstream.ts'

let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway()
})
afterAll(() => gateway.stop())
beforeEach(() => gateway.upstream.reset())

const LEGACY: Request = { body: callText('{"message":"hi"}') }
const MODERN: Request = modern('tools/call', { name: 'echo', arguments: { message: 'hi' } })
const BOTH = [LEGACY, MODERN]
const MIB = 1 << 20
const GIB = 1 << 30
/** Of this process, which is client, gateway, database and server in one, garbage included. */
const RSS_GROWTH_MAX = 192 * MIB
const JSON_TYPE = { 'content-type': 'application/json' }
const SSE = { 'content-type': 'text/event-stream' }
/** Of the server's, to be looked for in what its client gets. */
const CANARY = 'canary-91ad'
type Answering = (response: ServerResponse) => unknown
const answering = (
  body: string | Uint8Array,
  head: Record<string, string> = JSON_TYPE,
  status = 200,
): Answering => {
  return (response) => response.writeHead(status, { 'x-note': CANARY, ...head }).end(body)
}

/** By its decision; it is reported a little after the answer. */
async function outcomeOf(decision: string): Promise<DecisionRow['outcome']> {
  const find = async () => (await gateway.pdp.admin.showDecision(decision))?.outcome ?? null
  await expect.poll(find, { timeout: 5_000 }).not.toBeNull()
  return find()
}
const newest = async (): Promise<string> => {
  const [row] = await gateway.decisionsAfter((await gateway.recorded()) - 1)
  return row?.id ?? ''
}
/** Outcomes are reported together a little later, so they are looked at together: what each decision is to end as. */
const expected = new Map<string, object>()

/** Nothing of the server, of where it is, or of how we work. */
function expectNothingOf(text: string): void {
  expect(text).not.toContain(CANARY)
  expect(text).not.toContain('127.0.0.1')
  expect(text).not.toContain(new URL(gateway.upstream.url).port)
  expect(text).not.toMatch(/\.ts\b|\bat \w+ \(|undici|UND_ERR|ECONN/)
}

describe('an answer that is none is a result which says so', () => {
  const message = (text: string) => answering(text)
  test.each<{ name: string; answer: Answering; status?: number }>([
    { name: 'bytes', answer: answering(Buffer.alloc(4_096, 0xfe)) },
    { name: 'bytes of no type', answer: answering(Buffer.alloc(4_096, 0xfe), {}) },
    { name: 'HTML', answer: answering(`<html>${CANARY}</html>`, { 'content-type': 'text/html' }) },
    { name: 'HTML said to be JSON', answer: message(`<html>${CANARY}</html>`) },
    { name: 'nothing', answer: answering('') },
    { name: 'nothing, with a status for it', answer: answering('', {}, 204), status: 204 },
    { name: 'accepted, and no answer', answer: answering('', {}, 202), status: 202 },
    { name: 'a status that resets', answer: answering('', JSON_TYPE, 205), status: 205 },
    { name: 'a status of no HTTP', answer: answering(`{"jsonrpc":"2.0","id":1,"result":{"x":"${CANARY}"}}`, JSON_TYPE, 700), status: 700 },
    { name: 'not modified', answer: answering('', JSON_TYPE, 304), status: 304 },
    { name: 'JSON that is no message', answer: message(`{"x":"${CANARY}"}`) },
    { name: 'a list', answer: message(`["${CANARY}"]`) },
    { name: 'a text', answer: message(`"${CANARY}"`) },
    { name: 'half of JSON', answer: message(`{"jsonrpc":"2.0","id":1,"result":{"x":"${CANARY}"`) },
    { name: 'another request’s', answer: message(`{"jsonrpc":"2.0","id":7,"result":{"x":"${CANARY}"}}`) },
    { name: 'of no JSON-RPC', answer: message(`{"id":1,"result":{"x":"${CANARY}"}}`) },
    { name: 'of JSON-RPC 1.0', answer: message(`{"jsonrpc":"1.0","id":1,"result":{"x":"${CANARY}"}}`) },
    { name: 'a notification', answer: message(`{"jsonrpc":"2.0","method":"notifications/message","params":{"x":"${CANARY}"}}`) },
    { name: 'nested beyond reading', answer: message(`{"jsonrpc":"2.0","id":1,"result":${'['.repeat(100_000)}`) },
    { name: 'compressed', answer: answering(gzipSync('{}'), { ...JSON_TYPE, 'content-encoding': 'gzip' }) },
    { name: 'said to be compressed twice', answer: answering('{}', { ...JSON_TYPE, 'content-encoding': 'identity, br' }) },
    { name: 'a redirect to the same method', answer: answering('', { location: `http://127.0.0.1/${CANARY}` }, 307), status: 307 },
    { name: 'a redirect for good', answer: answering('', { location: `http://127.0.0.1/${CANARY}` }, 308), status: 308 },
    { name: 'a demand of a proxy', answer: answering('', { 'proxy-authenticate': `Basic realm="${CANARY}"` }, 407), status: 407 },
    { name: 'a session id that is none', answer: (response) => response.setHeader('mcp-session-id', `a ${CANARY}`).writeHead(200, JSON_TYPE).end('{"jsonrpc":"2.0","id":1,"result":{}}') },
  ])('$name', async ({ name, answer, status = 200 }) => {
    gateway.upstream.answer = (_request, response) => answer(response)
    // The modern era has no sessions, and does not look at what a server calls one.
    const requests = name.startsWith('a session') ? [LEGACY] : BOTH
    for (const request of requests) {
      const told = await tell(gateway, request)
      expect(told).toMatchObject({ status: 200, isError: true, said: { code: 'upstream_invalid' } })
      expectNothingOf(`${told.body}${JSON.stringify(told.rawHeaders)}`.replaceAll(`127.0.0.1:${gateway.port}`, ''))
      expected.set(await newest(), { result: 'failed', status, isError: true })
    }
  }) // biome-ignore format: a table

  test.each<{ name: string; text: string }>([
    { name: 'JSON', text: `{"jsonrpc":"2.0","id":1,"result":{"x":"${CANARY}"}}\n\n` },
    { name: 'no messages', text: `data: ${CANARY}\n\n` },
    { name: 'a batch', text: `data: [{"jsonrpc":"2.0","id":1,"result":{"x":"${CANARY}"}}]\n\n` },
    { name: 'bytes', text: `data: \u0000\ufffd${CANARY}\n\n` },
    { name: 'nothing', text: '' },
    { name: 'comments', text: ': a\n\n' },
    {
      name: 'the answer to another request',
      text: `data: {"jsonrpc":"2.0","id":7,"result":{"x":"${CANARY}"}}\n\n`,
    },
    {
      name: 'an answer that does not end',
      text: `data: {"jsonrpc":"2.0","id":1,"result":{"x":"${CANARY}"}}\n`,
    },
  ])('events that are $name', async ({ text }) => {
    for (const request of BOTH) {
      gateway.upstream.answer = (_request, response) => response.writeHead(200, SSE).end(text)
      const { status, body, headers } = await tell(gateway, request)
      expect(status).toBe(200)
      expect(body).toMatch(/"isError":true.*"code":"upstream_(invalid|unavailable)"/)
      expectNothingOf(body)
      expected.set(String(headers['cedargate-decision']), { result: 'unknown', status: 200 })
    }
  })

  test('what comes after the answer does not undo it', async () => {
    const answer = 'data: {"jsonrpc":"2.0","id":1,"result":{"content":[]}}\n\n'
    for (const request of BOTH) {
      gateway.upstream.answer = (_request, response) => {
        response.writeHead(200, SSE).write(`${answer}data: garbage\n\n`, () => response.destroy())
      }
      const { body, headers } = await tell(gateway, request)
      expect(body).toBe(answer)
      const decision = String(headers['cedargate-decision'])
      expect(await outcomeOf(decision)).toMatchObject({ result: 'forwarded', isError: false })
    }
  })
})

const refusing = (code: number, status: number, message: string): Answering =>
  answering(JSON.stringify({ jsonrpc: '2.0', id: 1, error: { code, message } }), JSON_TYPE, status)

test('each of them ended as is known, and no better', async () => {
  expect(expected.size).toBeGreaterThan(0)
  for (const [decision, outcome] of expected)
    expect(await outcomeOf(decision)).toMatchObject(outcome)
})

describe('the wrong era', () => {
  test.each<{ name: string; request: Request; answer: Answering; code: number; status: number }>([
    { name: 'a legacy server is asked by a modern client', request: MODERN, answer: refusing(-32000, 400, 'Bad Request: Server not initialized'), code: -32000, status: 400 },
    { name: 'a modern server is asked by a legacy client', request: { body: legacyText('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 't', version: '1' } }) }, answer: refusing(-32022, 400, 'Unsupported protocol version'), code: -32022, status: 400 },
    { name: 'a server that does not know the method', request: modern('server/discover'), answer: refusing(-32601, 404, 'Method not found'), code: -32601, status: 404 },
  ])('$name: its refusal passes, so that the client can go back', async ({ request, answer, code, status }) => {
    gateway.upstream.answer = (_request, response) => answer(response)
    const told = await tell(gateway, request)
    expect(told.status).toBe(status)
    expect(JSON.parse(told.body)).toMatchObject({ error: { code } })
    expectNothingOf(JSON.stringify(told.rawHeaders).replaceAll(`127.0.0.1:${gateway.port}`, ''))
    expect(await outcomeOf(String(told.headers['cedargate-decision']))).toMatchObject({ result: 'forwarded', status, isError: true })
  }) // biome-ignore format: a table
})

describe('a server that hangs', () => {
  test.each<{ name: string; begin: (response: ServerResponse) => void }>([
    { name: 'before it answers', begin: () => undefined },
    { name: 'after the head', begin: (response) => response.writeHead(200, JSON_TYPE).flushHeaders() },
    { name: 'in JSON', begin: (response) => void response.writeHead(200, JSON_TYPE).write('{"jsonrpc"') },
    { name: 'in events', begin: (response) => void response.writeHead(200, SSE).write(': hi\n\ndata: {"json') },
  ])('$name holds up nobody else; a modern client that leaves cancels', async ({ begin }) => {
    const cut: Promise<unknown>[] = []
    const hanging = new AbortController()
    gateway.upstream.answer = (_request, response) => {
      cut.push(new Promise((resolve) => response.once('close', resolve)))
      begin(response)
    }
    const before = await gateway.recorded()
    const calls = Array.from({ length: 32 }, () => open({ ...sentOf(gateway, MODERN), signal: hanging.signal }))
    const settled = Promise.allSettled(calls.map((call) => call.then((answer) => answer.toArray())))
    await expect.poll(() => cut.length).toBe(32)
    gateway.upstream.answer = (request, response) =>
      answerJson(response, { jsonrpc: '2.0', id: messageOf(request).id, result: { content: [] } })
    for (const token of [gateway.tokens.alice, gateway.tokens.bob]) {
      expect((await tell(gateway, { ...LEGACY, token })).isError).toBe(false)
    }
    hanging.abort()
    await Promise.all([settled, ...cut])
    const [row] = await gateway.decisionsAfter(before)
    expect(await outcomeOf(row?.id ?? '')).toMatchObject({ result: expect.stringMatching(/^(unknown|failed)$/) })
  }) // biome-ignore format: long lines
})

describe('a gigabyte is not kept', () => {
  const block = Buffer.alloc(MIB, 0x78)
  /** Writes `head`, then `of` again and again until so many bytes are written or nobody takes them. */
  const pouring = (headers: Record<string, string>, head: string, of: Buffer): Answering => {
    return (response) => {
      response.writeHead(200, headers).write(head)
      let left = GIB - head.length
      const more = (): void => {
        while (left > 0 && !response.destroyed) {
          left -= of.length
          if (!response.write(of)) {
            response.once('drain', more)
            return
          }
        }
        if (left <= 0) response.end()
      }
      more()
    }
  }
  const note = JSON.stringify({
    jsonrpc: '2.0',
    method: 'notifications/message',
    params: { data: 'x'.repeat(4_000) },
  })
  const events = Buffer.from(`data: ${note}\n\n`.repeat(256))
  const head = '{"jsonrpc":"2.0","id":1,"result":{"x":"'

  test.each<{ name: string; answer: Answering; result: string }>([
    { name: 'JSON', answer: pouring(JSON_TYPE, head, block), result: 'failed' },
    { name: 'JSON of a known length', answer: pouring({ ...JSON_TYPE, 'content-length': String(GIB) }, head, block), result: 'failed' },
    { name: 'one event', answer: pouring(SSE, `data: ${head}`, block), result: 'unknown' },
    { name: 'one comment', answer: pouring(SSE, ': ', block), result: 'unknown' },
    { name: 'many events', answer: pouring(SSE, ': hi\n\n', events), result: 'unknown' },
  ])('$name: the client is told, and memory stays', async ({ answer, result }) => {
    gateway.upstream.answer = (_request, response) => answer(response)
    const rss = watchRss()
    const incoming = await open(sentOf(gateway, LEGACY))
    let last = ''
    for await (const chunk of incoming as AsyncIterable<Buffer>) last = (last + chunk.toString('latin1')).slice(-4_096)
    const grown = rss.grown()
    expect(last).toContain('upstream_invalid')
    expect(last).toContain('"isError":true')
    const decision = String(incoming.headers['cedargate-decision'] ?? (await newest()))
    expect(await outcomeOf(decision)).toMatchObject({ result, status: 200 })
    expect(grown).toBeLessThan(RSS_GROWTH_MAX)
  }) // biome-ignore format: a table
})

test('a server that asks faster than it listens is told of UPSTREAM_TELLS_MAX refusals at once, and no more', async () => {
  const asked = Array.from(
    { length: 2_000 },
    (_, id) => `data: {"jsonrpc":"2.0","id":${id},"method":"tools/list"}\n\n`,
  )
  const waiting: ServerResponse[] = []
  gateway.upstream.answer = (request, response) => {
    if (messageOf(request).method === undefined) waiting.push(response)
    else
      response
        .writeHead(200, SSE)
        .end(`${asked.join('')}data: {"jsonrpc":"2.0","id":1,"result":{"content":[]}}\n\n`)
  }
  expect((await tell(gateway, LEGACY)).body).toContain('"content"')
  await expect.poll(() => waiting.length).toBe(UPSTREAM_TELLS_MAX)
  for (const response of waiting) response.writeHead(202).end()
  waiting.length = 0
  await expect.poll(async () => (await tell(gateway, LEGACY)).status).toBe(200)
  await expect.poll(() => waiting.length).toBeGreaterThan(0)
  expect(waiting.length).toBeLessThanOrEqual(UPSTREAM_TELLS_MAX)
  for (const response of waiting) response.writeHead(202).end()
})

/** How much the most was that this process, which is client, gateway, database and server, had beyond what it has now. */
function watchRss(): { readonly grown: () => number } {
  const before = process.memoryUsage.rss()
  let most = before
  const timer = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss())
  }, 10)
  return {
    grown() {
      clearInterval(timer)
      return most - before
    },
  }
}
