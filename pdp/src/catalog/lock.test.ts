// Fingerprints and locks.
import { expect, test } from 'vitest'
import type { ToolDefinition } from '../../../schemas/bundle.ts'
import { toolsLock } from '../../../schemas/bundle.ts'
import { definitionSha256 } from './fingerprint.ts'
import { makeToolsLock, toolsLockText } from './lock.ts'

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

test.each([
  { annotations: undefined, risk: 'destructive' },
  { annotations: {}, risk: 'destructive' },
  { annotations: { readOnlyHint: true, destructiveHint: true }, risk: 'read' },
  { annotations: { readOnlyHint: false, destructiveHint: false }, risk: 'write' },
  { annotations: { readOnlyHint: 'true' }, risk: 'destructive' },
  { annotations: null, risk: 'destructive' },
])('$annotations claims $risk', ({ annotations, risk }) => {
  expect(makeToolsLock([tool('a', annotations)]).tools[0]?.risk).toBe(risk)
})

test('what was reviewed keeps its risk; what changed or is new does not', () => {
  const before = makeToolsLock([tool('a'), tool('b')])
  const reviewed = {
    ...before,
    tools: before.tools.map((one) => ({ ...one, risk: 'read' as const })),
  }
  const after = makeToolsLock([tool('c'), tool('b', { changed: 1 }), tool('a')], reviewed)
  expect(after.tools.map(({ definition, risk }) => [definition.name, risk])).toEqual([
    ['a', 'read'],
    ['b', 'destructive'],
    ['c', 'destructive'],
  ])
})

test('the text is what the bundle reads', () => {
  const lock = makeToolsLock([tool('a'), tool('__proto__')])
  expect(toolsLock.parse(JSON.parse(toolsLockText(lock)))).toEqual(lock)
})
