// What stays open: a revocation ends it within a second, whatever it is; and a subscription tells its client of what it may
// read, and of nothing else.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { SUBSCRIBED_URIS_MAX } from '../../pep/src/limits.ts'
import { type Gateway, startGateway } from '../harness/gateway.ts'
import { callText, modern, type Request, sentOf, tell } from '../harness/mcp-request.ts'
import { open } from '../harness/raw-http.ts'
import { messageOf } from '../harness/upstream.ts'

const POLICIES = `
@id("gateway/discovery")
permit (principal == MCP::Agent::"cedargate", action == MCP::Action::"connect", resource);
@id("staff/connect")
permit (principal in MCP::Team::"staff", action == MCP::Action::"connect", resource);
@id("staff/echo")
permit (principal in MCP::Team::"staff", action == MCP::Action::"echo/echo", resource);
@id("staff/open")
permit (principal in MCP::Team::"staff", action == MCP::Action::"resources/read", resource)
when { context.args.uri like "file:///open/*" };
`
let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway({ policies: POLICIES })
})
afterAll(() => gateway.stop())
beforeEach(() => gateway.upstream.reset())

const SSE = { 'content-type': 'text/event-stream' }
type Json = { readonly [name: string]: unknown }
const eventOf = (message: Json) => `data: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`
const ACK = eventOf({ method: 'notifications/subscriptions/acknowledged', params: {} })
const LATE = 'said after the revocation'

const stays = (response: ServerResponse) => void response.writeHead(200, SSE).write(ACK)

describe('a revocation ends within a second', () => {
  const listen = modern('subscriptions/listen', { notifications: { toolsListChanged: true } })
  const call = { body: callText('{"message":"hi"}') }
  const now = modern('tools/call', { name: 'echo', arguments: { message: 'hi' } })
  test.each<{ name: string; request: Request }>([
    { name: 'a subscription', request: listen },
    { name: 'a GET stream', request: { method: 'GET' } },
    { name: 'the stream of a call, legacy', request: call },
    { name: 'the stream of a call, modern', request: now },
  ])('$name, and only that of its own token', async ({ request }) => {
    const responses: ServerResponse[] = []
    gateway.upstream.answer = (_request, response) => {
      responses.push(response)
      stays(response)
    }
    const { id, token } = await granted()
    const own = await listening({ ...request, token })
    const other = await listening(request)
    const before = performance.now()
    await gateway.pdp.admin.revokeGrant(id)
    await own.ended
    expect(performance.now() - before).toBeLessThan(1_000)
    for (const response of responses) response.write(eventOf({ id: 1, result: { x: LATE } }))
    await expect.poll(other.text).toContain(LATE)
    expect(own.text()).not.toContain(LATE)
    other.stream.destroy()
    expect((await tell(gateway, { ...request, token })).status).toBe(401)
  })

  test.each<{ name: string; request: Request; type: string }>([
    { name: 'a JSON answer, legacy', request: call, type: 'application/json' },
    { name: 'a JSON answer, modern', request: now, type: 'application/json' },
    { name: 'an event stream, legacy', request: call, type: 'text/event-stream' },
    { name: 'an event stream, modern', request: now, type: 'text/event-stream' },
  ])('what a call under way may still be answered: $name', async ({ request, type }) => {
    const waiting: ServerResponse[] = []
    gateway.upstream.answer = (_request, response) => void waiting.push(response)
    const { id, token } = await granted()
    const answer = tell(gateway, { ...request, token })
    await expect.poll(() => waiting.length).toBe(1)
    gateway.upstream.answer = (_request, response) => void response.writeHead(200, SSE).write(ACK)
    const other = await listening({ method: 'GET', token })
    await gateway.pdp.admin.revokeGrant(id)
    await other.ended
    const message = { jsonrpc: '2.0', id: 1, result: { content: [{ type: 'text', text: LATE }] } }
    const text = JSON.stringify(message)
    waiting[0]
      ?.writeHead(200, { 'content-type': type })
      .end(type.endsWith('json') ? text : `data: ${text}\n\n`)
    const told = await answer
    expect(told).toMatchObject({ status: 401, said: { code: 'unauthenticated' } })
    expect(told.body).not.toContain(LATE)
  })
})

const subscribing = (uris: readonly unknown[], more: Json = {}): Request =>
  modern('subscriptions/listen', { notifications: { resourceSubscriptions: uris, ...more } })

const updated = (uri: unknown) =>
  eventOf({ method: 'notifications/resources/updated', params: { uri } })

const MIXED = ['file:///open/a', 'file:///shut/b', 'file:///open/c']

const openUris = (count: number) => Array.from({ length: count }, (_, at) => `file:///open/${at}`)

