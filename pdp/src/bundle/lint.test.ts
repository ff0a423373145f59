// Ownership and openness of policies, and how `@require_approval` is written: found where the policy stands.
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { type GatewayFile, gatewayFile } from '../../../schemas/bundle.ts'
import type { Candidate } from '../engine/candidate.ts'
import { startCandidate } from '../engine/candidate.ts'
import type { Finding } from './findings.ts'
import { lintPolicies } from './lint.ts'
import { loadBundle } from './load.ts'
import { readPolicies } from './policies.ts'
import { bundleFiles, withFiles } from './testing.ts'

const SERVERS = {
  files: { tools: [{ name: 'read' }, { name: 'write', risk: 'write' as const }] },
  mail: { tools: [{ name: 'send', risk: 'destructive' as const }] },
}
const USER = 'principal in MCP::Team::"t"'
const ASKED =
  'warning: this permits servers to use the model of the client (`sampling/createMessage`) and to ask the person (`elicitation/create`) too; name the actions it means, such as `action in [MCP::Action::"connect", MCP::Action::"all"]`'

let candidate: Candidate
beforeAll(async () => {
  candidate = await startCandidate()
})
afterAll(() => candidate.close())

async function findings(
  policy: string,
  owners?: GatewayFile['owners'],
): Promise<readonly Finding[]> {
  const source = { file: 'cedar/p.cedar', text: `// a\n  ${policy}\n` }
  const read = await readPolicies([source], new Set(Object.keys(SERVERS)), candidate)
  return [...read.findings, ...lintPolicies(read.policies, { owners })]
}
const texts = async (...given: Parameters<typeof findings>): Promise<string[]> =>
  (await findings(...given)).map(({ severity, message }) => `${severity}: ${message}`)

function loadOwned(policy: string) {
  const files = bundleFiles(SERVERS, { p: policy })
  files['gateway.yaml'] = stringify({ name: 'Test', owners: { files: ['files'], all: '*' } })
  return withFiles(tmpdir(), files, (directory) => loadBundle(directory, { env: {} }))
}

test('a bundle is refused for what its owners do not own, and keeps its warnings', async () => {
  await expect(loadOwned('@id("files/a") forbid(principal, action, resource);')).rejects.toThrow(
    'cedar/p.cedar:1:1: `files` does not own every server',
  )
  const { warnings } = await loadOwned('@id("all/a") permit(principal, action, resource);')
  expect(warnings).toMatchObject([
    { severity: 'warning', message: expect.stringMatching(/permits every/) },
  ])
})

describe('owners', () => {
  const owners = { files: ['files'], platform: '*' as const }
  const FOREIGN = 'error: `files` does not own the server `mail`'
  const SPANS = 'error: `files` does not own every server: name one as the resource'
  test.each<{ scope: string; says: string[] }>([
    { scope: `${USER}, action in MCP::Action::"read", resource == MCP::Server::"files"`, says: [] },
    { scope: `${USER}, action, resource == MCP::Server::"files"`, says: [] },
    { scope: `${USER}, action, resource is MCP::Server in MCP::Server::"files"`, says: [] },
    { scope: `${USER}, action in MCP::Action::"server:files", resource`, says: [] },
    { scope: `${USER}, action in [MCP::Action::"files/read", MCP::Action::"files/write"], resource`, says: [] },
    { scope: `${USER}, action == MCP::Action::"connect", resource == MCP::Server::"files"`, says: [] },
    { scope: `${USER}, action == MCP::Action::"connect", resource`, says: [SPANS] },
    { scope: `${USER}, action == MCP::Action::"resources/read", resource`, says: [SPANS] },
    { scope: `${USER}, action in MCP::Action::"read", resource`, says: [SPANS] },
    { scope: `${USER}, action in [MCP::Action::"files/read", MCP::Action::"write"], resource`, says: [SPANS] },
    { scope: `${USER}, action, resource`, says: [SPANS] },
    { scope: `${USER}, action, resource is MCP::Server`, says: [SPANS] },
    { scope: `${USER}, action == MCP::Action::"mail/send", resource`, says: [FOREIGN] },
    { scope: `${USER}, action in MCP::Action::"server:mail", resource`, says: [FOREIGN] },
    { scope: `${USER}, action, resource == MCP::Server::"mail"`, says: [FOREIGN] },
  ])('$scope', async ({ scope, says }) => {
    const asked = scope.includes(', action, ') ? [ASKED] : []
    expect(await texts(`@id("files/a") permit(${scope});`, owners)).toEqual([...says, ...asked])
    expect(await texts(`@id("platform/a") permit(${scope});`, owners)).toEqual(asked)
    expect(await texts(`@id("files/a") permit(${scope});`)).toEqual(asked)
  }) // biome-ignore format: a table

  test('a server of somebody else in a condition is named as well', async () => {
    const policy =
      '@id("files/a") forbid(principal, action, resource == MCP::Server::"files") unless { resource == MCP::Server::"mail" };'
    expect(await texts(policy, owners)).toContain(FOREIGN)
  })

  test('a prefix that nobody gave owns nothing', async () => {
    const policy = `@id("__proto__/a") permit(${USER}, action == MCP::Action::"connect", resource == MCP::Server::"files");`
    const other = policy.replace('__proto__', 'other')
    expect(await texts(other, owners)).toEqual(['error: gateway.yaml names no `other` in `owners`'])
    expect(await texts(other.replace('other', 'constructor'), owners)).toHaveLength(1)
  })

  test('is found where the policy stands', async () => {
    const [finding] = await findings('@id("other/a") permit(principal, action, resource);', owners)
    expect(finding).toMatchObject({ file: 'cedar/p.cedar', line: 2, column: 3 })
  })

  test.each(['mail', ['m ail'], 1])('must be servers, or "*", not %j', (written) => {
    expect(gatewayFile.safeParse({ name: 'x', owners: { files: written } }).success).toBe(false)
  })
})

