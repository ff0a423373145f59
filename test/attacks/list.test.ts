// A server that tries to show a person tools which no policy permits: whatever form its list has,
// no such name reaches the client, in any byte of the answer.
import type { ServerResponse } from 'node:http'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Gateway, startGateway } from '../harness/gateway.ts'
import { legacyText, modern, type Request, tell } from '../harness/mcp-request.ts'

let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway()
})
afterAll(() => gateway.stop())
beforeEach(() => gateway.upstream.reset())

/**
 * What bob may not see: `secret` is for keepers, `erase` for nobody, the rest were never reviewed.
 */
const HIDDEN = /secret|erase|smuggled|constructor|toString/i
const tool = (name: string): string => `{"name":"${name}","inputSchema":{"type":"object"}}`
const ECHO = tool('echo')
const BAD = tool('erase')
const ALL = `[${ECHO},${tool('secret')},${BAD},${tool('smuggled')}]`
const listed = (tools: string, id = '1'): string => {
  return `{"jsonrpc":"2.0","id":${id},"result":{"tools":${tools}}}`
}
const event = (data: string, end = '\n'): string => `event: message${end}data: ${data}${end}${end}`

const LEGACY: Request = { body: legacyText('tools/list') }
const MODERN: Request = modern('tools/list')
const ask = async (request: Request, answer: (response: ServerResponse) => void) => {
  gateway.upstream.answer = (_request, response) => answer(response)
  return await tell(gateway, { ...request, token: gateway.tokens.bob })
}
const answering = (type: string | undefined, body: string | Uint8Array, status = 200) => {
  return (response: ServerResponse): void => {
    response.writeHead(status, type === undefined ? {} : { 'content-type': type }).end(body)
  }
}
const JSON_TYPE = 'application/json'
const SSE = 'text/event-stream'

