// Which parts of a context an expression reads, in Cedar's JSON form.
import { expect, test } from 'vitest'
import { contextPaths, contextReads, readsAction } from './context-paths.ts'

const context = { Var: 'context' }
const get = (left: unknown, attr: string) => ({ '.': { left, attr } })
const has = (left: unknown, attr: string | string[]) => ({ has: { left, attr } })
const plain = (of: 'all' | ReadonlySet<string>) => (of === 'all' ? of : [...of])
const all = (left: unknown, right: unknown) => ({ '&&': { left, right } })
const value = (of: unknown) => ({ Value: of })

test.each<{ name: string; expression: unknown; paths: string[]; reads: unknown }>([
  { name: 'nothing', expression: get({ Var: 'principal' }, 'context'), paths: [], reads: {} },
  { name: 'a literal', expression: value({ Var: 'context' }), paths: [], reads: {} },
  { name: 'one attribute', expression: get(context, 'agent'), paths: ['agent'], reads: { agent: 'all' } },
  { name: 'an inner one', expression: get(get(context, 'args'), 'p'), paths: ['args.p'], reads: { args: ['p'] } },
  { name: 'three deep', expression: get(get(get(context, 'args'), 'o'), 'x'), paths: ['args.o.x'], reads: { args: ['o'] } },
  { name: 'presence', expression: has(context, 'grant'), paths: ['grant?'], reads: { grant: [] } },
  { name: 'presence of an inner one', expression: has(get(context, 'args'), 'p'), paths: ['args.p?'], reads: { args: ['p'] } },
  { name: 'presence of a chain', expression: has(context, ['grant', 'id']), paths: ['grant.id?'], reads: { grant: ['id'] } },
  {
    name: 'presence, then the value',
    expression: all(has(context, 'grant'), { '==': { left: get(get(context, 'grant'), 'id'), right: value('g') } }),
    paths: ['grant?', 'grant.id'],
    reads: { grant: ['id'] },
  },
  {
    name: 'the whole of it after a part',
    expression: all(get(get(context, 'args'), 'p'), { '==': { left: get(context, 'args'), right: value(1) } }),
    paths: ['args.p', 'args'],
    reads: { args: 'all' },
  },
  { name: 'the context itself', expression: { '==': { left: context, right: context } }, paths: ['', ''], reads: 'all' },
  { name: 'a choice of contexts', expression: get({ 'if-then-else': { if: context, else: context } }, 'args'), paths: ['', ''], reads: 'all' },
  { name: 'inside a set and a record', expression: { Set: [{ Record: { x: get(context, 'agent') } }] }, paths: ['agent'], reads: { agent: 'all' } },
  { name: 'inside a function', expression: { datetime: [get(get(context, 'request'), 'era')] }, paths: ['request.era'], reads: { request: ['era'] } },
])('$name', ({ expression, paths, reads }) => {
  const found = contextPaths(expression)
  expect(found.map((path) => path.attributes.join('.') + (path.presence ? '?' : ''))).toEqual(paths)
  const read = contextReads([{ kind: 'when', body: expression }])
  expect(read === 'all' ? read : Object.fromEntries([...read].map(([name, of]) => [name, plain(of)]))).toEqual(reads)
}) // biome-ignore format: a table

test('a condition about the action is found wherever it stands', () => {
  expect(
    readsAction([{ body: all(value(true), { in: { left: { Var: 'action' }, right: value(1) } }) }]),
  ).toBe(true)
  expect(readsAction([{ body: all(value('action'), context) }])).toBe(false)
})
