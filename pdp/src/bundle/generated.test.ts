// Generated bundles and requests, decided for real: the shortcuts (slices, parts of the context, one question for
// tools listed alike) change no answer, a list hides nothing that is permitted, a forbid only ever takes away. Nothing is
// allowed or listed beyond the ceilings of user, agent and grant.
import { tmpdir } from 'node:os'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type PolicyJson, packGeneration, unpackGeneration } from '../../../schemas/cedar.ts'
import { SCOPES, type Scope } from '../../../schemas/scopes.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { createAuthorizer } from '../authorize/authorizer.ts'
import { interpret } from '../authorize/interpret.ts'
import type {
  Authorization,
  AuthorizationRequest,
  Outcome as Interpretation,
} from '../authorize/types.ts'
import type { Engine } from '../engine/engine.ts'
import { startEngine } from '../engine/engine.ts'
import { loadBundle } from './load.ts'
import type { TestServer } from './testing.ts'
import { bundleFiles, withFiles } from './testing.ts'

const SEED = 20_261_122
const BUNDLES = 20
const REQUESTS_EACH = 30

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

/** Conditions that every tool's types allow: known before a call, only in one, about the action, failing to evaluate. */
const ATOMS = [
  'context.args has path_normalised && context.args.path_normalised like "drafts/*"',
  'context.args has path && context.args.path == "a"',
  'context.args has dry && context.args.dry',
  'context.args has head && context.args.head > 3',
  'context.args has o && context.args.o has x && context.args.o.x == "a"',
  'context.args has to && context.args.to.contains("a")',
  'context has grant',
  'context has grant && context.grant.id == "g1"',
  'context has grant && context.grant == {"id": "g1", "expiresAt": datetime("1970-01-01T00:00:00.001Z")}',
  'context.request.era == "legacy"',
  'context.request.method == "tools/call"',
  'context.request has sourceIp && context.request.sourceIp.isLoopback()',
  'context.request.time < datetime("2026-01-01T00:00:00Z")',
  'context.agent == MCP::Agent::"demo"',
  'context.argsMeta.bytes > 20',
  'context.argsMeta.nulls.isEmpty()',
  'context.argsMeta.opaque.isEmpty()',
  'context.argsMeta.bytes * 9007199254740991 * 9007199254740991 > 0',
  'context.tool.reviewed',
  'action == MCP::Action::"files/read"',
  'action == MCP::Action::"files/write"',
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
    fc.tuple(tie('any'), tie('any'), tie('any')).map(([a, b, c]) => `(if (${a}) then (${b}) else (${c}))`),
  ),
})).any // biome-ignore format: a grammar
const scope = fc.record({
  action: fc.constantFrom('in MCP::Action::"all"', 'in MCP::Action::"read"', 'in MCP::Action::"write"', 'in MCP::Action::"server:files"', '== MCP::Action::"files/read"', 'in [MCP::Action::"files/write", MCP::Action::"mail/send"]'),
  resource: fc.constantFrom('', '', ' == MCP::Server::"files"', ' in MCP::Server::"mail"', ' is MCP::Server'),
}) // biome-ignore format: a list
const clauses = fc.array(fc.tuple(fc.constantFrom('when', 'unless'), condition), { maxLength: 2 })
const effect = fc.constantFrom('permit', 'permit', 'forbid')
const rules = fc.array(fc.tuple(effect, scope, clauses), { minLength: 1, maxLength: 3 })
const forbid = fc.tuple(fc.constant('forbid'), scope, clauses)

type Rule = readonly [string, { action: string; resource: string }, [string, string][]]
function policyText(team: string, index: number, [kind, { action, resource }, conditions]: Rule) {
  const head = `@id("${team}/p${index}")\n${kind}(principal in MCP::Team::"${team}", action ${action}, resource${resource})`
  return `${head}${conditions.map(([clause, body]) => ` ${clause} { ${body} }`).join('')};\n`
}

const CONNECT = '@id("all/connect") permit(principal, action == MCP::Action::"connect", resource);'

/** Team `t` has the rules, team `u` the same and one forbid more. */
function policies(of: readonly Rule[], more: Rule): Record<string, string> {
  const text = (team: string, all: readonly Rule[]) =>
    all.map((rule, index) => policyText(team, index, rule)).join('')
  return { connect: CONNECT, t: text('t', of), u: text('u', [...of, more]) }
}

