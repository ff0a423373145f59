// Resources, prompts and completions are denied until a policy permits their own action; a permit of every tool is none.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Gateway, startGateway } from '../harness/gateway.ts'
import { legacyText, modern, type Params, type Told, tell } from '../harness/mcp-request.ts'
import { messageOf } from '../harness/upstream.ts'

/** bob, of staff, may call every tool; alice, a keeper, may also read, get and complete what is open. */
const POLICIES = `
@id("gateway/discovery")
permit (principal == MCP::Agent::"cedargate", action == MCP::Action::"connect", resource);
@id("staff/everything")
permit (principal in MCP::Team::"staff", action in MCP::Action::"all", resource);
@id("staff/connect")
permit (principal in MCP::Team::"staff", action == MCP::Action::"connect", resource);
@id("keepers/resources")
permit (principal in MCP::Team::"keepers", action == MCP::Action::"resources/read", resource == MCP::Server::"echo")
when { context.args.uri like "file:///open/*" };
@id("keepers/prompts")
permit (principal in MCP::Team::"keepers", action == MCP::Action::"prompts/get", resource == MCP::Server::"echo")
when { context.args.name == "open" };
@id("keepers/completions")
permit (principal in MCP::Team::"keepers", action == MCP::Action::"completion/complete", resource == MCP::Server::"echo")
when { context.args.ref == "ref/prompt" && context.args has name && context.args.name == "open" };
`
let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway({ policies: POLICIES })
})
afterAll(() => gateway.stop())
beforeEach(() => gateway.upstream.reset())

const ERAS = ['legacy', 'modern'] as const
type Era = (typeof ERAS)[number]
type Asked = { readonly method: string; readonly params: Params }

async function ask(who: 'alice' | 'bob', { method, params }: Asked, era: Era, server = 'echo') {
  const request = era === 'modern' ? modern(method, params) : { body: legacyText(method, params) }
  return tell(gateway, { ...request, path: `/${server}/mcp`, token: gateway.tokens[who] })
}
const reached = () => gateway.upstream.reached.map((one) => messageOf(one).method)
const denied = (told: Told, code: string) => {
  expect(told.status).toBe(200)
  expect(told.said).toMatchObject({ code, policies: [], decisionId: expect.any(String) })
  expect(reached()).toEqual([])
}

const read = (uri: string) => ({ method: 'resources/read', params: { uri } })
const get = (name: string) => ({ method: 'prompts/get', params: { name } })
const complete = (ref: object) => {
  return { method: 'completion/complete', params: { ref, argument: { name: 'a', value: '' } } }
}
const prompt = (name: string) => ({ type: 'ref/prompt', name })

describe.each(ERAS)('%s', (era) => {
  test.each([
    { policy: 'keepers/resources', open: read('file:///open/a'), shut: read('file:///shut/a') },
    { policy: 'keepers/prompts', open: get('open'), shut: get('shut') },
    { policy: 'keepers/completions', open: complete(prompt('open')), shut: complete(prompt('shut')) },
    { policy: 'keepers/completions', open: complete(prompt('open')), shut: complete({ type: 'ref/resource', uri: 'open' }) },
  ])('$policy', async ({ policy, open, shut }) => {
    denied(await ask('bob', open, era), 'no_permit')
    denied(await ask('alice', shut, era), 'no_permit')
    denied(await ask('alice', open, era, 'twin'), 'no_permit')
    const allowed = await ask('alice', open, era)
    expect(allowed).toMatchObject({ status: 200, said: {} })
    expect(reached()).toEqual([open.method])
    const row = await gateway.pdp.admin.showDecision(String(allowed.headers['cedargate-decision']))
    expect(row).toMatchObject({ method: open.method, verdict: 'allow', policies: [policy], tool: null })
  })

  test.each([
    { method: 'resources/read', params: {} },
    { method: 'resources/read', params: { uri: 5 } },
    { method: 'prompts/get', params: { name: ['open'] } },
    { method: 'completion/complete', params: { ref: 'open' } },
    { method: 'completion/complete', params: { ref: { type: 'ref/tool', name: 'open' }, argument: { name: 'a', value: '' } } },
  ])('$method of $params is no request', async (asked) => {
    const told = await ask('alice', asked, era)
    expect(told.said.code).toMatch(/^(invalid_request|header_mismatch|not_a_message)$/)
    expect(reached()).toEqual([])
  })

  test.each([
    { method: 'resources/list', kind: 'resources' },
    { method: 'prompts/list', kind: 'prompts' },
  ])('$method shows them to who may use some', async ({ method, kind }) => {
    gateway.upstream.answer = (_request, response) => {
      const result = { [kind]: [{ name: 'open', uri: 'file:///open/a' }] }
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ jsonrpc: '2.0', id: 1, result }))
    }
    const listed = async (who: 'alice' | 'bob', server?: string) =>
      JSON.parse((await ask(who, { method, params: {} }, era, server)).body).result[kind]
    expect(await listed('alice')).toMatchObject([{ name: 'open' }])
    expect(await listed('bob')).toEqual([])
    expect(await listed('alice', 'twin')).toEqual([])
  })
}) // biome-ignore format: a table
