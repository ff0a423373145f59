// Owns what canonical-json promises: within its profile the bytes are those of an independent RFC 8785 implementation.
import canonicalize from 'canonicalize'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Canonical, canonicalJson, isCanonicalJson } from './canonical-json.ts'

const canonical: fc.Arbitrary<Canonical> = fc.letrec<{ value: Canonical }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()),
    fc.maxSafeInteger(),
    fc.constantFrom(null, true, false, 0, -0, Number.MAX_SAFE_INTEGER),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(fc.string({ unit: 'binary' }), tie('value'), { maxKeys: 6, noNullPrototype: true }),
  ),
})).value // biome-ignore format: one rule a line

describe('canonicalJson', () => {
  test('agrees with an independent implementation', () => {
    fc.assert(
      fc.property(canonical, (value) => {
        expect(canonicalJson(value)).toBe(canonicalize(value))
      }),
      { numRuns: 1_000 },
    )
  })

  test('says the same as JSON.stringify, and is recognised', () => {
    fc.assert(
      fc.property(canonical, (value) => {
        const text = canonicalJson(value)
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)))
        expect(isCanonicalJson(text)).toBe(true)
      }),
    )
  })

  test.each<{ name: string; value: Canonical; want: string }>([
    { name: 'minus zero', value: -0, want: '0' },
    { name: 'keys by UTF-16 unit, not by code point', value: { '\ufb33': 1, '😀': 2 }, want: '{"😀":2,"\ufb33":1}' },
    { name: 'keys that look like numbers', value: { 10: 1, 9: 2, a: 3 }, want: '{"10":1,"9":2,"a":3}' },
    { name: 'control characters', value: '\u0000\u001f\n\u007f\u2028', want: '"\\u0000\\u001f\\n\u007f\u2028"' },
    { name: 'no HTML escapes', value: '</script>&', want: '"</script>&"' },
  ])('$name', ({ value, want }) => {
    expect(canonicalJson(value)).toBe(want)
  }) // biome-ignore format: a table

  test.each<{ name: string; value: unknown }>([
    { name: 'a fraction', value: 0.5 },
    { name: 'an unsafe integer', value: 2 ** 53 },
    { name: 'NaN', value: Number.NaN },
    { name: 'infinity', value: Number.POSITIVE_INFINITY },
    { name: 'undefined', value: { a: undefined } },
    { name: 'a bigint', value: [1n] },
    { name: 'a function', value: { a: () => 1 } },
    { name: 'a lone surrogate', value: '\ud800' },
    { name: 'a lone surrogate in a key', value: { '\udc00': 1 } },
    { name: 'a hole in an array', value: Array.from<unknown>({ length: 1 }) },
  ])('$name throws', ({ value }) => {
    expect(() => canonicalJson(value as Canonical)).toThrow(TypeError)
  })
})

describe('isCanonicalJson', () => {
  test.each([
    ['white space', '{"a": 1}'],
    ['keys out of order', '{"b":1,"a":2}'],
    ['a duplicate key', '{"a":1,"a":1}'],
    ['a needless escape', '"\\u0061"'],
    ['an upper-case escape', '"\\u001F"'],
    ['minus zero', '-0'],
    ['an exponent', '1e3'],
    ['a fraction of zero', '1.0'],
    ['not JSON', '{'],
    ['a trailing line', '1\n'],
  ])('refuses %s', (_name, text) => {
    expect(isCanonicalJson(text)).toBe(false)
  })
})