describe('a subscription', () => {
  test('of what its caller may not read is not forwarded, each decided by itself and on record', async () => {
    gateway.upstream.answer = (_request, response) => void response.writeHead(200, SSE).end(ACK)
    const before = await gateway.recorded()
    expect((await tell(gateway, subscribing([...MIXED, 'file:///open/a']))).status).toBe(200)
    const [sent] = gateway.upstream.reached
    expect(sent && messageOf(sent).params?.['notifications']).toEqual({
      resourceSubscriptions: ['file:///open/a', 'file:///open/c'],
    })
    expect(sent?.body).not.toContain('shut')
    const rows = await gateway.decisionsAfter(before)
    expect(rows.map(({ verdict }) => verdict).toSorted()).toEqual([
      'allow',
      'allow',
      'allow',
      'deny',
    ])
    expect(rows.filter(({ method }) => method === 'subscriptions/listen')).toHaveLength(1)
  })

  test('of nothing that its caller may read is one of nothing', async () => {
    gateway.upstream.answer = (_request, response) => void response.writeHead(200, SSE).end(ACK)
    await tell(gateway, subscribing(['file:///shut/b']))
    const [sent] = gateway.upstream.reached
    expect(sent && messageOf(sent).params?.['notifications']).toEqual({ resourceSubscriptions: [] })
  })

  test('is told of what it is of and what is below, and of nothing else', async () => {
    const passes = ['file:///open/a', 'file:///open/a/b', 'file:///open/a?x=1', 'file:///open/a#b']
    const others = ['file:///open/ab', 'file:///open', 'file:///shut/b', 'file:///open/a/../../shut/b', 'file:///open/a/%2e%2e/%2E%2e/shut/b', 'file:///open/a/..%2f..%2fshut/b', 'FILE:///open/a', 5, null, ['file:///open/a']] // biome-ignore format: a list
    gateway.upstream.answer = (_request, response) => {
      response.writeHead(200, SSE).end(ACK + [...others, ...passes].map(updated).join(''))
    }
    const { body } = await tell(gateway, subscribing(['file:///open/a', 'file:///shut/b']))
    const told = body.split('\n').filter((line) => line.includes('resources/updated'))
    expect(
      told.map((line) => (JSON.parse(line.slice(6)) as { params: Json }).params['uri']),
    ).toEqual(passes)
  })

  test('to more than SUBSCRIBED_URIS_MAX is refused; nothing is decided and nothing sent', async () => {
    gateway.upstream.answer = (_request, response) => void response.writeHead(200, SSE).end(ACK)
    const before = await gateway.recorded()
    const told = await tell(gateway, subscribing(openUris(SUBSCRIBED_URIS_MAX + 1)))
    expect(told.said.code).toBe('too_many_requests')
    expect(await gateway.recorded()).toBe(before)
    expect(gateway.upstream.reached).toEqual([])
    expect((await tell(gateway, subscribing(openUris(SUBSCRIBED_URIS_MAX)))).status).toBe(200)
    expect(await gateway.recorded()).toBe(before + SUBSCRIBED_URIS_MAX + 1)
  })

  test.each<{ name: string; request: Request }>([
    { name: 'a URI that is none', request: subscribing([5]) },
    { name: 'in another case', request: modern('subscriptions/listen', { Notifications: { resourceSubscriptions: ['file:///shut/b'] } }) },
    { name: 'in another case inside', request: modern('subscriptions/listen', { notifications: { ResourceSubscriptions: ['file:///shut/b'] } }) },
    { name: 'twice, by case', request: subscribing(['file:///open/a'], { resourcesubscriptions: ['file:///shut/b'] }) },
  ])('spelled so that a server could read another one is refused: $name', async ({ request }) => {
    const told = await tell(gateway, request)
    expect(told.said.code).toBe('not_a_message')
    expect(gateway.upstream.reached).toEqual([])
  }) // biome-ignore format: a table

  test('a word of ours as a method is none of a client’s', async () => {
    const before = await gateway.recorded()
    const told = await tell(gateway, modern('listen:resource', { uri: 'file:///open/a' }))
    expect(told.said.code).toMatch(/^(invalid_request|unknown_method)$/)
    expect(await gateway.recorded()).toBe(before + 1)
    expect(gateway.upstream.reached).toEqual([])
  })
})

test('what a completion is about cannot be spelled so that a server reads another', async () => {
  const argument = { name: 'a', value: '' }
  for (const params of [
    { ref: { type: 'ref/prompt', name: 'a', Name: 'b' }, argument },
    { ref: { type: 'ref/resource', uri: 'a', URI: 'b' }, argument },
    { ref: { type: 'ref/prompt', name: 'a' }, argument: { ...argument, Name: 'b' } },
    { ref: { type: 'ref/prompt', name: 'a' }, Ref: { type: 'ref/prompt', name: 'b' }, argument },
  ]) {
    const { said } = await tell(gateway, modern('completion/complete', params))
    expect(said.code).toBe('not_a_message')
  }
  expect(gateway.upstream.reached).toEqual([])
})

/** A token of alice's that nobody else uses. */
function granted() {
  const wanted = { user: 'alice', agent: 'demo', servers: ['echo'], teams: [], expiresInMs: 60_000 }
  return gateway.pdp.admin.createGrant(wanted)
}

type Listening = {
  readonly stream: IncomingMessage
  readonly text: () => string
  readonly ended: Promise<unknown>
}

/** An open stream, from its first word on. */
async function listening(request: Request): Promise<Listening> {
  const stream = await open(sentOf(gateway, request))
  let text = ''
  const ended = new Promise((resolve) => stream.once('close', resolve))
  stream.on('error', () => undefined).on('data', (chunk: Buffer) => (text += chunk.toString()))
  await expect.poll(() => text).toContain('acknowledged')
  return { stream, text: () => text, ended }
}
