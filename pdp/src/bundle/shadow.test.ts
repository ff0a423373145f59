// Shadow policies: whatever they say, and however they fail, no verdict, list or explanation changes; what they would
// have made of it stands beside.

import { tmpdir } from 'node:os'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { NO_CEILINGS } from '../../../schemas/scopes.ts'
import { createAuthorizer } from '../authorize/authorizer.ts'
import type { Authorization, AuthorizationRequest } from '../authorize/types.ts'
import type { Engine } from '../engine/engine.ts'
import { startEngine } from '../engine/engine.ts'
import { explain } from '../policy-tests/explain.ts'
import { startOffline } from '../policy-tests/offline.ts'
import { readTests, runTests } from '../policy-tests/run.ts'
import type { Bundle } from './bundle.ts'
import { loadBundle } from './load.ts'
import type { TestServer } from './testing.ts'
import { bundleFiles, withFiles } from './testing.ts'

const SEED = 20_261_123
const TEXT = { type: 'string' }
const SERVERS: Record<string, TestServer> = {
  files: {
    tools: [
      { name: 'read', inputSchema: { properties: { path: TEXT } } },
      { name: 'write', risk: 'write', inputSchema: { properties: { path: TEXT } } },
    ],
  },
}
const CONNECT = '@id("all/connect") permit(principal, action == MCP::Action::"connect", resource);'
const READ = '@id("all/read") permit(principal, action in MCP::Action::"read", resource);'
const FAILS = '(context.argsMeta.bytes + 2) * 9007199254740991 * 9007199254740991 > 0'
const shadow = (id: string, effect: string, tool: string, when = 'true') =>
  `@id("s/${id}") @mode("shadow") ${effect}(principal, action == MCP::Action::"files/${tool}", resource) when { ${when} };\n`

function load(policies: Record<string, string>): Promise<Bundle> {
  const files = bundleFiles(SERVERS, policies)
  return withFiles(tmpdir(), files, (directory) => loadBundle(directory, { env: {} }))
}

let engine: Engine
beforeAll(async () => {
  engine = await startEngine({ workers: 1, timeoutMs: 60_000 })
})
afterAll(() => engine.stop())

const request = (tool: string, args = '{"path":"a"}'): AuthorizationRequest => ({
  user: 'ada',
  teams: [],
  agent: 'demo',
  grant: null,
  server: 'files',
  method: 'tools/call',
  params: { name: tool, arguments: JSON.parse(args) },
  definition: null,
  scopes: NO_CEILINGS,
  definitionRequired: false,
  from: 'client',
  time: 1_800_000_000_000,
  era: 'modern',
  sourceIp: null,
})
const LIST: AuthorizationRequest = { ...request(''), method: 'tools/list', params: undefined }

async function decide(
  bundle: Bundle,
  requests: readonly AuthorizationRequest[],
): Promise<Authorization[]> {
  await engine.activate(bundle.generation)
  return createAuthorizer({ bundle, engine }).authorize(requests)
}

const DENY = { decision: 'deny', policies: [], errors: [] }
type Row = { name: string; policy: string; tool: string; verdict: object; beside: object | null }
test.each<Row>([
  { name: 'none that could apply', policy: shadow('a', 'forbid', 'write'), tool: 'read', verdict: { code: 'permit', policies: ['all/read'] }, beside: null },
  { name: 'a forbid', policy: shadow('a', 'forbid', 'read'), tool: 'read', verdict: { code: 'permit', policies: ['all/read'] }, beside: { ...DENY, code: 'forbid', policies: ['s/a'] } },
  { name: 'a forbid that does not hold', policy: shadow('a', 'forbid', 'read', 'context.args has path && context.args.path == "b"'), tool: 'read', verdict: { code: 'permit' }, beside: { decision: 'allow', code: 'permit', policies: ['all/read'], errors: [] } },
  { name: 'a permit', policy: shadow('a', 'permit', 'write'), tool: 'write', verdict: { ...DENY, code: 'no_permit' }, beside: { decision: 'allow', code: 'permit', policies: ['s/a'], errors: [] } },
  { name: 'a permit beside another', policy: shadow('a', 'permit', 'read'), tool: 'read', verdict: { code: 'permit', policies: ['all/read'] }, beside: { decision: 'allow', code: 'permit', policies: ['all/read', 's/a'], errors: [] } },
  { name: 'a forbid that fails', policy: shadow('a', 'forbid', 'read', FAILS), tool: 'read', verdict: { code: 'permit', policies: ['all/read'], errors: [] }, beside: { decision: 'deny', code: 'policy_error', errors: ['s/a'] } },
  { name: 'a permit that fails', policy: shadow('a', 'permit', 'write', FAILS), tool: 'write', verdict: { ...DENY, code: 'no_permit' }, beside: { decision: 'deny', code: 'policy_error', errors: ['s/a'] } },
])('$name', async ({ policy, tool, verdict, beside }) => {
  const bundle = await load({ all: `${CONNECT}\n${READ}`, s: policy })
  const [answer, list] = await decide(bundle, [request(tool), LIST])
  expect(answer).toMatchObject(verdict)
  expect(answer).toMatchObject({ shadow: beside })
  expect(list?.visible?.tools).toEqual(['read'])
}) // biome-ignore format: a table

