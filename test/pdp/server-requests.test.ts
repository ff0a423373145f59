// What a server asks of its client, over the PDP's own route: decided for the person behind the token, said in words
// that fit, and nobody's to send but the server's.
import { hash, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SERVER_REQUESTS } from '../../schemas/mcp.ts'
import { decideResponse, type Verdict } from '../../schemas/pep-api.ts'
import { startTestPdp, type TestPdp } from '../harness/pdp.ts'

let pdp: TestPdp
let token: string
beforeAll(async () => {
  pdp = await startTestPdp()
  const grant = { user: 'ann', agent: 'demo', servers: ['everything'], teams: ['engineering'] }
  token = hash('sha256', (await pdp.admin.createGrant({ ...grant, expiresInMs: 3_600_000 })).token)
})
afterAll(() => pdp.stop())

async function decide(method: string, params: object, change: object = {}): Promise<Verdict> {
  const call = {
    requestId: randomUUID(),
    token,
    server: 'everything',
    from: 'server',
    method,
    message: JSON.stringify({ jsonrpc: '2.0', id: 'r-1', method, params }),
    era: 'legacy',
    definition: null,
    client: null,
    sourceIp: null,
    ...change,
  }
  const answer = await pdp.app.request('/pep/v1/decide', {
    method: 'POST',
    headers: { ...pdp.authorization('pep'), 'content-type': 'application/json' },
    body: JSON.stringify({ calls: [call] }),
  })
  const [result] = decideResponse.parse(await answer.json()).results
  if (result?.kind !== 'verdict') throw new Error(`no verdict: ${JSON.stringify(result)}`)
  return result
}

const form = (name: string) => {
  return { message: 'Please', requestedSchema: { type: 'object', properties: { [name]: { type: 'string' } } } }
} // biome-ignore format: a form

test.each(['legacy', 'modern'])('in the %s era a question is allowed, and one for a secret is not', async (era) => {
  const allowed = await decide('elicitation/create', form('city'), { era })
  expect(allowed).toMatchObject({ decision: 'allow', policies: ['engineering/asked'], text: '' })
  const denied = await decide('elicitation/create', form('password'), { era })
  expect(denied).toMatchObject({ decision: 'deny', code: 'forbid', policies: ['gateway/no-secret-forms'] })
  expect(denied.text).toBe(
    `Refused by the policy gateway: the server everything wanted to ask the person at this client for something, elicitation/create (forbid). Forbidden by gateway/no-secret-forms: the question reads as if it asked for a password, a key, a token or the like. Only this was refused: a call that is under way at the server goes on, and nothing of it was undone. Decision ${denied.decisionId}. To get access: ask in #platform-access, and say which tool you need and why.`,
  )
}) // biome-ignore format: long lines

test.each(['sampling/createMessage', 'roots/list'])('%s is nobody’s to permit by the way', async (method) => {
  const verdict = await decide(method, {})
  expect(verdict).toMatchObject({ decision: 'deny', code: 'no_permit', policies: [] })
}) // biome-ignore format: a title

test.each(SERVER_REQUESTS)('a client does not send %s', async (method) => {
  for (const change of [{ from: 'client' }, { from: undefined }]) {
    const verdict = await decide(method, form('city'), change)
    expect(verdict).toMatchObject({ decision: 'deny', code: 'unknown_method' })
    expect(verdict.text).toContain(`: ${method} on everything (unknown_method). `)
  }
})

test.each(['tools/call', 'tools/list', 'ping', 'response', 'nope'])('a server does not send %s', async (method) => {
  const message = method === 'response' ? { message: '{"jsonrpc":"2.0","id":1,"result":{}}' } : {}
  const verdict = await decide(method, { name: 'echo' }, message)
  expect(verdict).toMatchObject({ decision: 'deny', code: 'unknown_method', visible: null })
  expect(verdict.text).toContain(`: the server everything wanted something of this client, ${method} (unknown_method). `)
}) // biome-ignore format: a title

test('a request that is not of its method is read as neither', async () => {
  const message = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'roots/list', params: {} })
  const verdict = await decide('elicitation/create', {}, { message })
  expect(verdict).toMatchObject({ decision: 'deny', code: 'invalid_request' })
})