const ARGUMENTS: Record<string, string[]> = {
  'files/read': ['path', 'head'],
  'files/write': ['path', 'dry'],
  'files/drop': ['o'],
  'mail/send': ['to'],
}
/** What each action needs of user, agent and grant. */
const NEEDS: Record<string, readonly Scope[]> = {
  'files/read': ['mcp:read'],
  'files/write': ['mcp:write'],
  'files/drop': ['mcp:write', 'mcp:destructive'],
  'mail/send': ['mcp:write'],
}
const held = fc.oneof(fc.constant([...SCOPES]), fc.constant([...SCOPES]), fc.subarray([...SCOPES]))
const values = fc.record(
  {
    path: fc.constantFrom('drafts/a', 'drafts/../a', 'a', null),
    dry: fc.boolean(),
    head: fc.constantFrom(1, 9, null),
    o: fc.constantFrom({}, { x: 'a' }, { x: 'b' }),
    to: fc.subarray(['a', 'b']),
  },
  { requiredKeys: [] },
)
const request: fc.Arbitrary<AuthorizationRequest> = fc
  .record({
    action: fc.constantFrom(...Object.keys(ARGUMENTS)),
    given: values,
    grant: fc.constantFrom(null, { id: 'g1', expiresAt: 1 }, { id: 'g2', expiresAt: 2 }),
    agent: fc.constantFrom('demo', 'other'),
    scopes: fc.record({ user: held, agent: held, grant: held }),
    era: fc.constantFrom('legacy' as const, 'modern' as const),
    time: fc.constantFrom(1_700_000_000_000, 1_800_000_000_000),
    sourceIp: fc.constantFrom(null, '127.0.0.1', '10.0.0.1'),
  })
  .map(({ action, given, ...rest }) => {
    const [server = '', name = ''] = action.split('/')
    const fitting = Object.entries(given).filter(([key]) => ARGUMENTS[action]?.includes(key))
    const params = { name, arguments: Object.fromEntries(fitting) as JsonObject }
    const who = {
      user: 'ada',
      teams: ['t'],
      definition: null,
      definitionRequired: false,
      from: 'client' as const,
    }
    return { ...rest, ...who, server, method: 'tools/call', params }
  })

/** All that is known of one request. `whole`: all policies on all of the recorded context. */
type Outcome = {
  readonly decided: Authorization
  readonly again: Authorization | undefined
  readonly whole: Interpretation | undefined
  readonly list: Authorization | undefined
  readonly forbidden: Authorization | undefined
  /** With one scope less. */
  readonly lessened: Authorization | undefined
  readonly request: AuthorizationRequest
}

const pick = ({ decision, code, policies: by, errors }: Interpretation) => {
  return { decision, code, by, errors }
}

/** Takes one scope from one of the three, each in its turn. */
function lessened(of: AuthorizationRequest, index: number): AuthorizationRequest {
  const whose = (['user', 'agent', 'grant'] as const)[index % 3] ?? 'user'
  const taken = SCOPES[index % SCOPES.length]
  const left = of.scopes[whose].filter((one) => one !== taken)
  return { ...of, scopes: { ...of.scopes, [whose]: left } }
}

/** Whether user, agent and grant all have what `action` needs. */
function isWithin({ scopes }: AuthorizationRequest, action: string): boolean {
  return (NEEDS[action] ?? []).every((needed) =>
    [scopes.user, scopes.agent, scopes.grant].every((of) => of.includes(needed)),
  )
}

let engine: Engine
const outcomes: Outcome[] = []

