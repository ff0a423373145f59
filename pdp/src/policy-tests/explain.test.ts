// One decision explained: its policies where they stand, and for want of a permit, what kept each near one away.
import { beforeAll, expect, test } from 'vitest'
import { NO_CEILINGS } from '../../../schemas/scopes.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import type { Bundle } from '../bundle/bundle.ts'
import { explain } from './explain.ts'
import { type Caller, requestOf } from './message.ts'
import { loadTestBundle } from './testing.ts'

let bundle: Bundle
beforeAll(async () => {
  bundle = await loadTestBundle()
})

const ANN = {
  user: 'ann',
  teams: ['staff'],
  agent: 'ide',
  time: 0,
  sourceIp: '::1',
  era: undefined,
}
const order = (args: JsonObject, who: Partial<Caller> = {}) =>
  explain(
    bundle,
    requestOf(
      { ...ANN, ...who },
      { server: 'shop', method: 'tools/call', params: { name: 'order', arguments: args } },
    ),
  )
const nearest = async (...given: Parameters<typeof order>) =>
  (await order(...given)).near.map(({ id, parts }) => [id, ...parts.map(({ holds }) => holds)])

test('an allow names its permit where it is written', async () => {
  const { decision, policies, near, cedar } = await order({ amount: 1, note: 'ok' })
  expect(decision).toBe('allow')
  expect(policies).toEqual([
    expect.objectContaining({ id: 'shop/order', role: 'determining', effect: 'permit', file: 'cedar/shop.cedar', line: 3, column: 1 }),
  ])
  expect(policies[0]?.text).toMatch(/^@id\("shop\/order"\) permit/)
  expect(near).toEqual([])
  expect(cedar?.context).toMatchObject({ args: { amount: 1, note: 'ok' }, agent: { id: 'ide' } })
}) // biome-ignore format: a long row

test('a policy that fails is named as failed', async () => {
  const { code, policies } = await order({ amount: 1025 })
  expect(code).toBe('policy_error')
  expect(policies.map(({ id, role }) => [id, role])).toEqual([['shop/no-overflow', 'failed']])
})

test('a ceiling is named by its base policy, which stands in no file of the bundle', async () => {
  const scopes = { ...NO_CEILINGS, grant: ['mcp:read'] as const }
  const { code, detail, policies } = await order({ amount: 1, note: 'ok' }, { scopes })
  expect([code, detail]).toEqual(['forbid', expect.stringContaining('mcp:write')])
  expect(policies).toEqual([
    expect.objectContaining({ id: 'cedargate/scope-write', effect: 'forbid', file: 'cedargate/base.cedar' }),
  ])
}) // biome-ignore format: a long row

test('the conditions of a near permit, as Cedar prints them', async () => {
  const { near } = await order({ amount: 200, note: 'no' })
  expect(near).toEqual([
    {
      id: 'shop/order',
      file: 'cedar/shop.cedar',
      line: 3,
      column: 1,
      parts: [
        { text: 'principal in MCP::Team::"staff"', holds: 'yes' },
        { text: 'context.args.amount < 100', holds: 'no' },
        { text: 'context.args has note', holds: 'yes' },
        { text: 'context.args.note like "ok*"', holds: 'no' },
        { text: 'unless context.agent == MCP::Agent::"rogue"', holds: 'yes' },
      ],
    },
  ])
})

test.each<{ args: JsonObject; who?: Partial<typeof ANN>; holds: string[] }>([
  { args: { amount: 1 }, holds: ['yes', 'yes', 'no', 'unreached', 'yes'] },
  { args: { amount: 1, note: 'ok' }, who: { teams: [] }, holds: ['no', 'yes', 'yes', 'yes', 'yes'] },
  { args: { amount: 1, note: 'ok' }, who: { agent: 'rogue' }, holds: ['yes', 'yes', 'yes', 'yes', 'no'] },
])('$args $who', async ({ args, who, holds }) => {
  expect(await nearest(args, who)).toEqual([['shop/order', ...holds]])
}) // biome-ignore format: a table

test('the nearest permit comes first, and only permits about this action and server come at all', async () => {
  const other = await loadTestBundle({
    a: `@id("a/far") permit(principal in MCP::Team::"x", action in MCP::Action::"read", resource) when { false && true };
        @id("a/near") permit(principal in MCP::Team::"x", action in MCP::Action::"server:shop", resource);
        @id("a/write") permit(principal, action in MCP::Action::"write", resource);
        @id("a/forbid") forbid(principal in MCP::Team::"x", action, resource);`,
  })
  const request = requestOf(ANN, { server: 'shop', method: 'tools/call', params: { name: 'find' } })
  const { code, near } = await explain(other, request)
  expect(code).toBe('no_permit')
  expect(near.map(({ id }) => id)).toEqual(['a/near', 'a/far'])
})

test('what never reached Cedar has no request to show', async () => {
  const { code, cedar, near } = await order({ amount: 1, more: 1 })
  expect({ code, cedar, near }).toEqual({ code: 'unknown_argument', cedar: null, near: [] })
})

test('a list says which tools it shows', async () => {
  const request = requestOf(ANN, { server: 'shop', method: 'tools/list', params: undefined })
  expect((await explain(bundle, request)).visible).toEqual(['find', 'order'])
})

test('what a server asks is explained like any message', async () => {
  const params = { message: 'Your PIN?', requestedSchema: { type: 'object', properties: {} } }
  const asked = requestOf(ANN, { server: 'shop', method: 'elicitation/create', params })
  const { code, near, cedar } = await explain(bundle, asked)
  expect([code, near]).toEqual(['no_permit', []])
  const args = { mode: 'form', fields: [], asksSecret: true }
  expect(cedar?.context).toMatchObject({ args, request: { method: 'elicitation/create' } })
})
