// What single callers were shown: for them alone, until the gateway's own look settles it.
import { expect, test } from 'vitest'
import { CALLER_VARIANTS_MAX } from './limits.ts'
import { createVariants } from './variants.ts'

const REVIEWED = new Set(['A', 'B'])
const isReviewed = (_tool: string, sha256: string): boolean => REVIEWED.has(sha256)

test('a variant counts for its caller and its tool alone', () => {
  const variants = createVariants()
  expect(variants.show('one', 'echo', 'X', 'A')).toBe(true)
  expect(variants.show('one', 'echo', 'X', 'A')).toBe(false)
  expect(variants.show('one', 'echo', 'Y', 'A')).toBe(true)
  const all = [variants.of('one', 'echo'), variants.of('one', 'other'), variants.of('two', 'echo')]
  expect(all).toEqual(['Y', undefined, undefined])
})

test('a list that agrees with the look ends it', () => {
  const variants = createVariants()
  variants.show('one', 'echo', 'X', 'A')
  expect(variants.show('one', 'echo', 'A', 'A')).toBe(false)
  expect(variants.of('one', 'echo')).toBeUndefined()
})

test.each([
  { shown: 'X', own: 'A', look: 'A', want: 'X', why: 'nothing new was seen' },
  { shown: 'X', own: 'A', look: 'X', want: undefined, why: 'the look saw the same' },
  { shown: 'X', own: 'A', look: 'B', want: 'X', why: 'not reviewed stays held for this caller' },
  { shown: 'B', own: 'A', look: 'A', want: 'B', why: 'nothing new was seen' },
  { shown: 'B', own: 'A', look: 'X', want: undefined, why: 'the server changed: it may for this caller too' },
  { shown: 'B', own: 'A', look: null, want: undefined, why: 'the tool is gone' },
  { shown: 'B', own: null, look: null, want: 'B', why: 'a tool for this caller alone' },
  { shown: 'X', own: null, look: null, want: 'X', why: 'a tool for this caller alone' },
])('shown $shown beside $own, then the look sees $look: $want ($why)', ({ shown, own, look, want }) => {
  const variants = createVariants()
  variants.show('one', 'echo', shown, own)
  variants.settle(new Map(look === null ? [] : [['echo', look]]), isReviewed)
  expect(variants.of('one', 'echo')).toBe(want)
}) // biome-ignore format: a table

test('the callers of longest ago are forgotten first, whole', () => {
  const variants = createVariants()
  const half = CALLER_VARIANTS_MAX / 2
  for (const grant of ['one', 'two']) {
    for (let at = 0; at < half; at++) variants.show(grant, `t${at}`, 'X', null)
  }
  variants.show('one', 't0', 'Y', null)
  variants.show('three', 't0', 'X', null)
  variants.show('three', 't1', 'X', null)
  expect(variants.of('two', 't1')).toBeUndefined()
  expect([variants.of('one', 't1'), variants.of('three', 't0')]).toEqual(['X', 'X'])
})
