// The base policies, decided for real: whoever lacks a scope lacks it, whatever a bundle says; and every way a bundle
// could try to be rid of them.
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { unpackGeneration } from '../../../schemas/cedar.ts'
import { CONNECT_ACTION } from '../../../schemas/mcp.ts'
import { NO_CEILINGS, SCOPES, type Scope } from '../../../schemas/scopes.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { createAuthorizer } from '../authorize/authorizer.ts'
import type { ActionKeys, AuthorizationRequest } from '../authorize/types.ts'
import { startCandidate } from '../engine/candidate.ts'
import type { Engine } from '../engine/engine.ts'
import { startEngine } from '../engine/engine.ts'
import { requestOf } from '../policy-tests/message.ts'
import { basePolicyOf } from './base.ts'
import type { Bundle } from './bundle.ts'
import { readContent, storedFiles } from './content.ts'
import { BundleError, findingLine } from './findings.ts'
import { formatPolicyFiles } from './format.ts'
import { loadBundle, loadFiles } from './load.ts'
import type { TestServer } from './testing.ts'
import { bundleFiles, withFiles } from './testing.ts'

const SERVERS: Record<string, TestServer> = {
  files: {
    tools: [
      { name: 'read' },
      { name: 'write', risk: 'write' },
      { name: 'drop', risk: 'destructive' },
    ],
  },
}
/** Permits all that there is, and what more a team could try within a policy. */
const PERMIT_ALL = '@id("team/all") permit(principal, action, resource);\n'
const AROUND = `@id("team/tools") permit(principal, action in MCP::Action::"all", resource);
@id("team/without") permit(principal, action, resource) unless { context.scopes.write.grant };
@id("team/cedargate") @owner("cedargate") permit(principal, action, resource) when { context == context };
@id("team/shadow") @mode("shadow") forbid(principal, action, resource) when { !context.scopes.read.user };
`

function load(files: Record<string, string>): Promise<Bundle> {
  return withFiles(tmpdir(), files, (directory) => loadBundle(directory, { env: {} }))
}
async function findings(files: Record<string, string>): Promise<string[]> {
  const error = await load(files).catch((found: unknown) => found)
  if (error instanceof BundleError) return error.findings.map(findingLine)
  throw error
}

let engine: Engine
beforeAll(async () => {
  engine = await startEngine({ workers: 1, timeoutMs: 60_000 })
})
afterAll(() => engine.stop())

async function authorizerOf(policies: Record<string, string>) {
  const bundle = await load(bundleFiles(SERVERS, policies))
  await engine.activate(bundle.generation)
  return createAuthorizer({ bundle, engine })
}

type Sent = { readonly method: string; readonly params?: JsonObject }
function asked({ method, params }: Sent, scopes = NO_CEILINGS): AuthorizationRequest {
  const caller = { user: 'ada', teams: [], agent: 'demo', time: 0, sourceIp: '::1' }
  return requestOf({ ...caller, era: undefined, scopes }, { server: 'files', method, params })
}
const call = (name: string): Sent => ({ method: 'tools/call', params: { name, arguments: {} } })

const NEEDS: readonly (Sent & { readonly what: string; readonly needs: readonly Scope[] })[] = [
  { what: 'a tool that reads', ...call('read'), needs: ['mcp:read'] },
  { what: 'a tool that writes', ...call('write'), needs: ['mcp:write'] },
  { what: 'a tool that destroys', ...call('drop'), needs: ['mcp:destructive', 'mcp:write'] },
  { what: 'a resource', method: 'resources/read', params: { uri: 'a:b' }, needs: ['mcp:read'] },
  { what: 'a listener', method: 'listen:resource', params: { uri: 'a:b' }, needs: ['mcp:read'] },
  { what: 'a prompt', method: 'prompts/get', params: { name: 'p' }, needs: ['mcp:read'] },
  { what: 'a completion', method: 'completion/complete', params: { ref: { type: 'ref/prompt', name: 'p' }, argument: { name: 'a', value: '' } }, needs: ['mcp:read'] },
  { what: 'a question', method: 'elicitation/create', params: { message: 'how?', requestedSchema: { type: 'object', properties: {} } }, needs: ['mcp:ask'] },
  { what: 'a sample', method: 'sampling/createMessage', params: { messages: [], maxTokens: 1 }, needs: ['mcp:ask'] },
  { what: 'the roots', method: 'roots/list', needs: ['mcp:ask'] },
  { what: 'a connection', method: 'tools/list', needs: [] },
] // biome-ignore format: a table

