// Real decisions by a bundle written for it: what the shortcuts must not confuse, and that no JSON whatever, in any
// place, is allowed without a permit or brings the engine down.

import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { NO_CEILINGS } from '../../../schemas/scopes.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import type { Authorizer } from '../authorize/authorizer.ts'
import { createAuthorizer } from '../authorize/authorizer.ts'
import type { AuthorizationRequest } from '../authorize/types.ts'
import type { Engine } from '../engine/engine.ts'
import { startEngine } from '../engine/engine.ts'
import { loadBundle } from './load.ts'
import type { TestServer } from './testing.ts'
import { bundleFiles, withFiles } from './testing.ts'

const SEED = 20_261_122
const TEXT = { type: 'string' }
const SERVERS: Record<string, TestServer> = {
  files: {
    file: { derive: [{ kind: 'path', arguments: ['path'], root: '/srv/demo', suffix: '_normalised' }] },
    tools: [
      { name: 'read', inputSchema: { properties: { path: TEXT, head: { type: 'integer' } }, required: ['path'] } },
      { name: 'write', risk: 'write', inputSchema: { properties: { path: TEXT, dry: { type: 'boolean' } } } },
      { name: 'drop', risk: 'destructive', inputSchema: { properties: { o: { type: 'object', properties: { x: TEXT } } } } },
    ],
  },
  odd: {
    file: { allowUnknown: ['look'] },
    tools: [
      { name: 'store', risk: 'destructive', inputSchema: { properties: { meta: {}, path: TEXT } } },
      { name: 'look', inputSchema: { properties: { meta: {} } } },
    ],
  },
  mail: { tools: [{ name: 'send', risk: 'write', inputSchema: { properties: { to: { type: 'array', items: TEXT } } } }] },
} // biome-ignore format: a table

const CONNECT = '@id("all/connect") permit(principal, action == MCP::Action::"connect", resource);'
const GRANT =
  'context has grant && context.grant == {"id": "g1", "expiresAt": datetime("1970-01-01T00:00:00.001Z")}'
const permitTo = (team: string, when: string) =>
  `@id("by-hand/${team}") permit(principal in MCP::Team::"${team}", action in MCP::Action::"all", resource) when { ${when} };`

/** A guardrail of the example bundle, as it stands there. */
const GUARDRAIL = readFileSync(
  join(import.meta.dirname, '../../../policies/cedar/gateway.cedar'),
  'utf8',
)

const POLICIES = {
  guardrail: GUARDRAIL,
  odd: permitTo('odd', 'context.agent == MCP::Agent::"demo"'),
  connect: CONNECT,
  one: permitTo('one', 'action == MCP::Action::"files/write"'),
  whole: permitTo('whole', GRANT),
}

let engine: Engine
let authorizer: Authorizer
beforeAll(async () => {
  const files = bundleFiles(SERVERS, POLICIES)
  const bundle = await withFiles(tmpdir(), files, (folder) => loadBundle(folder, { env: {} }))
  engine = await startEngine({ workers: 2, timeoutMs: 60_000 })
  await engine.activate(bundle.generation)
  authorizer = createAuthorizer({ bundle, engine })
}, 60_000)
afterAll(() => engine.stop())

const open: AuthorizationRequest = {
  user: 'ada',
  teams: [],
  agent: 'demo',
  grant: null,
  server: 'files',
  method: 'tools/call',
  params: undefined,
  definition: null,
  scopes: NO_CEILINGS,
  definitionRequired: false,
  from: 'client',
  time: 0,
  era: 'legacy',
  sourceIp: null,
}

describe('by hand', () => {
  test('tools are not listed alike when a condition is about the action', async () => {
    const [list] = await authorizer.authorize([{ ...open, teams: ['one'], method: 'tools/list' }])
    expect(list?.visible?.tools).toEqual(['write'])
  })

  test('a policy that compares a whole record is given the whole of it', async () => {
    const params = { name: 'drop', arguments: {} }
    const grants = [{ id: 'g1', expiresAt: 1 }, { id: 'g1', expiresAt: 2 }, null] // biome-ignore format: a list
    const found = await authorizer.authorize(
      grants.map((grant) => ({ ...open, teams: ['whole'], params, grant })),
    )
    expect(found.map(({ code }) => code)).toEqual(['permit', 'no_permit', 'no_permit'])
  })
})

