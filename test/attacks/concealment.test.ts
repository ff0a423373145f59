// Guessing the names of tools one may not see: with `concealment: unknown` no byte of an answer tells an unlisted tool from
// one that does not exist, whatever is wrong with the call, and the record keeps what is true.
import type { ServerResponse } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { DISCOVERY_COOLDOWN_MS } from '../../pep/src/limits.ts'
import type { ToolDefinition } from '../../schemas/bundle.ts'
import { type Gateway, startGateway, TOOLS } from '../harness/gateway.ts'
import {
  callText,
  legacyText,
  modern,
  type Request,
  type Told,
  tell,
} from '../harness/mcp-request.ts'
import { messageOf, type Reached } from '../harness/upstream.ts'

/** bob is staff: he is listed `echo/echo` alone. Nothing permits any tool of `twin`. */
const POLICIES = `
@id("gateway/discovery")
permit (principal == MCP::Agent::"cedargate", action == MCP::Action::"connect", resource);
@id("staff/connect")
permit (principal in MCP::Team::"staff", action == MCP::Action::"connect", resource);
@id("staff/echo")
permit (principal in MCP::Team::"staff", action == MCP::Action::"echo/echo", resource)
when { context.args.message like "h*" };
@id("echo/no-hidden")
forbid (principal, action == MCP::Action::"echo/echo", resource)
when { context.args.message like "*hidden*" };
@id("staff/secret")
permit (principal in MCP::Team::"staff", action == MCP::Action::"echo/secret", resource);
@id("keepers/only")
forbid (principal, action == MCP::Action::"echo/secret", resource)
unless { principal in MCP::Team::"keepers" };
@id("twin/fails")
forbid (principal, action == MCP::Action::"twin/secret", resource)
when { context.argsMeta.bytes * 9007199254740991 * 9007199254740991 > 0 };
`
const [echo, secret, erase] = TOOLS as [ToolDefinition, ToolDefinition, ToolDefinition]

let gateway: Gateway
let explaining: Gateway
/** Of the PEP's clock. */
let skewMs = 0
beforeAll(async () => {
  gateway = await startGateway({
    policies: POLICIES,
    concealment: 'unknown',
    monotonic: () => performance.now() + skewMs,
  })
  explaining = await startGateway({ policies: POLICIES })
})
afterAll(async () => {
  await gateway.stop()
  await explaining.stop()
})
beforeEach(() => gateway.upstream.reset())

type Call = { readonly server?: string; readonly tool: string; readonly args?: string }
type Era = 'legacy' | 'modern'
const ERAS = ['legacy', 'modern'] as const

function requestOf({ server = 'echo', tool, args }: Call, era: Era, token: string): Request {
  const params = { name: tool, ...(args === undefined ? {} : { arguments: JSON.parse(args) }) }
  const request =
    era === 'modern' ? modern('tools/call', params) : { body: legacyText('tools/call', params) }
  return { ...request, path: `/${server}/mcp`, token }
}

async function call(of: Call, era: Era, to = gateway): Promise<Told> {
  return tell(to, requestOf(of, era, to.tokens.bob))
}

/** All that a client can see, but for the ids of decision and moment, and the name it sent itself. */
function seen({ status, rawHeaders, body, said }: Told, tool: string): object {
  const without = (text: string) =>
    text.replaceAll(said.decisionId ?? 'no id', '<decision>').replaceAll(tool, '<tool>')
  const headers = rawHeaders.map((text, at) =>
    rawHeaders[at - 1]?.toLowerCase() === 'date' ? '<date>' : without(text),
  )
  return { status, headers, body: without(body) }
}

/** A name that no tool has, as long as this one. */
const nameless = (tool: string) => 'x'.repeat(tool.length)
const changed: ToolDefinition = { ...erase, description: 'another' }
const saysChanged = (request: Reached, response: ServerResponse): void => {
  const changes = { jsonrpc: '2.0', method: 'notifications/tools/list_changed' }
  const answer = { jsonrpc: '2.0', id: messageOf(request).id, result: { content: [] } }
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.end([changes, answer].map((one) => `data: ${JSON.stringify(one)}\n\n`).join(''))
}
const codeOf = async ({ said }: Told): Promise<string | undefined> =>
  (await gateway.pdp.admin.showDecision(said.decisionId ?? ''))?.code
/** Until the gateway itself has seen that the server lists these, and decides so. */
const shown = async (tools: readonly ToolDefinition[], of: Call, code: string): Promise<void> => {
  const { looks } = gateway.upstream
  gateway.upstream.tools = tools
  looks.length = 0
  skewMs += DISCOVERY_COOLDOWN_MS
  const behave = gateway.upstream.answer
  gateway.upstream.answer = saysChanged
  await call({ tool: 'echo', args: '{"message":"hi"}' }, 'legacy')
  gateway.upstream.answer = behave
  gateway.upstream.reached.length = 0
  await expect.poll(() => looks.some((one) => messageOf(one).method === 'tools/list')).toBe(true)
  await expect.poll(async () => codeOf(await call(of, 'legacy'))).toBe(code)
}

