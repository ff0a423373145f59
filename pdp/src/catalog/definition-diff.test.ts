// What a reviewer is shown, and what is said where it is cut.
import { expect, test } from 'vitest'
import {
  DIFF_CHANGES_MAX,
  DIFF_TEXT_LENGTH_MAX,
  diffDefinitions,
  WORD_DIFF_LENGTH_MAX,
} from './definition-diff.ts'

const shown = (text: string, cut = 0) => ({ text, cut })

test('prose word by word, hidden characters spelt out', () => {
  const { changes, total } = diffDefinitions(
    { description: 'Reads a file.' },
    { description: 'Reads one \u{202e}file.' },
  )
  expect(total).toBe(1)
  expect(changes[0]?.at).toBe('/description')
  expect(changes[0]?.words.map(({ kind, text }) => `${kind}:${text}`)).toEqual([
    'same:Reads ',
    'removed:a',
    'added:one',
    'same: ',
    'added:\\u{202e}',
    'same:file.',
  ])
})

test('the rest by JSON pointer', () => {
  const before = { inputSchema: { properties: { 'a/b~\u{200b}': { type: 'string' } } } }
  const after = { inputSchema: { properties: { 'a/b~\u{200b}': { type: 'number', minimum: 1 } } } }
  const at = '/inputSchema/properties/a~1b~0\\u{200b}'
  expect(diffDefinitions(before, after).changes).toEqual([
    { at: `${at}/type`, words: [], before: shown('"string"'), after: shown('"number"') },
    { at: `${at}/minimum`, words: [], before: null, after: shown('1') },
  ])
})

test.each<{ name: string; before: unknown; after: unknown; want: string[] }>([
  { name: 'the same', before: { a: [1, { b: 2 }] }, after: { a: [1, { b: 2 }] }, want: [] },
  { name: 'new', before: undefined, after: { a: 1, b: {} }, want: ['/a', '/b'] },
  { name: 'gone', before: { a: 1 }, after: undefined, want: ['/a'] },
  { name: 'a value for an object', before: { a: 1 }, after: { a: { b: 1 } }, want: ['/a', '/a/b'] },
  { name: 'prose that is no text', before: { title: 'a' }, after: { title: ['a'] }, want: ['/title'] },
  { name: '__proto__', before: {}, after: JSON.parse('{"__proto__":{"a":1}}'), want: ['', '/__proto__/a'] },
])('$name', ({ before, after, want }) => {
  expect(diffDefinitions(before, after).changes.map(({ at }) => at)).toEqual(want)
}) // biome-ignore format: a table

const prose = (word: string) => ({ description: `${word} `.repeat(WORD_DIFF_LENGTH_MAX) })
const apart = (letter: string) => ({
  description: Array.from({ length: 2_000 }, (_, index) => letter + index).join(' '),
})

test('what is cut is said', () => {
  const long = diffDefinitions({ x: 'a' }, { x: 'b'.repeat(DIFF_TEXT_LENGTH_MAX) })
  expect(long.changes[0]?.after).toEqual(shown(`"${'b'.repeat(DIFF_TEXT_LENGTH_MAX - 1)}`, 2))
  const many = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`k${index}`, index]))
  const { changes, total } = diffDefinitions(undefined, many)
  expect([changes.length, total]).toEqual([DIFF_CHANGES_MAX, 500])
  const whole = diffDefinitions(prose('a'), prose('b')).changes[0]
  expect(whole).toMatchObject({ words: [], before: { cut: expect.any(Number) } })
  expect(diffDefinitions(apart('a'), apart('b')).changes[0]?.words).toEqual([])
})

test.each([
  { name: 'a long text', of: (seed: string) => ({ description: `${seed} ab`.repeat(1_000_000) }) },
  { name: 'control characters', of: (seed: string) => ({ title: seed + '\u{1b}'.repeat(4_000_000) }) },
  { name: 'two long texts of other words', of: (seed: string) => ({ description: Array.from({ length: 2_500 }, (_, i) => seed + (i % 9)).join(' ') }) },
])('$name does not freeze it', ({ of }) => {
  const start = performance.now()
  diffDefinitions(of('a'), of('b'))
  expect(performance.now() - start).toBeLessThan(3_000)
}) // biome-ignore format: a table
