// Promise 1: with no policy every call is refused, whatever its method and era; nothing reaches the
// server, not even the gateway's own look at it, and each refusal is on record.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { METHODS } from '../../schemas/mcp.ts'
import { type Gateway, startGateway } from '../harness/gateway.ts'
import { legacyText, modern, type Params, type Request, tell } from '../harness/mcp-request.ts'

let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway({ policies: null })
})
afterAll(() => gateway.stop())

const PARAMS: Readonly<Record<string, Params>> = {
  'tools/call': { name: 'echo', arguments: { message: 'hi' } },
  'resources/read': { uri: 'file:///a' },
  'resources/subscribe': { uri: 'file:///a' },
  'resources/unsubscribe': { uri: 'file:///a' },
  'prompts/get': { name: 'hello' },
  'completion/complete': {
    ref: { type: 'ref/prompt', name: 'hello' },
    argument: { name: 'a', value: '' },
  },
}
const UNKNOWN = [
  'tools/destroy',
  'TOOLS/CALL',
  'sampling/createMessage',
  'notifications/made/up',
  'rpc.discover',
]

/** One message of that method as its clients send it; `http:*` have no body. */
function requestOf(method: string, era: 'legacy' | 'modern'): Request {
  if (method === 'http:get') return { method: 'GET' }
  if (method === 'http:delete') return { method: 'DELETE' }
  if (method === 'response') return { body: '{"jsonrpc":"2.0","id":1,"result":{}}' }
  if (era === 'modern') return modern(method, PARAMS[method])
  const body = legacyText(method, PARAMS[method])
  return { body: method.startsWith('notifications/') ? body.replace('"id":1,', '') : body }
}

describe.each(['legacy', 'modern'] as const)('%s', (era) => {
  const methods = [...METHODS].flatMap(([method, { eras }]) => (eras.includes(era) ? [method] : []))
  test.each([...methods, ...UNKNOWN])('%s', async (method) => {
    const before = await gateway.recorded()
    const told = await tell(gateway, requestOf(method, era))
    expect(told.said).toMatchObject({
      code: expect.stringMatching(/^(no_permit|unknown_tool|unknown_method|invalid_request)$/),
      policies: [],
      decisionId: told.headers['cedargate-decision'],
    })
    const statuses = era === 'modern' ? [200, 403, 404] : [200, 403]
    expect(statuses).toContain(told.status)
    expect(await gateway.recorded()).toBe(before + 1)
    const row = await gateway.pdp.admin.showDecision(told.said.decisionId ?? '')
    expect(row).toMatchObject({
      user: 'alice',
      server: 'echo',
      method,
      verdict: 'deny',
      code: told.said.code,
    })
  })
})

test('no byte reached the server', () => {
  expect(gateway.upstream.reached).toEqual([])
  expect(gateway.upstream.looks).toEqual([])
})
