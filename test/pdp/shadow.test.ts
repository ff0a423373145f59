// What a decision says of policies that are not enforced yet and of policies that fail: its record, its leaf, the metrics.
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundleFiles, withFiles } from '../../pdp/src/bundle/testing.ts'
import type { DecisionRow } from '../../schemas/decisions-api.ts'
import { startTestPdp, type TestPdp } from '../harness/pdp.ts'

const FAILS = '(context.argsMeta.bytes + 2) * 9007199254740991 * 9007199254740991 > 0'
const on = (tool: string) => `(principal, action == MCP::Action::"files/${tool}", resource)`
const POLICIES = `
@id("a/connect") permit (principal, action == MCP::Action::"connect", resource);
@id("a/read") permit ${on('read')};
@id("s/no-read") @mode("shadow") forbid ${on('read')};
@id("s/write") @mode("shadow") permit ${on('write')};
@id("a/list") permit ${on('list')};
@id("s/fails") @mode("shadow") forbid ${on('list')} when { ${FAILS} };
@id("a/drop") permit ${on('drop')};
@id("f/drop") forbid ${on('drop')} when { ${FAILS} };
@id("f/also") permit ${on('drop')} when { ${FAILS} };
@id("a/plain") permit ${on('plain')};
`
const TOOLS = ['read', 'write', 'list', 'drop', 'plain'].map((name) => ({ name }))

let pdp: TestPdp
beforeAll(async () => {
  const files = bundleFiles({ files: { tools: TOOLS } }, { p: POLICIES })
  pdp = await withFiles(tmpdir(), files, (directory) => startTestPdp(directory))
})
afterAll(() => pdp.stop())

async function post(path: string, body: object): Promise<unknown> {
  const answer = await pdp.app.request(path, {
    method: 'POST',
    headers: { ...pdp.authorization('operator'), 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  return answer.json()
}
const subject = { type: 'user', id: 'ada' }

/** The record of one decision on a call of that tool, and its leaf. */
async function decide(tool: string): Promise<{ row: DecisionRow; leaf: object }> {
  const resource = { type: 'tool', id: `files/${tool}` }
  const asked = { subject, action: { name: 'tools/call' }, resource }
  const { context } = (await post('/access/v1/evaluation', asked)) as { context: { id: string } }
  const row = await pdp.admin.showDecision(context.id)
  const [stored] = await pdp.store.sql.query('select leaf from record where id = $1', [context.id])
  if (row === undefined) throw new Error('there is no record')
  const leaf = JSON.parse(Buffer.from(stored?.['leaf'] as Uint8Array).toString('utf8')) as object
  return { row, leaf }
}

async function metric(name: string): Promise<number> {
  const text = await (await pdp.app.request('/metrics')).text()
  const line = text.split('\n').find((one) => one.startsWith(`${name} `))
  return Number(line?.slice(name.length + 1) ?? 0)
}

const shadowTotal = (verdict: string, shadow: string) =>
  `cedargate_shadow_total{verdict="${verdict}",shadow="${shadow}"}`
const errorTotal = (policy: string) => `cedargate_policy_errors_total{policy="${policy}"}`

const NO_ERROR = { errors: [] }
test.each([
  { tool: 'read', row: { verdict: 'allow', code: 'permit', policies: ['a/read'], ...NO_ERROR }, shadow: { verdict: 'deny', code: 'forbid', policies: ['s/no-read'], errors: [] } },
  { tool: 'write', row: { verdict: 'deny', code: 'no_permit', policies: [], ...NO_ERROR }, shadow: { verdict: 'allow', code: 'permit', policies: ['s/write'], errors: [] } },
  { tool: 'list', row: { verdict: 'allow', code: 'permit', policies: ['a/list'], ...NO_ERROR }, shadow: { verdict: 'deny', code: 'policy_error', policies: ['s/fails'], errors: ['s/fails'] } },
])('a shadow policy on $tool: $row.verdict, and beside it $shadow.verdict', async ({ tool, row, shadow }) => {
  const counter = shadowTotal(row.verdict, shadow.verdict)
  const [before, failed] = [await metric(counter), await metric(errorTotal('s/fails'))]
  const decided = await decide(tool)
  expect(decided.row).toMatchObject({ ...row, shadow })
  expect(decided.leaf).toMatchObject({ sh: { r: shadow.verdict, cd: shadow.code, er: shadow.errors } })
  expect(await metric(counter)).toBe(before + 1)
  expect(await metric(errorTotal('s/fails'))).toBe(failed)
}) // biome-ignore format: a table

test('without one that could apply there is nothing beside', async () => {
  const { row, leaf } = await decide('plain')
  expect(row).toMatchObject({ verdict: 'allow', shadow: null })
  expect(leaf).not.toHaveProperty('sh')
})

test('a policy that fails denies; the record names it, and it is counted', async () => {
  const before = [await metric(errorTotal('f/drop')), await metric(errorTotal('f/also'))]
  const { row, leaf } = await decide('drop')
  expect(row).toMatchObject({ verdict: 'deny', code: 'policy_error', shadow: null })
  expect(row.errors).toEqual(['f/also', 'f/drop'])
  expect(leaf).toMatchObject({ dc: { er: ['f/also', 'f/drop'] } })
  const after = [await metric(errorTotal('f/drop')), await metric(errorTotal('f/also'))]
  expect(after).toEqual(before.map((count) => count + 1))
})

test('what only a shadow policy permits is found by no search, what one forbids is', async () => {
  const resource = { type: 'mcp_server', id: 'files' }
  const { results } = (await post('/access/v1/search/action', { subject, resource })) as {
    results: { properties: { tool: string } }[]
  }
  expect(results.map(({ properties }) => properties.tool)).toEqual([
    'drop',
    'list',
    'plain',
    'read',
  ])
})

test('fsck finds nothing', async () => {
  expect((await Array.fromAsync(pdp.admin.fsck())).at(-1)).toMatchObject({ findings: 0 })
})
