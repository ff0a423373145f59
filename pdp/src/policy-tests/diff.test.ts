// What differs between two bundles, and what does not: layout, comments, files.
import { expect, test } from 'vitest'
import type { Bundle } from '../bundle/bundle.ts'
import { diffBundles } from './diff.ts'
import { readTests } from './run.ts'
import { loadTestBundle, POLICIES, SERVERS } from './testing.ts'

const MATRIX = `users: { ann: [staff], eve: [] }
tests:
  - { name: small, server: shop, tool: order, arguments: { amount: 60, note: ok } }
  - { server: shop, tool: find }
lists:
  - { server: shop }
`
const side = (bundle: Bundle, text = MATRIX) => ({
  bundle,
  tests: readTests([{ file: 'tests/a.yaml', text }], bundle),
})
const changed = (from: string, to: string) =>
  loadTestBundle({ shop: POLICIES.shop.replace(from, to) })

test('layout, comments and files are no difference', async () => {
  const [before, after] = await Promise.all([
    loadTestBundle(),
    loadTestBundle({ other: `// new\n${POLICIES.shop.replaceAll(' ', '  ')}` }),
  ])
  expect(await diffBundles(side(before), side(after))).toEqual({
    gateway: false,
    policies: [],
    servers: [],
    flips: [],
    asked: 6,
  })
})

test('a condition that flips a decision', async () => {
  const [before, after] = await Promise.all([loadTestBundle(), changed('< 100', '< 50')])
  const diff = await diffBundles(side(before), side(after))
  expect(diff.policies).toEqual([
    {
      change: 'changed',
      id: 'shop/order',
      before: expect.stringContaining('context.args.amount < 100'),
      after: expect.stringContaining('context.args.amount < 50'),
    },
  ])
  expect(diff.flips).toEqual([
    {
      name: 'small › ann',
      file: 'tests/a.yaml',
      before: { decision: 'allow', code: 'permit', policies: ['shop/order'] },
      after: { decision: 'deny', code: 'no_permit', policies: [] },
      shown: [],
      hidden: [],
    },
  ])
})

test('a change that flips none of the requests is a change all the same', async () => {
  const [before, after] = await Promise.all([loadTestBundle(), changed('< 100', '< 90')])
  const diff = await diffBundles(side(before), side(after))
  expect([diff.policies.length, diff.flips]).toEqual([1, []])
})

test('policies come, go and hide a tool', async () => {
  const [before, after] = await Promise.all([
    loadTestBundle(),
    changed('@id("shop/find") permit(', '@id("shop/hide") forbid('),
  ])
  const { policies, flips } = await diffBundles(side(before), side(after))
  expect(policies.map(({ change, id }) => `${change} ${id}`)).toEqual([
    'removed shop/find',
    'added shop/hide',
  ])
  expect(flips.map(({ name, shown, hidden }) => [name, shown, hidden])).toEqual([
    ['shop/find › ann', [], []],
    ['tools of shop › ann', [], ['find']],
  ])
})

test('the tests of both sides are asked, the same request once', async () => {
  const bundle = await loadTestBundle()
  const extra = MATRIX.replace('amount: 60', 'amount: 61')
  const { asked } = await diffBundles(side(bundle), side(bundle, extra))
  expect(asked).toBe(8)
})

test('servers and tools', async () => {
  const { shop } = SERVERS
  const [find, order] = shop?.tools ?? []
  if (find === undefined || order === undefined) throw new Error('the test bundle has two tools')
  const [before, after] = await Promise.all([
    loadTestBundle({}, { shop: { tools: [find, order] }, old: {} }),
    loadTestBundle(
      {},
      {
        shop: {
          file: { url: 'http://127.0.0.1:2/mcp' },
          tools: [{ ...find, risk: 'write' }, { name: 'pay' }],
        },
        new: {},
      },
    ),
  ])
  const { servers } = await diffBundles({ bundle: before, tests: [] }, { bundle: after, tests: [] })
  expect(
    servers.map(({ change, server, tool }) => `${change} ${server} ${tool ?? ''}`.trim()),
  ).toEqual([
    'added new',
    'removed old',
    'changed shop',
    'changed shop find',
    'removed shop order',
    'added shop pay',
  ])
})
