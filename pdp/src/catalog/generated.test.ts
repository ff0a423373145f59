// Any JSON at all: rules, classes and differences never throw, say the same twice, and miss no change.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { changeOf } from './change.ts'
import { classify } from './classify.ts'
import { diffDefinitions } from './definition-diff.ts'
import { definitionSha256 } from './fingerprint.ts'

const KEYWORDS = ['name', 'title', 'description', 'inputSchema', 'outputSchema', 'annotations', 'readOnlyHint', 'destructiveHint', 'properties', 'required', 'type', 'enum', 'items', 'anyOf', '$defs', 'additionalProperties', 'minimum', 'default', '__proto__', 'constructor'] // biome-ignore format: a list

/** JSON with the keys that the rules read where they are not expected, and where they are. */
const { json } = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.oneof(
      fc.constantFrom(null, true, false, 0, -1.5, '', 'delete', 'list_all', 'object', '\u{202e}x'),
      fc.string({ unit: 'grapheme' }),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
    ),
    fc.array(tie('json'), { maxLength: 4 }),
    fc.dictionary(fc.oneof(fc.constantFrom(...KEYWORDS), fc.string({ unit: 'grapheme' })), tie('json'), { maxKeys: 5 }),
  ),
})) // biome-ignore format: long lines
const received = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
const RUNS = { numRuns: 500 }

test('never throw, and say the same twice', () => {
  fc.assert(
    fc.property(json, json, (a, b) => {
      const [before, after] = [received(a), received(b)]
      expect(classify(after)).toEqual(classify(structuredClone(after)))
      const change = changeOf([before], after)
      expect(changeOf([structuredClone(before)], after)).toEqual(change)
      expect(diffDefinitions(before, after)).toEqual(diffDefinitions(before, after))
    }),
    RUNS,
  )
})

test('a difference is one for all three: hash, classes, diff', () => {
  fc.assert(
    fc.property(json, json, fc.boolean(), (a, b, same) => {
      const before = received(a)
      const after = same ? received(a) : received(b)
      const differs = definitionSha256(before) !== definitionSha256(after)
      expect(changeOf([before], after).classes.length > 0).toBe(differs)
      expect(diffDefinitions(before, after).total > 0).toBe(differs)
    }),
    RUNS,
  )
})

test('nothing hidden comes out of a diff', () => {
  const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u
  fc.assert(
    fc.property(json, json, (a, b) => {
      const { changes } = diffDefinitions(received(a), received(b))
      const texts = changes.flatMap(({ at, words, before, after }) => [
        at,
        ...[...words, before, after].map((it) => it?.text ?? ''),
      ])
      expect(texts.filter((text) => hidden.test(text))).toEqual([])
    }),
    RUNS,
  )
})
