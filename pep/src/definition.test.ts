// Fingerprints: of every member, whatever its order; of what cannot be read too; remembered within bounds.
import { expect, test } from 'vitest'
import { createFingerprints, pairOf, readDefinition } from './definition.ts'
import { FINGERPRINTS_LENGTH_MAX } from './limits.ts'

const A = { name: 'a', inputSchema: { type: 'object', properties: { x: { description: 'y' } } } }

test.each([
  { name: 'a description', definition: { ...A, description: '' } },
  { name: 'a word deep in the schema', definition: { ...A, inputSchema: { type: 'object', properties: { x: { description: 'z' } } } } },
  { name: 'annotations', definition: { ...A, annotations: { readOnlyHint: true } } },
  { name: 'a member nobody knows', definition: { ...A, 'x-more': null } },
])('$name makes another fingerprint', ({ definition }) => {
  expect(readDefinition(definition).sha256).not.toBe(readDefinition(A).sha256)
}) // biome-ignore format: a table

test('order and spelling do not', () => {
  const other = JSON.parse(
    '{"inputSchema":{"properties":{"x":{"description":"\\u0079"}},"type":"object"},"name":"a"}',
  ) as unknown
  expect(readDefinition(other)).toEqual(readDefinition(A))
})

const deep = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels))

test.each([
  { name: 'a lone surrogate', definition: { name: '\ud800' } },
  { name: 'an endless number', definition: JSON.parse('{"name":"a","x":1e999}') as unknown },
])('$name has a fingerprint nobody reviews', ({ definition }) => {
  expect(createFingerprints()(definition)).toBe(readDefinition({ x: Number.NaN }).sha256)
})

test('however deep, it is read', () => {
  const definition = { name: 'a', x: deep(100_000) }
  expect(createFingerprints()(definition)).toMatch(/^[0-9a-f]{64}$/)
})

test('the pair of two is one of its own, and its content says which', () => {
  const pair = pairOf('a'.repeat(64), 'b'.repeat(64))
  expect(JSON.parse(pair.content)).toEqual(['a'.repeat(64), 'b'.repeat(64)])
  expect(pair).toEqual(readDefinition(['a'.repeat(64), 'b'.repeat(64)]))
})

const big = (at: number) => ({
  name: `t${at}`,
  description: 'x'.repeat(FINGERPRINTS_LENGTH_MAX / 4),
})

test('what is remembered is right, also beyond what fits', () => {
  const fingerprintOf = createFingerprints()
  for (let at = 0; at < 9; at++) {
    expect(fingerprintOf(big(at))).toBe(readDefinition(big(at)).sha256)
    expect(fingerprintOf(A)).toBe(readDefinition(A).sha256)
  }
  const huge = { description: 'x'.repeat(FINGERPRINTS_LENGTH_MAX + 1) }
  expect(fingerprintOf(huge)).toBe(readDefinition(huge).sha256)
})