describe('a permit of every action', () => {
  const OPEN = 'warning: this permits every action to everybody on every server; give it a scope'
  test.each<{ policy: string; says: string[] }>([
    { policy: 'permit(principal, action, resource);', says: [OPEN] },
    { policy: 'permit(principal, action, resource) when { context.agent == MCP::Agent::"a" };', says: [ASKED] },
    { policy: 'permit(principal is MCP::Agent, action, resource);', says: [ASKED] },
    { policy: 'permit(principal is MCP::User in MCP::Team::"t", action, resource is MCP::Server);', says: [ASKED] },
    { policy: 'permit(principal == MCP::User::"u", action, resource);', says: [ASKED] },
    { policy: 'permit(principal is App::User, action, resource);', says: [] },
    { policy: 'permit(principal, action, resource == App::Doc::"d");', says: [] },
    { policy: 'permit(principal, action in [MCP::Action::"connect", MCP::Action::"all"], resource) when { true };', says: [] },
    { policy: 'forbid(principal, action, resource);', says: [] },
    { policy: 'forbid(principal is MCP::Agent, action, resource);', says: [] },
  ])('$policy', async ({ policy, says }) => {
    expect(await texts(`@id("a/b") ${policy}`)).toEqual(says)
    expect(await texts(`@id("a/b") ${policy}`, { a: '*' })).toEqual(says)
  }) // biome-ignore format: a table
})

describe('@require_approval', () => {
  const GRAMMAR = /^error: @require_approval must be "group=<team>;count=<n>;ttl=<duration>"/
  test.each([
    'group=leads;count=1;ttl=PT15M',
    'group=a.b@c;count=16;ttl=P1DT2H3M4S',
    'group=a;count=2;ttl=P30D',
  ])('%s', async (terms) => {
    const scope = '(principal, action, resource)'
    expect(await texts(`@id("a/b") @require_approval("${terms}") forbid${scope};`)).toEqual([])
    expect(
      await texts(`@id("a/b") @require_approval("${terms}") permit(${USER}, action, resource);`),
    ).toEqual(['error: @require_approval belongs on a forbid: it softens one', ASKED])
  })

  test.each([
    '',
    'group=leads',
    'group=;count=1;ttl=PT1M',
    'group=le ads;count=1;ttl=PT1M',
    'group=a;count=0;ttl=PT1M',
    'group=a;count=17;ttl=PT1M',
    'group=a;count=1;ttl=15m',
    'group=a;count=1;ttl=P',
    'group=a;count=1;ttl=PT',
    'group=a;count=1;ttl=P1DT',
    'group=a;count=1;ttl=P1M',
    'group=a;count=1;ttl=PT1M;more=1',
    'count=1;group=a;ttl=PT1M',
  ])('is not `%s`', async (terms) => {
    const found = await texts(
      `@id("a/b") @require_approval("${terms}") forbid(principal, action, resource);`,
    )
    expect(found).toEqual([expect.stringMatching(GRAMMAR)])
  })

  test('nor nothing', async () => {
    const found = await texts('@id("a/b") @require_approval forbid(principal, action, resource);')
    expect(found).toEqual([expect.stringMatching(GRAMMAR)])
  })
})
