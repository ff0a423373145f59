// Real decisions by real bundles: the shortcuts (slices, parts of the context, one question for tools listed alike)
// change no answer, a forbid only ever takes away, and no JSON whatever is allowed without its permit.
import { tmpdir } from 'node:os'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import type { Authorizer } from '../authorize/authorizer.ts'
import { createAuthorizer } from '../authorize/authorizer.ts'
import { interpret } from '../authorize/interpret.ts'
import type { Authorization, AuthorizationRequest } from '../authorize/types.ts'
import type { Engine } from '../engine/engine.ts'
import { startEngine } from '../engine/engine.ts'
import type { Bundle } from './bundle.ts'
import { loadBundle } from './load.ts'
import type { TestServer } from './testing.ts'
import { bundleFiles, withFiles } from './testing.ts'

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
  mail: { tools: [{ name: 'send', risk: 'write', inputSchema: { properties: { to: { type: 'array', items: TEXT } } } }] },
} // biome-ignore format: a table

/** Conditions that hold for every tool, some only before a call, some only in one, one that fails to evaluate. */
const ATOMS = [
  'context.args has path_normalised && context.args.path_normalised like "drafts/*"',
  'context.args has path && context.args.path == "a"',
  'context.args has dry && context.args.dry',
  'context.args has head && context.args.head > 3',
  'context.args has o && context.args.o has x && context.args.o.x == "a"',
  'context.args has to && context.args.to.contains("a")',
  'context has grant',
  'context has grant && context.grant.id == "g1"',
  'context.request.era == "legacy"',
  'context.request.method == "tools/call"',
  'context.request has sourceIp && context.request.sourceIp.isLoopback()',
  'context.request.time < datetime("2026-01-01T00:00:00Z")',
  'context.agent == MCP::Agent::"demo"',
  'context.argsMeta.bytes > 20',
  'context.argsMeta has nulls',
  'context.argsMeta.bytes * 9007199254740991 * 9007199254740991 > 0',
  'context.tool.reviewed',
  'action == MCP::Action::"files/read"',
  'action in MCP::Action::"destructive"',
  'principal is MCP::User',
  'context == context',
]

const condition: fc.Arbitrary<string> = fc.letrec<{ any: string }>((tie) => ({
  any: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(...ATOMS),
    fc.tuple(tie('any'), tie('any')).map(([a, b]) => `(${a}) && (${b})`),
    fc.tuple(tie('any'), tie('any')).map(([a, b]) => `(${a}) || (${b})`),
    tie('any').map((a) => `!(${a})`),
    fc
      .tuple(tie('any'), tie('any'), tie('any'))
      .map(([a, b, c]) => `(if (${a}) then (${b}) else (${c}))`),
  ),
})).any
const scope = fc.record({
  action: fc.constantFrom('in MCP::Action::"all"', 'in MCP::Action::"read"', 'in MCP::Action::"write"', 'in MCP::Action::"server:files"', '== MCP::Action::"files/read"', 'in [MCP::Action::"files/write", MCP::Action::"mail/send"]'),
  resource: fc.constantFrom('', '', ' == MCP::Server::"files"', ' in MCP::Server::"mail"', ' is MCP::Server'),
}) // biome-ignore format: a list
const clauses = fc.array(fc.tuple(fc.constantFrom('when', 'unless'), condition), { maxLength: 2 })
const rule = fc.tuple(fc.constantFrom('permit', 'permit', 'forbid'), scope, clauses)
type Rule = readonly [string, { action: string; resource: string }, [string, string][]]

/** One team's policies. A team is a policy set of its own: nobody else's apply to its people. */
function policyText(team: string, index: number, [effect, { action, resource }, conditions]: Rule) {
  const head = `@id("${team}/p${index}")\n${effect}(principal in MCP::Team::"${team}", action ${action}, resource${resource})`
  return `${head}${conditions.map(([kind, body]) => ` ${kind} { ${body} }`).join('')};\n`
}

const SEED = 20_261_122
const TEAMS = fc.sample(fc.array(rule, { minLength: 1, maxLength: 4 }), { numRuns: 24, seed: SEED })
const FORBIDS = fc.sample(fc.tuple(fc.constant('forbid'), scope, clauses), {
  numRuns: TEAMS.length,
  seed: SEED,
})
const CONNECT = '@id("all/connect") permit(principal, action == MCP::Action::"connect", resource);'

/** Team `t<n>` has the n-th policies, `u<n>` the same and one forbid more. */
const POLICIES = Object.fromEntries([
  ['connect', CONNECT],
  ...TEAMS.map((rules, index) => [
    `t${index}`,
    rules.map((one, at) => policyText(`t${index}`, at, one)).join(''),
  ]),
  ...TEAMS.map((rules, index) => {
    const more = [...rules, FORBIDS[index] as Rule]
    return [`u${index}`, more.map((one, at) => policyText(`u${index}`, at, one)).join('')]
  }),
]) as Record<string, string>

