// Fingerprints and locks.
import { describe, expect, test } from 'vitest'
import {
  type Risk,
  type ToolDefinition,
  type ToolsLock,
  toolsLock,
} from '../../../schemas/bundle.ts'
import { definitionSha256 } from './fingerprint.ts'
import { approveTool, lockChanges, makeToolsLock, removeTool, toolsLockText } from './lock.ts'

const tool = (name: string, annotations?: unknown): ToolDefinition => ({
  name,
  inputSchema: { type: 'object' },
  ...(annotations === undefined ? {} : { annotations }),
})

test('a fingerprint is of the whole definition, and not of the order of its keys', () => {
  const definition = { name: 'a', inputSchema: { type: 'object' }, x: [1.5, { b: 1, a: null }] }
  const turned = { x: [1.5, { a: null, b: 1 }], inputSchema: { type: 'object' }, name: 'a' }
  expect(definitionSha256(turned)).toBe(definitionSha256(definition))
  expect(definitionSha256({ ...definition, description: '' })).not.toBe(
    definitionSha256(definition),
  )
  // sha256 of {"inputSchema":{"type":"object"},"name":"a"}, by another program
  expect(definitionSha256(tool('a'))).toBe(
    '60d4353e9a5499b483d09f13d9e28060e70f34edf787bb7040ba30bd390f85af',
  )
})

const lockOf = (...tools: [name: string, risk: Risk, more?: object][]): ToolsLock => ({
  version: 1,
  tools: tools.map(([name, risk, more]) => {
    const definition = tool(name, more)
    return { risk, sha256: definitionSha256(definition), definition }
  }),
})
const rows = ({ tools }: ToolsLock) => tools.map(({ definition, risk }) => [definition.name, risk])

test('a new tool gets what the rules say, of this server and this trust', () => {
  const lock = makeToolsLock([tool('b', { readOnlyHint: true }), tool('delete'), tool('get')])
  expect(rows(lock)).toEqual([['b', 'destructive'], ['delete', 'destructive'], ['get', 'read']])
  const own = { server: 'run', trust: 'internal' } as const
  const definitions = [tool('run_list'), tool('b', { readOnlyHint: true })]
  expect(rows(makeToolsLock(definitions, undefined, own))).toEqual([['b', 'read'], ['run_list', 'read']])
}) // biome-ignore format: tables

describe('a reviewed risk', () => {
  const RW = { readOnlyHint: false }
  test.each<{ name: string; was: Risk; before: object; now: object; risk: Risk }>([
    { name: 'stays with its definition, above the rules', was: 'destructive', before: {}, now: {}, risk: 'destructive' },
    { name: 'stays with its definition, below the rules', was: 'read', before: RW, now: RW, risk: 'read' },
    { name: 'set by hand stays on a changed one', was: 'destructive', before: {}, now: { title: 'x' }, risk: 'destructive' },
    { name: 'set by hand below the rules too', was: 'read', before: RW, now: { ...RW, title: 'x' }, risk: 'read' },
    { name: 'is raised when the rules now say worse', was: 'write', before: {}, now: { destructiveHint: true }, risk: 'destructive' },
    { name: 'that was the rules’ own follows them up', was: 'read', before: {}, now: RW, risk: 'write' },
    { name: 'that was the rules’ own follows them down', was: 'write', before: RW, now: {}, risk: 'read' },
  ])('$name', ({ was, before, now, risk }) => {
    const after = makeToolsLock([tool('get_a', now)], lockOf(['get_a', was, before]))
    expect(rows(after)).toEqual([['get_a', risk]])
  }) // biome-ignore format: a table
})

describe('variants', () => {
  const reviewed = lockOf(['a', 'read', { v: 1 }], ['a', 'write', { v: 2 }], ['gone', 'read'])
  const served = [tool('a', { v: 3 }), tool('new')]

  test('lock replaces what is not served', () => {
    const after = makeToolsLock(served, reviewed)
    expect(after.tools.map((it) => it.definition)).toEqual(served)
    const changes = lockChanges(reviewed, after).map(({ tool: name, kind }) => [name, kind])
    expect(changes).toEqual([['a', 'dropped'], ['a', 'dropped'], ['a', 'added'], ['gone', 'dropped'], ['new', 'added']])
  }) // biome-ignore format: a list

  test('lock --add-variants keeps it, the newest last, each once', () => {
    const again = [tool('a', { v: 1 }), ...served]
    const after = makeToolsLock(again, reviewed, { addVariants: true })
    const kept = after.tools.map(({ definition: { name, annotations } }) => [name, annotations])
    expect(kept).toEqual([['a', { v: 2 }], ['a', { v: 1 }], ['a', { v: 3 }], ['gone', undefined], ['new', undefined]])
    expect(makeToolsLock([...served, ...served], reviewed, { addVariants: true }).tools).toHaveLength(5)
  }) // biome-ignore format: a list

  test.each([
    { variant: false, want: [['a', 'write', 3], ['gone', 'read', undefined]] },
    { variant: true, want: [['a', 'read', 1], ['a', 'write', 2], ['a', 'write', 3], ['gone', 'read', undefined]] },
  ])('approve with variant $variant', ({ variant, want }) => {
    const after = approveTool(reviewed, tool('a', { v: 3 }), { variant })
    const found = after.tools.map(({ definition, risk }) => [definition.name, risk, (definition['annotations'] as { v?: number } | undefined)?.v])
    expect(found).toEqual(want)
  }) // biome-ignore format: a table

  test('approve with a risk, also of what is reviewed already', () => {
    const after = approveTool(reviewed, tool('gone'), { risk: 'write' })
    expect(lockChanges(reviewed, after)).toEqual([
      { tool: 'gone', sha256: definitionSha256(tool('gone')), kind: 're-rated' },
    ])
    expect(lockChanges(after, after)).toEqual([])
  })

  test('a removed tool takes its variants with it', () => {
    expect(rows(removeTool(reviewed, 'a'))).toEqual([['gone', 'read']])
  })
})

test('a lock of the first format loads, and locking again changes nothing', () => {
  const old = lockOf(['a', 'read'], ['b', 'destructive'])
  const definitions = old.tools.map(({ definition }) => definition)
  expect(makeToolsLock(definitions, toolsLock.parse(old))).toEqual(old)
})

test('the text is what the bundle reads', () => {
  const lock = makeToolsLock([tool('a'), tool('__proto__')])
  expect(toolsLock.parse(JSON.parse(toolsLockText(lock)))).toEqual(lock)
})