type Row = Call & {
  readonly name: string
  readonly code: string
  readonly policies?: string[]
  readonly tools?: readonly ToolDefinition[]
}
describe.each(ERAS)('%s', (era) => {
  test.each<Row>([
    { name: 'no permit', tool: 'erase', args: '{"path":"a"}', code: 'no_permit' },
    { name: 'no permit, no arguments', tool: 'erase', code: 'no_permit' },
    {
      name: 'a forbid that reads no argument',
      tool: 'secret',
      args: '{}',
      code: 'forbid',
      policies: ['keepers/only'],
    },
    {
      name: 'a policy that fails',
      server: 'twin',
      tool: 'secret',
      args: '{}',
      code: 'policy_error',
      policies: ['twin/fails'],
    },
    {
      name: 'an argument of a wrong type',
      tool: 'erase',
      args: '{"path":5}',
      code: 'invalid_request',
    },
    { name: 'arguments that are a list', tool: 'erase', args: '[]', code: 'invalid_request' },
    { name: 'arguments that are null', tool: 'erase', args: 'null', code: 'invalid_request' },
    {
      name: 'a missing argument',
      server: 'twin',
      tool: 'echo',
      args: '{}',
      code: 'invalid_request',
    },
    { name: 'all arguments missing', server: 'twin', tool: 'echo', code: 'invalid_request' },
    {
      name: 'an unknown argument',
      tool: 'erase',
      args: '{"path":"a","force":true}',
      code: 'unknown_argument',
    },
    {
      name: 'an unknown argument of an unreadable name',
      tool: 'erase',
      args: '{"constructor":{"__proto__":1}}',
      code: 'unknown_argument',
    },
    {
      name: 'a changed definition',
      tool: 'erase',
      args: '{}',
      code: 'tool_changed',
      tools: [echo, secret, changed],
    },
    {
      name: 'a definition that is gone',
      tool: 'erase',
      args: '{}',
      code: 'unknown_tool',
      tools: [echo, secret],
    },
  ])('$name', async ({ server = 'echo', tool, args, code, policies = [], tools }) => {
    const of = { server, tool, ...(args === undefined ? {} : { args }) }
    if (tools !== undefined) await shown(tools, of, code)
    const nothing = nameless(tool)
    const told = await call(of, era)
    const control = await call({ ...of, tool: nothing }, era)
    expect(control.said).toMatchObject({ code: 'unknown_tool', policies: [] })
    expect(seen(told, tool)).toEqual(seen(control, nothing))
    const row = await gateway.pdp.admin.showDecision(told.said.decisionId ?? '')
    expect(row).toMatchObject({ tool, verdict: 'deny', code, policies })
    expect(gateway.upstream.reached).toEqual([])
    if (tools !== undefined) await shown(TOOLS, of, 'no_permit')
  })

  test('a listed tool that is denied for its arguments explains itself', async () => {
    const forbidden = await call({ tool: 'echo', args: '{"message":"hidden"}' }, era)
    expect(forbidden.said).toMatchObject({ code: 'forbid', policies: ['echo/no-hidden'] })
    expect(forbidden.said.text).toContain('Forbidden by echo/no-hidden')
    const wrong = await call({ tool: 'echo', args: '{"message":5}' }, era)
    expect(wrong.said.code).toBe('invalid_request')
    expect((await call({ tool: 'echo', args: '{"message":"no"}' }, era)).said.code).toBe(
      'no_permit',
    )
    expect((await call({ tool: 'echo', args: '{"message":"hi"}' }, era)).isError).toBe(false)
  })

  test('who may see the tool reads why', async () => {
    const request = requestOf({ tool: 'secret', args: '{"a":1}' }, era, gateway.tokens.alice)
    expect((await tell(gateway, request)).said.code).toBe('unknown_argument')
  })

  test('`explain` says that no policy permits it, or which forbids', async () => {
    const unlisted = await call({ tool: 'erase', args: '{}' }, era, explaining)
    expect(unlisted.said).toMatchObject({ code: 'no_permit', policies: [] })
    expect(unlisted.said.text).toContain('No policy permits it')
    const forbidden = await call({ tool: 'secret', args: '{}' }, era, explaining)
    expect(forbidden.said).toMatchObject({ code: 'forbid', policies: ['keepers/only'] })
    expect((await call({ tool: 'xxxxx', args: '{}' }, era, explaining)).said.code).toBe(
      'unknown_tool',
    )
  })
})

test('the list is the same under both: what some call could be allowed', async () => {
  for (const to of [gateway, explaining]) {
    const { body } = await tell(to, { body: legacyText('tools/list'), token: to.tokens.bob })
    expect(JSON.parse(body)).toMatchObject({ result: { tools: [{ name: 'echo' }] } })
    expect(body).not.toMatch(/secret|erase/)
  }
})

test('arguments spelled in a way that cannot be read are refused before there is a tool', async () => {
  const told = await tell(gateway, {
    body: callText('{"a":1,"a":2}', 'erase'),
    token: gateway.tokens.bob,
  })
  const control = await tell(gateway, {
    body: callText('{"a":1,"a":2}', 'xxxxx'),
    token: gateway.tokens.bob,
  })
  expect(told.status).toBe(control.status)
  expect(told.said.code).toBe(control.said.code)
})
