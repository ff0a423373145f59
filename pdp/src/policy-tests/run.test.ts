// Policy tests of both kinds: what passes, what fails and says why, and every mistake in a test file at its line.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { scopesOf } from '../authorize/request.ts'
import type { Bundle } from '../bundle/bundle.ts'
import { BundleError, findingLine } from '../bundle/findings.ts'
import { withOffline } from './diff.ts'
import { type Offline, startOffline } from './offline.ts'
import { readTests, runTests, type TestReport } from './run.ts'
import { loadTestBundle } from './testing.ts'

let bundle: Bundle
let offline: Offline
beforeAll(async () => {
  bundle = await loadTestBundle()
  offline = await startOffline(bundle)
})
afterAll(() => offline.stop())

async function run(text: string, file = 'tests/a.yaml'): Promise<TestReport> {
  const tests = readTests([{ file, text }], bundle)
  return runTests(tests, bundle, offline)
}
async function outcomes(text: string, file?: string): Promise<string[]> {
  const { results } = await run(text, file)
  return results.map(({ passed, name, expected, got }) =>
    passed ? `✓ ${name}` : `✗ ${name}: ${expected} ≠ ${got}`,
  )
}

const USERS = 'users: { ann: [staff], eve: [] }\n'

describe('a matrix', () => {
  test('asks everybody, and expects deny where nothing is said', async () => {
    const text = `${USERS}tests:\n  - { server: shop, tool: find, expect: { ann: allow } }\n`
    expect(await outcomes(text)).toEqual(['✓ shop/find › ann', '✓ shop/find › eve'])
    expect(await outcomes(text.replace('{ ann: allow }', '{}'))).toEqual([
      '✗ shop/find › ann: deny ≠ allow (permit) by shop/find',
      '✓ shop/find › eve',
    ])
  })

  test.each<{ call: string; expected: string; says: string }>([
    { call: 'tool: order, arguments: { amount: 1, note: okay }', expected: '{ verdict: allow, code: permit, policies: [shop/order] }', says: '✓' },
    { call: 'tool: order, arguments: { amount: 1, note: okay }', expected: '{ verdict: allow, policies: [shop/find] }', says: '✗ t › ann: allow by shop/find ≠ allow (permit) by shop/order' },
    { call: 'tool: order, arguments: { amount: 1, note: okay }', expected: '{ verdict: allow, policies: [] }', says: '✗ t › ann: allow by nothing ≠ allow (permit) by shop/order' },
    { call: 'tool: order, arguments: { amount: 1, note: no }', expected: '{ verdict: deny, code: forbid }', says: '✗ t › ann: deny (forbid) ≠ deny (no_permit): no policy permits this' },
    { call: 'tool: order, arguments: { amount: 1025, note: okay }', expected: '{ verdict: deny, code: policy_error }', says: '✓' },
    { call: 'tool: order, arguments: { amount: x }', expected: '{ verdict: deny, code: invalid_request }', says: '✓' },
    { call: 'tool: order, arguments: { amount: 1, more: 1 }', expected: '{ verdict: deny, code: unknown_argument }', says: '✓' },
    { call: 'tool: gone', expected: '{ verdict: deny, code: unknown_tool }', says: '✓' },
    { call: `tool: find, definition: ${'a'.repeat(64)}`, expected: '{ verdict: deny, code: tool_changed }', says: '✓' },
    { call: 'method: ping', expected: '{ verdict: allow, policies: [shop/connect] }', says: '✓' },
    { call: 'method: resources/read, params: { uri: a }', expected: '{ verdict: deny, code: no_permit }', says: '✓' },
    { call: 'method: tasks/get', expected: '{ verdict: allow, policies: [shop/connect] }', says: '✓' },
    { call: 'method: tasks/list', expected: '{ verdict: deny, code: unknown_method }', says: '✓' },
    { call: 'method: elicitation/create, params: { message: Where? }', expected: '{ verdict: deny, code: no_permit }', says: '✓' },
    { call: 'method: elicitation/create, params: { mode: voice }', expected: '{ verdict: deny, code: invalid_request }', says: '✓' },
    { call: 'method: sampling/createMessage, params: { maxTokens: 1.5 }', expected: '{ verdict: deny, code: invalid_request }', says: '✓' },
  ])('$call: $expected', async ({ call, expected, says }) => {
    const text = `users: { ann: [staff] }\ntests:\n  - { name: t, server: shop, ${call}, expect: { ann: ${expected} } }\n`
    expect((await outcomes(text))[0]?.replace('✓ t › ann', '✓')).toBe(says)
  }) // biome-ignore format: a table

  test('knows the ceilings of people, and the base policies', async () => {
    const text = `
users:
  ann: { teams: [staff], scopes: { user: [mcp:read] } }
  ben: { teams: [staff], scopes: { agent: [], grant: [mcp:read, mcp:write] } }
tests:
  - { server: shop, tool: find, expect: { ann: allow, ben: { verdict: deny, policies: [cedargate/scope-read] } } }
  - server: shop
    tool: order
    arguments: { amount: 1, note: ok }
    expect: { ann: { verdict: deny, code: forbid, policies: [cedargate/scope-write] } }
lists:
  - { server: shop, expect: { ann: [find] } }
`
    const { results, untested } = await run(text)
    expect(results.map(({ passed }) => passed)).toEqual(Array.from(results, () => true))
    expect(results).toHaveLength(6)
    expect(untested).toEqual(['shop/order', 'shop/no-overflow'])
  })

  test('knows agents for nobody, agents of people, and the time', async () => {
    const timed = await loadTestBundle({
      a: `@id("a/agent") permit(principal == MCP::Agent::"cron", action in MCP::Action::"read", resource)
          when { context.request.time < datetime("2026-02-01") && context has grant };
          @id("a/own") permit(principal, action in MCP::Action::"read", resource)
          when { principal is MCP::User && context.agent == MCP::Agent::"ide" };`,
    })
    const text = `
users: { nightly: { agent: cron }, ann: { teams: [], agent: ide }, eve: [], cedargate: { agent: cedargate } }
tests:
  - server: shop
    tool: find
    expect: { nightly: { verdict: allow, policies: [a/agent] }, ann: { verdict: allow, policies: [a/own] } }
`
    const at = async (now: string) => {
      const tests = readTests([{ file: 'tests/a.yaml', text: `now: ${now}\n${text}` }], timed)
      const report = await withOffline(timed, (it) => runTests(tests, timed, it))
      return report.results.map(({ passed }) => passed)
    }
    expect(await at('2026-01-31T23:59:59Z')).toEqual([true, true, true, true])
    expect(await at('2026-02-01T01:00:00+00:30')).toEqual([false, true, true, true])
  })

  test.each<{ expected: string; passes: boolean }>([
    { expected: '[find, order]', passes: true },
    { expected: '[find]', passes: false },
    { expected: '{ shows: [find] }', passes: true },
    { expected: '{ shows: [find], hides: [order] }', passes: false },
    { expected: '{ shows: [order], exactly: true }', passes: false },
  ])('lists: $expected', async ({ expected, passes }) => {
    const text = `${USERS}lists:\n  - { server: shop, expect: { ann: ${expected} } }\n`
    const { results } = await run(text)
    expect(results.map(({ passed }) => passed)).toEqual([passes, true])
  })

  test('whoever a list does not name must see nothing', async () => {
    const text = `${USERS}lists:\n  - { server: shop }\n`
    expect(await outcomes(text)).toEqual([
      '✗ tools of shop › ann: exactly nothing ≠ find, order',
      '✓ tools of shop › eve',
    ])
  })

  test('tells which policies determined nothing', async () => {
    const { untested } = await run(`${USERS}tests:\n  - { server: shop, tool: find }\n`)
    expect(untested).toEqual(['shop/connect', 'shop/order', 'shop/no-overflow'])
  })
})

