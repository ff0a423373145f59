// List answers: what the verdict shows stays, in order; what cannot be read is never passed on.
import { expect, test } from 'vitest'
import { META } from '../../../schemas/mcp.ts'
import type { Visible } from '../../../schemas/pep-api.ts'
import { GatewayError } from '../gateway-error.ts'
import { filterResult, listFilterOf, withheldList } from './list.ts'

const VISIBLE: Visible = { tools: ['b', 'd'], resources: false, prompts: true }
const filterOf = (method: string, era: 'legacy' | 'modern' = 'legacy') => {
  const caller = { server: 'demo', grant: 'a' }
  const of = { method, era, ...caller }
  const filter = listFilterOf(of, { visible: VISIBLE }, (_caller, tools) => [...tools])
  if (filter === undefined) throw new Error(`${method} is no list`)
  return filter
}
const TOOLS = filterOf('tools/list')
const tool = (name: string) => ({ name, inputSchema: { type: 'object' } })

test.each([
  {
    name: 'tools by name, in order, and nothing else that nobody reviewed',
    method: 'tools/list',
    result: { tools: [tool('d'), tool('a'), tool('b')], nextCursor: 'x', [META.decision]: 1 },
    want: { tools: [tool('d'), tool('b')], nextCursor: 'x' },
  },
  {
    name: 'an empty page keeps its cursor',
    method: 'tools/list',
    result: { tools: [tool('a')], nextCursor: 'x' },
    want: { tools: [], nextCursor: 'x' },
  },
  {
    name: 'a tool without a name is nobody’s',
    method: 'tools/list',
    result: { tools: [null, 'b', {}, { name: ['b'] }, tool('b')] },
    want: { tools: [tool('b')] },
  },
  {
    name: 'resources wholly',
    method: 'resources/list',
    result: { resources: [{ uri: 'a' }] },
    want: { resources: [] },
  },
  {
    name: 'templates wholly',
    method: 'resources/templates/list',
    result: { resourceTemplates: [{ uriTemplate: 'a' }] },
    want: { resourceTemplates: [] },
  },
  {
    name: 'prompts wholly',
    method: 'prompts/list',
    result: { prompts: [{ name: 'a' }] },
    want: { prompts: [{ name: 'a' }] },
  },
])('$name', ({ method, result, want }) => {
  expect(filterResult(result, filterOf(method))).toEqual(want)
})

test.each([
  { ttlMs: 60_000, cacheScope: 'public', want: { ttlMs: 5_000, cacheScope: 'private' } },
  { ttlMs: 10, cacheScope: 'private', want: { ttlMs: 10, cacheScope: 'private' } },
  { ttlMs: 'long', want: { ttlMs: 0, cacheScope: 'private' } },
  { want: { cacheScope: 'private' } },
])('no cache shows a list to another: $ttlMs $cacheScope', ({ want, ...caching }) => {
  const shown = filterResult({ tools: [], ...caching }, filterOf('tools/list', 'modern'))
  expect(shown).toEqual({ tools: [], ...want })
})

test.each([
  {}, { tools: {} }, { Tools: [] }, { tools: [], TOOLS: [tool('a')] }, { tools: null }, { content: [] },
])('%j is unusable, never passed on', (result) => {
  expect(() => filterResult(result, TOOLS)).toThrow(GatewayError)
}) // biome-ignore format: a list

test.each(['tools', 'resources', 'resourceTemplates', 'prompts'])(
  'a list of %s that nothing says how to filter is withheld',
  (list) => {
    const message = { jsonrpc: '2.0', id: 4 }
    expect(withheldList(message, { [list]: [] })).toMatchObject({ id: 4, error: { code: -31002 } })
    expect(() => withheldList(message, { [list.toUpperCase()]: [] })).toThrow(GatewayError)
  },
)

test('a result without a list is not withheld', () => {
  expect(withheldList({ id: 4 }, { content: [] })).toBeUndefined()
})

test('a list that was allowed without saying what it may show is refused', () => {
  expect(() =>
    listFilterOf(
      { method: 'tools/list', era: 'legacy', server: 'demo', grant: 'a' },
      { visible: null },
      () => [],
    ),
  ).toThrow(expect.objectContaining({ code: 'verdict_mismatch' }))
})