describe('the list is shown without what nothing permits', () => {
  test.each<{ name: string; type: string; body: string; status?: number }>([
    { name: 'JSON', type: JSON_TYPE, body: listed(ALL) },
    { name: 'JSON in capitals', type: 'APPLICATION/JSON ; charset=utf-8', body: listed(ALL) },
    { name: 'JSON with the status of an error', type: JSON_TYPE, body: listed(ALL), status: 500 },
    { name: 'JSON that is only a part', type: JSON_TYPE, body: listed(ALL), status: 206 },
    { name: 'no id', type: JSON_TYPE, body: listed(ALL, 'null') },
    { name: 'the same tool twice', type: JSON_TYPE, body: listed(`[${ECHO},${BAD},${ECHO},${BAD}]`) },
    { name: 'two names, the second permitted', type: JSON_TYPE, body: listed(`[${ECHO},{"name":"erase","name":"echo"}]`) },
    { name: 'two names, the first permitted', type: JSON_TYPE, body: listed(`[${ECHO},{"name":"echo","name":"erase"}]`) },
    { name: 'names of JavaScript', type: JSON_TYPE, body: listed(`[${ECHO},${tool('constructor')},${tool('toString')},${tool('__proto__')}]`) },
    { name: 'a name in __proto__', type: JSON_TYPE, body: listed(`[${ECHO},{"__proto__":{"name":"echo"},"title":"erase"}]`) },
    { name: 'a name that is no text', type: JSON_TYPE, body: listed(`[${ECHO},{"name":["echo"],"title":"erase"},{"name":{"toString":"echo"}},["erase"],"erase",null]`) },
    { name: 'a name with escapes', type: JSON_TYPE, body: listed(`[${ECHO},{"name":"er\\u0061se"}]`) },
    { name: 'events', type: SSE, body: event(listed(ALL)) },
    { name: 'events in capitals', type: 'Text/Event-Stream; charset=utf-8', body: event(listed(ALL)) },
    { name: 'events, two answers', type: SSE, body: event(listed(`[${ECHO}]`)) + event(listed(ALL)) },
    { name: 'events, an answer to another id', type: SSE, body: event(listed(ALL, '7')) + event(listed(`[${ECHO}]`)) },
    { name: 'events, CR LF', type: SSE, body: event(listed(ALL), '\r\n') },
    { name: 'events, CR', type: SSE, body: event(listed(ALL), '\r') },
    { name: 'events, a byte order mark', type: SSE, body: `\ufeff${event(listed(`[${ECHO}]`))}\ufeff${event(listed(ALL))}` },
    { name: 'events, data in pieces', type: SSE, body: event(listed(ALL).replaceAll(',', ',\ndata:')) },
    { name: 'events of another type', type: SSE, body: event(listed(`[${ECHO}]`)) + event(listed(ALL)).replace('message', 'endpoint') },
    { name: 'events after a comment', type: SSE, body: `: hi\n\nid: 1\nretry: 1\n${event(listed(ALL))}` },
    { name: 'events, the last not ended', type: SSE, body: event(listed(`[${ECHO}]`)) + event(listed(ALL)).trimEnd() },
  ])('$name', async ({ type, body, status }) => {
    const legacy = await ask(LEGACY, answering(type, body, status))
    expect(legacy.body).toContain('"echo"')
    expect(legacy.body).not.toMatch(HIDDEN)
    expect(Buffer.from(legacy.body).toString('latin1')).not.toMatch(/er.{0,6}se"/)
    const now = await ask(MODERN, answering(type, body, status))
    expect(now.body).not.toMatch(HIDDEN)
  }) // biome-ignore format: a table
})

describe('a list that cannot be read is refused', () => {
  test.each<{ name: string; answer: (response: ServerResponse) => void }>([
    { name: 'as HTML', answer: answering('text/html', listed(ALL)) },
    { name: 'as text', answer: answering('text/plain', listed(ALL)) },
    { name: 'without a type', answer: answering(undefined, listed(ALL)) },
    { name: 'with an empty type', answer: answering('', listed(ALL)) },
    { name: 'as another JSON', answer: answering('application/problem+json', listed(ALL)) },
    { name: 'as a sequence of JSON', answer: answering('application/json-seq', listed(ALL)) },
    { name: 'as two types', answer: answering('application/json, text/event-stream', listed(ALL)) },
    { name: 'events said to be JSON', answer: answering(JSON_TYPE, event(listed(ALL))) },
    { name: 'two documents', answer: answering(JSON_TYPE, `${listed(`[${ECHO}]`)}\n${listed(ALL)}`) },
    { name: 'a batch', answer: answering(JSON_TYPE, `[${listed(ALL)}]`) },
    { name: 'a list that is an object', answer: answering(JSON_TYPE, listed(`{"0":${BAD}}`)) },
    { name: 'a result that is an array', answer: answering(JSON_TYPE, `{"jsonrpc":"2.0","id":1,"result":[{"tools":${ALL}}]}`) },
    { name: 'another id', answer: answering(JSON_TYPE, listed(ALL, '2')) },
    { name: 'error and result', answer: answering(JSON_TYPE, `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"},"result":{"tools":${ALL}}}`) },
    { name: 'two lists in one result', answer: answering(JSON_TYPE, `{"jsonrpc":"2.0","id":1,"result":{"tools":[${ECHO}],"tools":${ALL}}}`) },
    { name: 'two results', answer: answering(JSON_TYPE, `{"jsonrpc":"2.0","id":1,"result":{"tools":[]},"result":{"tools":${ALL}}}`) },
    { name: 'no answer at all', answer: answering(JSON_TYPE, `{"jsonrpc":"2.0","id":1,"Tools":${ALL}}`) },
    { name: 'Tools beside tools', answer: answering(JSON_TYPE, `{"jsonrpc":"2.0","id":1,"result":{"tools":[${ECHO}],"Tools":${ALL}}}`) },
    { name: 'Result beside result', answer: answering(JSON_TYPE, `{"jsonrpc":"2.0","id":1,"result":{"tools":[${ECHO}]},"Result":{"tools":${ALL}}}`) },
    { name: 'Result beside error', answer: answering(JSON_TYPE, `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"},"Result":{"tools":${ALL}}}`) },
    { name: 'gzip though identity was asked', answer: (response) => response.writeHead(200, { 'content-type': JSON_TYPE, 'content-encoding': 'gzip' }).end(gzipSync(listed(ALL))) },
    { name: 'brotli events', answer: (response) => response.writeHead(200, { 'content-type': SSE, 'content-encoding': 'br' }).end(brotliCompressSync(event(listed(ALL)))) },
    { name: 'half an answer', answer: (response) => response.writeHead(200, { 'content-type': JSON_TYPE, 'content-length': '9999' }).write(listed(ALL), () => response.destroy()) },
  ])('$name', async ({ answer }) => {
    for (const request of [LEGACY, MODERN]) {
      const told = await ask(request, answer)
      expect(told.said.code).toMatch(/^upstream_(invalid|unavailable)$/)
      expect(told.body).not.toMatch(HIDDEN)
    }
  }) // biome-ignore format: a table

  test.each<{ name: string; body: string }>([
    { name: 'JSON said to be events', body: `${listed(ALL)}\n\n` },
    { name: 'a batch as an event', body: event(`[${listed(ALL)}]`) },
    { name: 'an event that is not JSON', body: event(`${listed(ALL)}}`) },
    { name: 'Tools beside tools', body: event(`{"jsonrpc":"2.0","id":1,"result":{"tools":[],"Tools":${ALL}}}`) },
  ])('in events: $name', async ({ body }) => {
    for (const request of [LEGACY, MODERN]) {
      const told = await ask(request, answering(SSE, body))
      expect(told.body).not.toMatch(/"name"/)
    }
  }) // biome-ignore format: a table
})

test('a tool with two names that differ by case is not shown', async () => {
  const tools = `[${ECHO},{"name":"echo","Name":"erase"},{"Name":"erase"}]`
  const told = await ask(LEGACY, answering(JSON_TYPE, listed(tools)))
  expect(told.body).toContain('"echo"')
  expect(told.body).not.toMatch(HIDDEN)
})

test('a stream that replays a list keeps it back', async () => {
  const replay =
    event('{"jsonrpc":"2.0","method":"notifications/message","params":{}}') + event(listed(ALL))
  const told = await ask({ method: 'GET' }, answering(SSE, replay))
  expect(told.body).toContain('notifications/message')
  expect(told.body).not.toMatch(HIDDEN)
})

test.each(['resources', 'prompts'])('%s that nothing permits are not listed', async (kind) => {
  const body = `{"jsonrpc":"2.0","id":1,"result":{"${kind}":${ALL}}}`
  const told = await ask({ body: legacyText(`${kind}/list`) }, answering(JSON_TYPE, body))
  expect(told).toMatchObject({ status: 200, said: {} })
  expect(told.body).toContain(`"${kind}":[]`)
})