function mistakes(text: string, file = 'tests/a.yaml'): string[] {
  try {
    readTests([{ file, text }], bundle)
  } catch (error) {
    if (error instanceof BundleError) return error.findings.map(findingLine)
    throw error
  }
  return []
}

describe('mistakes in a matrix', () => {
  test.each<{ line: string; says: string }>([
    { line: 'tests: [', says: 'a.yaml:3:1: Flow sequence in block collection must be sufficiently indented and end with a ]' },
    { line: 'test: []', says: 'a.yaml:1:1: Unrecognized key: "test"' },
    { line: 'now: yesterday', says: 'a.yaml:2:6: `now`: Invalid ISO datetime' },
    { line: 'tests: [{ server: shop, tool: find, expct: {} }]', says: 'a.yaml:2:9: `tests.0`: Unrecognized key: "expct"' },
    { line: 'tests: [{ server: shop, tool: find, expect: { dave: deny } }]', says: 'a.yaml:2:53: `tests.0.expect.dave`: no `dave` in `users`' },
    { line: 'tests: [{ server: shop, tool: find, expect: { ann: maybe } }]', says: 'a.yaml:2:52: `tests.0.expect.ann.verdict`: Invalid option: expected one of "allow"|"deny"' },
    { line: 'tests: [{ server: shop, tool: find, expect: { ann: { verdict: deny, code: permit } } }]', says: 'a.yaml:2:75: `tests.0.expect.ann.code`: `permit` is the code of an allow, and of no deny' },
    { line: 'tests: [{ server: shop, tool: find, expect: { ann: { verdict: allow, policies: [shop/fnd] } } }]', says: 'a.yaml:2:80: `tests.0.expect.ann.policies`: no policy `shop/fnd` in this bundle' },
    { line: 'tests: [{ server: shoop, tool: find }]', says: 'a.yaml:2:19: `tests.0.server`: no server `shoop` in this bundle' },
    { line: 'tests: [{ server: shop, tool: fnd }]', says: 'a.yaml:2:31: `tests.0.tool`: no tool `fnd` in the lock of `shop`' },
    { line: 'tests: [{ server: shop }]', says: 'a.yaml:2:9: `tests.0`: say either `tool` or `method`' },
    { line: 'tests: [{ server: shop, method: pong }]', says: 'a.yaml:2:33: `tests.0.method`: the gateway does not know this method' },
    { line: 'tests: [{ server: shop, tool: find, params: {} }]', says: 'a.yaml:2:9: `tests.0`: `arguments` belong to `tool`, `params` to `method`' },
    { line: 'tests: [{ server: shop, tool: order, arguments: { amount: 9007199254740993 } }]', says: 'a.yaml:2:9: `tests.0`: this cannot be sent: a number in it would be rounded' },
    { line: 'tests: [{ server: shop, tool: order, arguments: { __entity: 1 } }]', says: 'a.yaml:2:9: `tests.0`: this cannot be sent: ' },
    { line: 'lists: [{ server: shop, expect: { ann: [fnd] } }]', says: 'a.yaml:2:40: `lists.0.expect.ann`: no tool `fnd` in the lock of `shop`' },
    { line: 'lists: [{ server: shop, expect: { dave: [] } }]', says: 'a.yaml:2:41: `lists.0.expect.dave`: no `dave` in `users`' },
  ])('$line', ({ line, says }) => {
    expect(mistakes(`${USERS}${line}\n`)[0]).toContain(`tests/${says}`)
  }) // biome-ignore format: a table

  test.each([
    { text: '', says: /expected object/ },
    { text: 'users: {}', says: /nobody to ask about/ },
    { text: 'users: { ann: {} }', says: /say `teams: \[…\]` for a person/ },
    {
      text: 'users: { ann: { teams: [], scopes: { grant: [mcp:fly] } } }',
      says: /a\.yaml:1:.*scopes\.grant/,
    },
    { text: 'users: { "a b": [] }', says: /users/ },
    { text: 'users: { ann: [x], ann: [y] }', says: /unique/ },
  ])('$text', ({ text, says }) => {
    expect(mistakes(text)).toEqual([expect.stringMatching(says)])
  })
})