describe('one scope missing', () => {
  test.each(NEEDS)('$what: what it needs, of each of the three', async ({ needs, ...sent }) => {
    const { authorize } = await authorizerOf({ all: PERMIT_ALL, around: AROUND })
    const all = (['user', 'agent', 'grant'] as const).flatMap((whose) =>
      SCOPES.map((scope) => ({ whose, scope })),
    )
    const answers = await authorize(
      all.map(({ whose, scope }) => {
        const left = SCOPES.filter((one) => one !== scope)
        return asked(sent, { ...NO_CEILINGS, [whose]: left })
      }),
    )
    expect(
      answers.map(({ code, policies, detail }, at) => {
        const { whose, scope = '' } = all[at] ?? {}
        return [whose, scope, code, code === 'forbid' && policies, detail.includes(scope)]
      }),
    ).toEqual(
      all.map(({ whose, scope }) =>
        needs.includes(scope)
          ? [whose, scope, 'forbid', [basePolicyOf(scope)], true]
          : [whose, scope, 'permit', false, false],
      ),
    )
  })

  test('with none at all there is nothing but the connection, and no tool to see', async () => {
    const { authorize } = await authorizerOf({ all: PERMIT_ALL, around: AROUND })
    const none = { user: [], agent: [], grant: [] }
    const answers = await authorize(NEEDS.map((sent) => asked(sent, none)))
    expect(answers.map(({ decision }) => decision)).toEqual(
      NEEDS.map(({ needs }) => (needs.length === 0 ? 'allow' : 'deny')),
    )
    expect(answers.at(-1)?.visible?.tools).toEqual([])
  })

  test('a list is of the scopes that are asked with, not of those before', async () => {
    const { authorize } = await authorizerOf({ all: PERMIT_ALL })
    const shown = []
    for (const user of [SCOPES, ['mcp:read'], ['mcp:write'], SCOPES] as const) {
      const [list] = await authorize([asked({ method: 'tools/list' }, { ...NO_CEILINGS, user })])
      shown.push(list?.visible?.tools)
    }
    const all = ['drop', 'read', 'write']
    expect(shown).toEqual([all, ['read'], ['write'], all])
  })
})

test('without any policy they hold: what lacks no scope is permitted by nobody', async () => {
  const { authorize } = await authorizerOf({})
  const none = { ...NO_CEILINGS, agent: [] }
  const answers = await authorize([asked(call('drop')), asked(call('drop'), none)])
  expect(answers.map(({ code, policies }) => [code, policies])).toEqual([
    ['no_permit', []],
    ['forbid', ['cedargate/scope-destructive', 'cedargate/scope-write']],
  ])
})

test('they are in the slices of every action but `connect`, with and without shadow policies', async () => {
  const shadow = '@id("a/s") @mode("shadow") forbid(principal, action, resource);'
  const bundle = await load(bundleFiles(SERVERS, { shadow }))
  const { policySets } = unpackGeneration(bundle.generation)
  const files = bundle.servers.get('files')
  const actions: (readonly [string, ActionKeys])[] = [
    ...Object.entries(files?.actions ?? {}),
    ...[...(files?.tools.values() ?? [])].map(({ action, keys }) => [action, keys] as const),
  ]
  expect(actions).toHaveLength(10)
  for (const [action, { call: slice, shadow: shadowed, listing }] of actions) {
    for (const keys of [slice, shadowed, listing]) {
      const { policies = {} } = policySets.find(({ key }) => key === keys?.policySet) ?? {}
      const base = Object.keys(policies).filter((id) => bundle.base.has(id))
      expect([action, base.length > 0]).toEqual([action, action !== CONNECT_ACTION])
    }
  }
})

test('Cedar finds nothing wrong with them, and they are laid out as its formatter does', async () => {
  const file = { file: 'base.cedar', text: await readFile(join(import.meta.dirname, 'base.cedar'), 'utf8') } // biome-ignore format: a file
  expect(await formatPolicyFiles([file])).toEqual([{ file: 'base.cedar', outcome: 'same' }])
  const bundle = await load(bundleFiles(SERVERS, {}))
  const candidate = await startCandidate()
  try {
    const { schema } = JSON.parse(bundle.content) as { schema: object }
    const texts = Object.fromEntries([...bundle.base].map(([id, { text }]) => [id, text]))
    expect(await candidate.validate(JSON.stringify(schema), texts)).toEqual([])
  } finally {
    await candidate.close()
  }
})