describe('what no policy can read', () => {
  const odd = { ...open, server: 'odd', teams: ['odd'] }
  test.each<{ name: string; given: JsonObject; code: string }>([
    { name: 'store', given: { path: 'a' }, code: 'permit' },
    { name: 'store', given: { path: 'a', meta: null }, code: 'permit' },
    { name: 'store', given: { path: 'a', meta: { any: 1 } }, code: 'forbid' },
    { name: 'store', given: { path: 'a', more: 1 }, code: 'unknown_argument' },
    { name: 'look', given: { meta: { any: 1 } }, code: 'permit' },
    { name: 'look', given: { more: 1 }, code: 'permit' },
  ])('$name with $given: $code', async ({ name, given, code }) => {
    const [answer] = await authorizer.authorize([{ ...odd, params: { name, arguments: given } }])
    expect(answer).toMatchObject({ code, errors: [] })
    expect(answer?.policies).toEqual(
      { permit: ['by-hand/odd'], forbid: ['gateway/opaque-writes'] }[code] ?? [],
    )
  })

  test('hides no tool from a list', async () => {
    const [list] = await authorizer.authorize([{ ...odd, method: 'tools/list' }])
    expect(list?.visible?.tools).toEqual(['look', 'store'])
  })
})

describe('anything at all', () => {
  const deep = (levels: number): unknown => (levels === 0 ? 'x' : [deep(levels - 1)])
  const odd = fc.oneof(
    fc.jsonValue({ maxDepth: 5 }),
    fc.constantFrom('\ud800', { __extn: { fn: 'unknown', arg: 'x' } }, { __entity: { type: 'MCP::User', id: 'root' } }, deep(200), deep(5_000), Number.POSITIVE_INFINITY, Number.NaN, -0, 2 ** 53),
  ) // biome-ignore format: a list

  test('as the arguments of a tool: never a throw, never an allow that nothing gave', async () => {
    await fc.assert(
      fc.asyncProperty(
        odd,
        odd,
        fc.constantFrom('path', 'head', 'o', '__proto__', 'x'),
        async (all, one, key) => {
          const given = [all, Object.fromEntries([[key, one]])]
          const requests = given.flatMap((value) =>
            ['read', 'write', 'drop'].map((name) => ({
              ...open,
              params: { name, arguments: value } as JsonObject,
            })),
          )
          for (const answer of await authorizer.authorize(requests)) {
            expect(answer.decision).toBe('deny')
            expect(answer.code).not.toBe('engine_fault')
          }
        },
      ),
      { numRuns: 300, seed: SEED },
    )
    expect(engine.stats()).toMatchObject({ throws: 0, replaced: 0, faults: 0 })
  }, 120_000)

  test('as the params of any method', async () => {
    const methods = [
      'tools/list',
      'ping',
      'resources/read',
      'prompts/get',
      'completion/complete',
      'tools/call',
      'x',
    ]
    await fc.assert(
      fc.asyncProperty(odd, fc.constantFrom(...methods), async (params, method) => {
        const [answer] = await authorizer.authorize([
          { ...open, method, params: params as JsonObject },
        ])
        expect(answer?.decision).toBe(
          method === 'tools/list' || method === 'ping' ? 'allow' : 'deny',
        )
      }),
      { numRuns: 300, seed: SEED },
    )
  }, 120_000)

  test('as who is asking', async () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('\ud800', '', '"'))
    await fc.assert(
      fc.asyncProperty(text, text, fc.double(), async (user, other, time) => {
        const change = { user, agent: other, teams: [other], server: other, sourceIp: user, time }
        for (const [key, value] of Object.entries(change)) {
          const [answer] = await authorizer.authorize([
            { ...open, params: { name: 'read', arguments: { path: 'a' } }, [key]: value },
          ])
          expect(answer?.decision).toBe('deny')
        }
      }),
      { numRuns: 100, seed: SEED },
    )
  }, 120_000)
})
