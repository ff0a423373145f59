// What a client authenticates and identifies itself with never reaches a server, and what a server
// sets never reaches a client: looked for in the raw headers of both ends, and by a canary in every
// byte.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Gateway, startGateway } from '../harness/gateway.ts'
import { callText, modern, type Request, tell } from '../harness/mcp-request.ts'

let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway()
})
afterAll(() => gateway.stop())
beforeEach(() => gateway.upstream.reset())

const CANARY = 'canary-4f1d'
const SENT = [
  'Cookie', 'Forwarded', 'X-Forwarded-For', 'X-Forwarded-Host', 'X-Forwarded-Proto', 'X-Real-IP', 'Via',
  'Proxy-Authorization', 'X-Api-Key', 'X-Authorization', 'Referer', 'User-Agent', 'X-Custom', 'Upgrade-Insecure-Requests',
] // biome-ignore format: a list

const legacy: Request = { body: callText('{"message":"hi"}') }
const list = modern('tools/list')
const call = modern('tools/call', { name: 'echo', arguments: { message: 'hi' } })
const stream: Request = { method: 'GET' }
const end: Request = { method: 'DELETE' }

test.each([
  { name: 'a legacy call', request: legacy },
  { name: 'a modern call', request: call },
  { name: 'a list', request: list },
  { name: 'a stream', request: stream },
  { name: 'the end of a session', request: end },
])('$name: nothing of the client crosses', async ({ request }) => {
  await tell(gateway, { ...request, extra: SENT.map((name) => [name, `${name}=${CANARY}`]) })
  expect(gateway.upstream.reached).toHaveLength(1)
  const [reached] = gateway.upstream.reached
  const raw = JSON.stringify([reached?.rawHeaders, reached?.body])
  expect(raw).not.toContain(CANARY)
  expect(raw).not.toContain(gateway.tokens.alice)
  expect(raw).not.toMatch(/cg[topg]_/)
  const names = Object.keys(reached?.headers ?? {})
  expect(names.filter((name) => !ALLOWED.has(name))).toEqual([])
})

/** All that a server ever sees. */
const ALLOWED = new Set([
  'host', 'connection', 'content-length', 'content-type', 'accept', 'mcp-protocol-version', 'mcp-method', 'mcp-name',
]) // biome-ignore format: a list

test('a session id of the server is not what its client gets to see', async () => {
  gateway.upstream.answer = (_request, response) => {
    response.setHeader('mcp-session-id', CANARY)
    response.setHeader('content-type', 'application/json')
    response.end('{"jsonrpc":"2.0","id":1,"result":{}}')
  }
  const told = await tell(gateway, legacy)
  expect(told.headers['mcp-session-id']).toMatch(/^v2\./)
  expect(JSON.stringify(told.rawHeaders)).not.toContain(CANARY)
})

test.each([
  { name: 'a legacy call', request: legacy },
  { name: 'a modern call', request: call },
])('$name: nothing that the server sets crosses', async ({ request }) => {
  gateway.upstream.answer = (_request, response) => {
    for (const name of ['Set-Cookie', 'WWW-Authenticate', 'Clear-Site-Data', 'Server', 'X-Powered-By', 'Location', 'Link', 'Alt-Svc', 'Refresh', 'Access-Control-Allow-Origin']) response.setHeader(name, `x=${CANARY}`)
    response.setHeader('content-type', 'application/json')
    response.end('{"jsonrpc":"2.0","id":1,"result":{"content":[]}}')
  } // biome-ignore format: a list
  const told = await tell(gateway, request)
  expect(told.status).toBe(200)
  expect(JSON.stringify(told.rawHeaders)).not.toContain(CANARY)
})

test('a redirect is not followed and not passed on', async () => {
  gateway.upstream.answer = (_request, response) => {
    response.writeHead(307, { location: `${gateway.upstream.url}/elsewhere/${CANARY}` }).end()
  }
  const told = await tell(gateway, legacy)
  expect(told).toMatchObject({ status: 200, isError: true, said: { code: 'upstream_invalid' } })
  expect(gateway.upstream.reached).toHaveLength(1)
  expect(JSON.stringify([told.rawHeaders, told.body])).not.toContain(CANARY)
})
