// List answers: what the verdict shows stays, in order; what cannot be read is never passed on.
import { expect, test } from 'vitest'
import { META } from '../../schemas/mcp.ts'
import type { Visible } from '../../schemas/pep-api.ts'
import { GatewayError } from './gateway-error.ts'
import {
  filterEvents,
  filterMessage,
  filterText,
  listFilterOf,
  type MapChunk,
  withholdLists,
} from './list.ts'

const VISIBLE: Visible = { tools: ['b', 'd'], resources: false, prompts: true }
const filterOf = (method: string, era: 'legacy' | 'modern' = 'legacy') => {
  const caller = { server: 'demo', token: 'a' }
  const of = { method, era, id: 1, ...caller }
  const filter = listFilterOf(of, { visible: VISIBLE }, (_caller, tools) => [...tools])
  if (filter === undefined) throw new Error(`${method} is no list`)
  return filter
}
const TOOLS = filterOf('tools/list')
const tool = (name: string) => ({ name, inputSchema: { type: 'object' } })
const listOf = (result: object) => ({ jsonrpc: '2.0', id: 1, result })

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
  expect(filterMessage(listOf(result), filterOf(method))).toEqual(listOf(want))
})

test.each([
  { ttlMs: 60_000, cacheScope: 'public', want: { ttlMs: 5_000, cacheScope: 'private' } },
  { ttlMs: 10, cacheScope: 'private', want: { ttlMs: 10, cacheScope: 'private' } },
  { ttlMs: 'long', want: { ttlMs: 0, cacheScope: 'private' } },
  { want: { cacheScope: 'private' } },
])('no cache shows a list to another: $ttlMs $cacheScope', ({ want, ...caching }) => {
  const message = filterMessage(listOf({ tools: [], ...caching }), filterOf('tools/list', 'modern'))
  expect(message).toEqual(listOf({ tools: [], ...want }))
})

test('a response under any id is filtered: clients take "1" for 1', () => {
  const message = { jsonrpc: '2.0', id: '1', result: { tools: [tool('a')] } }
  expect(filterMessage(message, TOOLS)).toMatchObject({ result: { tools: [] } })
})

test.each([
  { name: 'an error', message: { jsonrpc: '2.0', id: 1, error: { code: 1, message: 'x' } } },
  { name: 'a notification', message: { jsonrpc: '2.0', method: 'notifications/progress' } },
  { name: 'a request', message: { jsonrpc: '2.0', id: 9, method: 'ping' } },
])('$name comes back as it is', ({ message }) => {
  expect(filterMessage(message, TOOLS)).toBe(message)
})

test.each([
  '', '[]', 'null', '"x"', '{}', '{"tools":[]}', '{"id":1,"result":null}', '{"id":1,"result":[]}',
  '{"id":1,"result":{}}', '{"id":1,"result":{"tools":{}}}', '{"id":1,"result":{"Tools":[]}}',
  '[{"id":1,"result":{"tools":[]}}]', '{"id":1,"result":{"tools":[]}',
])('%s is unusable, never passed on', (text) => {
  expect(() => filterText(text, TOOLS)).toThrow(GatewayError)
}) // biome-ignore format: a list

test('a list that was allowed without saying what it may show is refused', () => {
  expect(() =>
    listFilterOf(
      { method: 'tools/list', era: 'legacy', id: 1, server: 'demo', token: 'a' },
      { visible: null },
      () => [],
    ),
  ).toThrow(expect.objectContaining({ code: 'verdict_mismatch' }))
})

function through(map: MapChunk, text: string, size: number): string {
  const bytes = Buffer.from(text)
  const chunks: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) chunks.push(map(bytes.subarray(at, at + size)))
  return Buffer.concat(chunks).toString()
}

const event = (message: object, head = '') => `${head}data: ${JSON.stringify(message)}\n\n`
const PROGRESS = event(
  { jsonrpc: '2.0', method: 'notifications/progress' },
  'id: 4\r\nevent: message\n',
)

test.each([1, 7, 10_000])('a stream is filtered however it is cut: %i bytes at a time', (size) => {
  const text = `: hello\n\nretry: 5\ndata: \n\n${PROGRESS}${event(listOf({ tools: [tool('a'), tool('b')] }), 'id: 9\n')}`
  expect(through(filterEvents(TOOLS), text, size)).toBe(
    `: hello\n\nretry: 5\ndata: \n\n${PROGRESS}${event(listOf({ tools: [tool('b')] }), 'id: 9\n')}`,
  )
})

test.each([
  'data: nonsense\n\n',
  event({ tools: [tool('a')] }),
  event([listOf({ tools: [tool('a')] })]),
])('a stream that cannot be read ends with an error in the list’s place: %s', (text) => {
  const shown = through(
    filterEvents(TOOLS),
    `${text}${event(listOf({ tools: [tool('b')] }))}`,
    1_000,
  )
  expect(shown).toContain('"data":{"code":"upstream_invalid"}')
  expect(shown).toContain('"id":1')
  expect(shown).not.toContain('"tools"')
})

test('a resumed stream replays answers to calls, but no list', () => {
  const called = event(listOf({ content: [] }), 'id: 1\n')
  const text = `${called}${PROGRESS}${event(listOf({ tools: [tool('a')] }), 'id: 2\n')}`
  const shown = through(withholdLists(), text, 50)
  expect(shown.startsWith(`${called}${PROGRESS}id: 2\n`)).toBe(true)
  expect(shown).not.toContain('"tools"')
})