const optional = (arbitrary: fc.Arbitrary<unknown>) => fc.option(arbitrary, { nil: undefined })
const args = fc.record(
  {
    path: fc.constantFrom('drafts/a', 'drafts/../a', 'a', null),
    dry: fc.boolean(),
    head: fc.constantFrom(1, 9, null),
    o: fc.record({ x: optional(fc.constantFrom('a', 'b')) }),
    to: fc.subarray(['a', 'b']),
  },
  { requiredKeys: [] },
)
const ALLOWED: Record<string, string[]> = {
  'files/read': ['path', 'head'],
  'files/write': ['path', 'dry'],
  'files/drop': ['o'],
  'mail/send': ['to'],
}
const request = fc
  .record({
    action: fc.constantFrom(...Object.keys(ALLOWED)),
    args,
    index: fc.nat(TEAMS.length - 1),
    grant: fc.constantFrom(null, { id: 'g1', expiresAt: 1 }, { id: 'g2', expiresAt: 2 }),
    agent: fc.constantFrom('demo', 'other'),
    era: fc.constantFrom('legacy' as const, 'modern' as const),
    time: fc.constantFrom(1_700_000_000_000, 1_800_000_000_000),
    sourceIp: fc.constantFrom(null, '127.0.0.1', '10.0.0.1'),
  })
  .map(
    ({ action, args: given, index, ...rest }): { index: number; asked: AuthorizationRequest } => {
      const [server = '', name = ''] = action.split('/')
      const fitting = Object.entries(given).filter(([key]) => ALLOWED[action]?.includes(key))
      const params = {
        name,
        arguments: JSON.parse(JSON.stringify(Object.fromEntries(fitting))) as JsonObject,
      }
      const who = { user: 'ada', teams: [`t${index}`], definition: null, definitionRequired: false }
      return { index, asked: { ...rest, ...who, server, method: 'tools/call', params } }
    },
  )

let bundle: Bundle
let engine: Engine
let authorizer: Authorizer
/** Of REQUESTS, in order. */
let answers: Authorization[]
beforeAll(async () => {
  const files = bundleFiles(SERVERS, POLICIES)
  bundle = await withFiles(tmpdir(), files, (directory) => loadBundle(directory, { env: {} }))
  const content = JSON.parse(bundle.content) as { policies: Record<string, string>; schema: object }
  const { policySets, schemas } = bundle.generation
  engine = await startEngine({ workers: 2, timeoutMs: 60_000 })
  await engine.activate({
    id: bundle.id,
    policySets: [...policySets, { key: 'whole', policies: content.policies }],
    schemas: [...schemas, { key: 'whole', schema: JSON.stringify(content.schema) }],
  })
  authorizer = createAuthorizer({ bundle, engine })
  answers = await decided()
}, 120_000)
afterAll(() => engine.stop())

const pick = ({ decision, code, policies, errors }: Authorization) => {
  return { decision, code, policies, errors }
}
const REQUESTS = fc.sample(request, { numRuns: 400, seed: SEED })
const decided = async (change: (of: AuthorizationRequest) => AuthorizationRequest = (of) => of) =>
  authorizer.authorize(REQUESTS.map(({ asked }) => change(asked)))

describe('generated policies and requests', () => {
  test('come out every way there is', () => {
    const codes = Map.groupBy(answers, ({ code }) => code)
    for (const code of ['permit', 'forbid', 'no_permit', 'policy_error', 'invalid_request']) {
      expect({ code, some: (codes.get(code as Authorization['code'])?.length ?? 0) > 5 }).toEqual({
        code,
        some: true,
      })
    }
  })

  test('are decided by a slice as they are by all policies on the whole recorded context', async () => {
    const asked = answers.filter(({ cedar }) => cedar.request !== '')
    const whole = await engine.evaluate(
      asked.map(({ cedar }) => ({
        generation: bundle.id,
        policySet: 'whole',
        schema: 'whole',
        texts: cedar,
      })),
    )
    expect(asked.map(pick)).toEqual(whole.map(interpret))
  }, 120_000)

  test('never hide a tool that is permitted', async () => {
    const lists = await decided((asked) => ({ ...asked, method: 'tools/list', params: {} }))
    let shown = 0
    for (const [index, { decision, tool }] of answers.entries()) {
      const visible = lists[index]?.visible?.tools ?? []
      expect(decision === 'deny' || visible.includes(tool ?? '')).toBe(true)
      shown += visible.length
    }
    expect(shown).toBeGreaterThan(0)
    expect(shown).toBeLessThan(REQUESTS.length * 3)
  }, 120_000)

  test('are never allowed by one more forbid', async () => {
    const after = await decided((asked) => ({
      ...asked,
      teams: asked.teams.map((team) => team.replace('t', 'u')),
    }))
    const taken = after.filter(({ decision }, index) => decision !== answers[index]?.decision)
    expect(taken.length).toBeGreaterThan(0)
    expect(taken.filter(({ decision }) => decision === 'allow')).toEqual([])
  }, 120_000)

  test('are decided the same again, in any company', async () => {
    const again: Authorization[] = []
    for (const { asked } of REQUESTS.slice(0, 50))
      again.push(...(await authorizer.authorize([asked])))
    expect(again).toEqual(answers.slice(0, 50))
  }, 120_000)
})

describe('anything at all', () => {
  const open: AuthorizationRequest = {
    user: 'ada',
    teams: [],
    agent: 'demo',
    grant: null,
    server: 'files',
    method: 'tools/call',
    params: undefined,
    definition: null,
    definitionRequired: false,
    time: 0,
    era: 'legacy',
    sourceIp: null,
  }
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