const REQUEST = {
  principal: 'MCP::User::"ann"',
  action: 'MCP::Action::"shop/order"',
  resource: 'MCP::Server::"shop"',
  context: {
    agent: { type: 'MCP::Agent', id: 'ide' },
    request: { time: { __extn: { fn: 'datetime', arg: '2026-01-01T00:00:00Z' } }, method: 'tools/call', era: 'modern' },
    args: { amount: 1, note: 'ok' },
    argsMeta: { sha256: '', bytes: 1, nulls: [], opaque: [], unknown: [] },
    tool: { sha256: '', reviewed: true },
  },
} // biome-ignore format: as it would be written
const ENTITIES = [
  {
    uid: { __entity: { type: 'MCP::User', id: 'ann' } },
    attrs: {},
    parents: [{ type: 'MCP::Team', id: 'staff' }],
  },
]
const TEST = {
  request: REQUEST,
  entities: ENTITIES as unknown[],
  decision: 'allow',
  reason: ['shop/order'],
  num_errors: 0,
}
const cedarOutcome = async (change: object): Promise<string> =>
  (await outcomes(JSON.stringify([{ ...TEST, ...change }]), 'tests/a.json'))[0] ?? ''

describe('tests as `cedar run-tests` has them', () => {
  test.each<{ name: string; change: object; says: string }>([
    { name: 'met', change: {}, says: '✓ test 1' },
    { name: 'named', change: { name: 'n' }, says: '✓ n' },
    { name: 'reason is a subset', change: { reason: [] }, says: '✓ test 1' },
    { name: 'another reason', change: { reason: ['shop/find'] }, says: '✗ test 1: allow by shop/find, 0 errors ≠ allow (permit) by shop/order' },
    { name: 'another decision', change: { decision: 'deny' }, says: '✗ test 1: deny by shop/order, 0 errors ≠ allow (permit) by shop/order' },
    { name: 'more errors', change: { num_errors: 1 }, says: '✗ test 1: allow by shop/order, 1 errors ≠ allow (permit) by shop/order' },
    { name: 'scopes', change: { request: { ...REQUEST, context: { ...REQUEST.context, scopes: scopesOf({ user: [], agent: [], grant: [] }) } }, decision: 'deny', reason: ['cedargate/scope-write'] }, says: '✓ test 1' },
    { name: 'nobody', change: { entities: [], decision: 'deny', reason: [] }, says: '✓ test 1' },
    { name: 'an error beside', change: { request: { ...REQUEST, context: { ...REQUEST.context, args: { amount: 1025 } } }, decision: 'deny', reason: [], num_errors: 1 }, says: '✓ test 1' },
    { name: 'what does not fit the schema is no deny', change: { request: { ...REQUEST, action: 'MCP::Action::"shop/fly"' }, decision: 'deny', reason: [] }, says: '✗ test 1: deny, 0 errors ≠ deny (invalid_request): ' },
    { name: 'escapes of Cedar', change: { request: { ...REQUEST, principal: 'MCP::User::"\\u{61}nn"' } }, says: '✓ test 1' },
  ])('$name', async ({ change, says }) => {
    expect(await cedarOutcome(change)).toContain(says)
  }) // biome-ignore format: a table

  test.each([
    { text: '[1 2]', says: /^tests\/a\.json:1:4: not JSON/ },
    { text: '{}', says: /expected array/ },
    { text: '[{"a":1,"a":2}]', says: /a\.json:1:\d+: Map keys must be unique/ },
    { text: JSON.stringify([{ ...TEST, reson: [] }]), says: /Unrecognized key: "reson"/ },
    { text: JSON.stringify([{ ...TEST, reason: undefined }]), says: /`0\.reason`/ },
    { text: JSON.stringify([{ ...TEST, request: { ...REQUEST, principal: 'ann' } }]), says: /`0\.request\.principal`: must be like MCP::User::"alice"/ },
  ])('$says', ({ text, says }) => {
    expect(mistakes(text, 'tests/a.json')[0]).toMatch(says)
  }) // biome-ignore format: a table
})
