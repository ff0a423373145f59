// A draft is a bundle that passes every check, whatever the risks of a server's tools; and it decides as it says.
import { tmpdir } from 'node:os'
import { expect, test } from 'vitest'
import type { Risk } from '../../../schemas/bundle.ts'
import { withOffline } from '../policy-tests/diff.ts'
import { requestOf } from '../policy-tests/message.ts'
import { loadBundle } from './load.ts'
import { draftPolicies } from './scaffold.ts'
import { bundleFiles, withFiles } from './testing.ts'

const tool = (risk: Risk) => ({ name: `a_${risk}`, risk })
const draftOf = (risks: readonly Risk[]) =>
  draftPolicies({ server: 'crm', owner: 'crm', team: 'ops', tools: risks.map(tool) })

async function load(risks: readonly Risk[]) {
  const files = bundleFiles({ crm: { tools: risks.map(tool) } }, { crm: draftOf(risks) })
  files['gateway.yaml'] = 'name: Test\nowners: { crm: [crm] }\n'
  return withFiles(tmpdir(), files, (directory) => loadBundle(directory, { env: {} }))
}

test.each<{ risks: Risk[]; ids: string[] }>([
  { risks: [], ids: ['connect'] },
  { risks: ['read'], ids: ['connect', 'read'] },
  { risks: ['write'], ids: ['connect', 'write-needs-approval', 'write-in-the-open'] },
  { risks: ['destructive'], ids: ['connect', 'write-needs-approval', 'write-in-the-open', 'destroy'] },
  { risks: ['read', 'write', 'destructive'], ids: ['connect', 'read', 'write-needs-approval', 'write-in-the-open', 'destroy'] },
])('$risks', async ({ risks, ids }) => {
  const bundle = await load(risks)
  expect(bundle.warnings).toEqual([])
  expect([...bundle.policies.keys()]).toEqual(ids.map((slug) => `crm/${slug}`))
  for (const policy of bundle.policies.values()) {
    expect(policy).toMatchObject({ owner: 'crm', reason: expect.stringMatching(/./) })
  }
}) // biome-ignore format: a table

test('reads are permitted to the team, all else is not', async () => {
  const bundle = await load(['read', 'write', 'destructive'])
  const caller = { user: 'u', agent: 'a', time: 0, sourceIp: '::1', era: undefined }
  const answers = await withOffline(bundle, (offline) =>
    offline.authorize(
      (['read', 'write', 'destructive'] as const).flatMap((risk) =>
        [['ops'], []].map((teams) =>
          requestOf(
            { ...caller, teams },
            { server: 'crm', method: 'tools/call', params: { name: `a_${risk}` } },
          ),
        ),
      ),
    ),
  )
  expect(answers.map(({ code, policies }) => [code, ...policies].join(' '))).toEqual([
    'permit crm/read',
    'no_permit',
    'forbid crm/write-needs-approval',
    'forbid crm/write-needs-approval',
    'forbid crm/destroy crm/write-needs-approval',
    'forbid crm/destroy crm/write-needs-approval',
  ])
})

test('with another owner its ids say the server', () => {
  const text = draftPolicies({ server: 'crm', owner: 'sales', team: 'ops', tools: [tool('read')] })
  expect(text).toContain('@id("sales/crm-read")')
})

test('a tool name cannot end its comment', () => {
  const text = draftPolicies({
    server: 'crm',
    owner: 'crm',
    team: 'ops',
    tools: [{ name: 'a\npermit(principal, action, resource);', risk: 'read' }],
  })
  expect(text).toContain('// - a?permit(principal,?action,?resource);')
})