const own = (schema: string) => ({
  ...bundleFiles(SERVERS, { all: PERMIT_ALL }),
  'schema/own.cedarschema': schema,
})
type Attempt = { name: string; files: Record<string, string>; want: RegExp }
test.each<Attempt>([
  { name: 'an id of theirs', files: bundleFiles(SERVERS, { p: '@id("cedargate/scope-write") permit(principal, action, resource);' }), want: /^cedar\/p\.cedar:1:1: ids that begin with `cedargate\/` are the gateway's own$/ },
  { name: 'a new id like theirs', files: bundleFiles(SERVERS, { p: '// x\n@id("cedargate/mine") forbid(principal, action, resource);' }), want: /^cedar\/p\.cedar:2:1: ids that begin/ },
  { name: 'one of theirs as a shadow', files: bundleFiles(SERVERS, { p: '@id("cedargate/scope-read") @mode("shadow") forbid(principal, action, resource);' }), want: /ids that begin/ },
  { name: 'a prefix that owns everything', files: { ...bundleFiles(SERVERS, { p: '@id("cedargate/x") permit(principal, action, resource);' }), 'gateway.yaml': 'name: X\nowners: { cedargate: "*" }\n' }, want: /ids that begin/ },
  { name: 'the namespace', files: own('namespace MCP { entity User; }'), want: /the namespace MCP is the gateway's own/ },
  { name: 'a namespace below it', files: own('namespace MCP::Action { entity User; }'), want: /is the gateway's own/ },
  { name: 'another type of the scopes', files: own('type Scopes = { read: Bool };'), want: /`Scopes` is a name of the gateway's/ },
  { name: 'another group `write`', files: own('entity E; action "write" appliesTo { principal: E, resource: E };'), want: /`write` is a name of the gateway's/ },
  { name: 'an action in a group of ours', files: own('entity E; action mine in [MCP::Action::"read"] appliesTo { principal: E, resource: E };'), want: /MCP::Action::"read"/ },
])('a bundle cannot take $name', async ({ files, want }) => {
  expect(await findings(files)).toEqual([expect.stringMatching(want)])
}) // biome-ignore format: a table

describe('as kept', () => {
  const files = bundleFiles(SERVERS, { all: PERMIT_ALL })

  test('a bundle holds them beside its own, and is the same when it is read again', async () => {
    const bundle = await load(files)
    const { base, policies } = readContent(bundle.content)
    expect(Object.keys(base)).toEqual(SCOPES.map(basePolicyOf).toSorted())
    expect([Object.keys(policies), [...bundle.policies.keys()]]).toEqual([['team/all'], ['team/all']]) // biome-ignore format: a pair
    const again = await loadFiles(await storedFiles(bundle.content), { env: {} })
    expect([again.id, again.content, again.digests]).toEqual([bundle.id, bundle.content, bundle.digests]) // biome-ignore format: a triple
  })

  test('one that was kept without them, or with others, is another bundle now: with ours', async () => {
    const bundle = await load(files)
    const { base, ...older } = JSON.parse(bundle.content) as { base: Record<string, object> }
    const open = { ...base['cedargate/scope-write'], effect: 'permit' }
    for (const kept of [older, { ...older, base: { 'cedargate/scope-write': open } }]) {
      const again = await loadFiles(await storedFiles(JSON.stringify(kept)), { env: {} })
      expect([again.id, again.base.size]).toEqual([bundle.id, SCOPES.length])
    }
  })

  test('one that was kept with an id of ours as its own is no bundle any more', async () => {
    const { policies, ...rest } = readContent((await load(files)).content)
    const kept = { ...rest, policies: { 'cedargate/mine': policies['team/all'] } }
    const renamed = JSON.stringify(kept).replace('"team/all"', '"cedargate/mine"')
    const again = loadFiles(await storedFiles(renamed), { env: {} })
    await expect(again).rejects.toThrow(/ids that begin with/)
  })
})