async function decideAll(index: number): Promise<Outcome[]> {
  const seed = SEED + index
  const [of = []] = fc.sample(rules, { numRuns: 1, seed })
  const [more] = fc.sample(forbid, { numRuns: 1, seed })
  const files = bundleFiles(SERVERS, policies(of, more as Rule))
  const bundle = await withFiles(tmpdir(), files, (folder) => loadBundle(folder, { env: {} }))
  const content = JSON.parse(bundle.content) as {
    base: Record<string, PolicyJson>
    policies: Record<string, PolicyJson>
    schema: object
  }
  const { id, policySets, schemas } = unpackGeneration(bundle.generation)
  await engine.activate(
    packGeneration({
      id,
      policySets: [
        ...policySets,
        { key: 'whole', policies: { ...content.base, ...content.policies } },
      ],
      schemas: [...schemas, { key: 'whole', schema: JSON.stringify(content.schema) }],
    }),
  )
  const { authorize } = createAuthorizer({ bundle, engine })
  const requests = fc.sample(request, { numRuns: REQUESTS_EACH, seed })
  const decided = await authorize(requests)
  const again = await authorize(requests.toReversed())
  const lists = await authorize(requests.map((one) => ({ ...one, method: 'tools/list' })))
  const forbidden = await authorize(requests.map((one) => ({ ...one, teams: ['u'] })))
  const less = await authorize(requests.map(lessened))
  const asked = decided.filter(({ cedar }) => cedar.request !== '')
  const whole = await engine.evaluate(
    asked.map(({ cedar: texts }) => ({
      generation: id,
      policySet: 'whole',
      schema: 'whole',
      texts,
    })),
  )
  const wholly = new Map(asked.map((one, at) => [one, whole[at]]))
  return decided.map((one, at) => {
    const answer = wholly.get(one)
    return {
      decided: one,
      again: again.at(-1 - at),
      whole: answer && interpret(answer),
      list: lists[at],
      forbidden: forbidden[at],
      lessened: less[at],
      request: requests[at] as AuthorizationRequest,
    }
  })
}

beforeAll(async () => {
  engine = await startEngine({ workers: 1, timeoutMs: 60_000 })
  for (let index = 0; index < BUNDLES; index++) outcomes.push(...(await decideAll(index)))
}, 180_000)
afterAll(() => engine.stop())

test.each(['permit', 'forbid', 'no_permit', 'policy_error', 'invalid_request'])(
  'some come out as %s',
  (code) => {
    expect(outcomes.filter(({ decided }) => decided.code === code).length).toBeGreaterThan(3)
  },
)

test('a slice on a part of the context decides as all policies do on the whole of it', () => {
  const asked = outcomes.filter(({ whole }) => whole !== undefined)
  expect(asked.length).toBeGreaterThan(BUNDLES * 10)
  expect(asked.map(({ decided }) => pick(decided))).toEqual(
    asked.map(({ whole }) => pick(whole as Interpretation)),
  )
})

test('no tool that is permitted is hidden, and some tools are', () => {
  const hidden = outcomes.filter(
    ({ decided, list }) => !list?.visible?.tools.includes(decided.tool ?? ''),
  )
  expect(hidden.length).toBeGreaterThan(0)
  expect(hidden.filter(({ decided }) => decided.decision === 'allow')).toEqual([])
})

test('one more forbid takes some away and gives nothing', () => {
  const changed = outcomes.filter(
    ({ decided, forbidden }) => decided.decision !== forbidden?.decision,
  )
  expect(changed.length).toBeGreaterThan(0)
  expect(changed.filter(({ forbidden }) => forbidden?.decision === 'allow')).toEqual([])
})

test('what is allowed or listed is within the ceilings of user, agent and grant', () => {
  const beyond = outcomes.filter(
    ({ request: one, decided: { tool } }) => !isWithin(one, `${one.server}/${tool}`),
  )
  const by = beyond.filter(({ decided }) =>
    decided.policies.some((id) => id.startsWith('cedargate/')),
  )
  expect(by.length).toBeGreaterThan(BUNDLES)
  expect(beyond.filter(({ decided }) => decided.decision === 'allow')).toEqual([])
  const listed = outcomes.flatMap(({ request: one, list }) =>
    (list?.visible?.tools ?? []).map((tool) => ({ one, action: `${one.server}/${tool}` })),
  )
  expect(listed.length).toBeGreaterThan(BUNDLES)
  expect(listed.filter(({ one, action }) => !isWithin(one, action))).toEqual([])
})

test('one scope less takes some away and gives nothing', () => {
  const changed = outcomes.filter(
    (outcome) => outcome.decided.decision !== outcome.lessened?.decision,
  )
  expect(changed.length).toBeGreaterThan(0)
  expect(changed.filter((outcome) => outcome.lessened?.decision === 'allow')).toEqual([])
})

test('asked again in another order, every answer is the same', () => {
  expect(outcomes.map(({ again }) => again)).toEqual(outcomes.map(({ decided }) => decided))
})