describe('offline they are not enforced either', () => {
  const bundle = load({
    all: `${CONNECT}\n${READ}`,
    s: shadow('no-read', 'forbid', 'read') + shadow('may-write', 'permit', 'write'),
  })

  test('`policy explain` neither decides by them nor calls one near', async () => {
    expect(await explain(await bundle, request('read'))).toMatchObject({
      decision: 'allow',
      policies: [{ id: 'all/read' }],
    })
    const denied = await explain(await bundle, request('write'))
    expect(denied).toMatchObject({ code: 'no_permit', policies: [], near: [] })
  })

  test('`policy test` expects what would be enforced', async () => {
    const text = `users: { ada: [] }
tests:
  - { server: files, tool: read, expect: { ada: allow } }
  - { server: files, tool: write, expect: { ada: { verdict: deny, code: no_permit } } }
`
    const loaded = await bundle
    const offline = await startOffline(loaded)
    const { results } = await runTests(readTests([{ file: 'tests/a.yaml', text }], loaded), loaded, offline)
    await offline.stop()
    expect(results.map(({ passed }) => passed)).toEqual([true, true])
  }) // biome-ignore format: long lines
})

const without = (of: readonly Authorization[]): object[] =>
  of.map((one) => ({ ...one, shadow: null }))

const BUNDLES = 8
const CONDITIONS = [
  'true',
  'false',
  FAILS,
  'context.agent == MCP::Agent::"demo"',
  'context.request.era == "legacy"',
  'context has grant',
  'context == context',
  'action == MCP::Action::"files/read"',
]
/** `connect` has no arguments. */
const NEEDS_CALL = new Set([FAILS])
const rule = fc.record({
  effect: fc.constantFrom('permit', 'forbid'),
  action: fc.constantFrom('== MCP::Action::"connect"', 'in MCP::Action::"all"', 'in MCP::Action::"write"', '== MCP::Action::"files/read"'),
  when: fc.constantFrom(...CONDITIONS),
}) // biome-ignore format: a list
const rules = fc.array(rule, { minLength: 1, maxLength: 4 })
const rulesText = (
  team: 'enforced' | 'shadow',
  of: { effect: string; action: string; when: string }[],
): string =>
  of
    .map(({ effect, action, when }, index) => {
      const mode = team === 'shadow' ? '@mode("shadow") ' : ''
      const conditions =
        action.includes('connect') && NEEDS_CALL.has(when) ? '' : `when { ${when} }`
      return `@id("${team}/p${index}") ${mode}${effect}(principal, action ${action}, resource) ${conditions};\n`
    })
    .join('')

test('adding any shadow policies changes no verdict and no list', async () => {
  const requests = [
    ...['read', 'write'].flatMap((tool) => [request(tool), request(tool, '{}')]),
    LIST,
    { ...request('read'), era: 'legacy' as const, agent: 'other' },
    { ...request('write'), grant: { id: 'g', expiresAt: 1 } },
  ]
  let shadowed = 0
  for (let index = 0; index < BUNDLES; index++) {
    const seed = SEED + index
    const [enforced = []] = fc.sample(rules, { numRuns: 1, seed })
    const [shadows = []] = fc.sample(rules, { numRuns: 1, seed: seed + BUNDLES })
    const base = { connect: CONNECT, base: rulesText('enforced', enforced) }
    const before = await decide(await load(base), requests)
    const after = await decide(
      await load({ ...base, more: rulesText('shadow', shadows) }),
      requests,
    )
    expect(without(after), `seed ${seed}`).toEqual(without(before))
    shadowed += after.filter(({ decision, shadow: of }) => of && of.decision !== decision).length
  }
  expect(shadowed).toBeGreaterThan(BUNDLES)
})
