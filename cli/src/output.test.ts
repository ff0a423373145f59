// What commands print: tables for people, JSON for programs, and nothing that could deceive a terminal.
import { stripVTControlCharacters } from 'node:util'
import { expect, test } from 'vitest'
import { type Format, printable, printRows } from './output.ts'

test.each([
  ['plain ünïcode 日本 👍', 'plain ünïcode 日本 👍'],
  ['a\nb\r\tc', 'a\\u{a}b\\u{d}\\u{9}c'],
  ['\u001b[31mred\u001b[0m', '\\u{1b}[31mred\\u{1b}[0m'],
  ['\u009b31m', '\\u{9b}31m'],
  ['\u202egpj.exe', '\\u{202e}gpj.exe'],
  ['\u2066x\u2069', '\\u{2066}x\\u{2069}'],
  ['\u200b\ufeff\u00ad', '\\u{200b}\\u{feff}\\u{ad}'],
  ['\u2028\u2029', '\\u{2028}\\u{2029}'],
  ['\0\u007f', '\\u{0}\\u{7f}'],
  ['\u{e0041}', '\\u{e0041}'],
])('printable(%j)', (text, shown) => {
  expect(printable(text)).toBe(shown)
})

type Row = { readonly id: string; readonly name: string }
const COLUMNS = [
  { title: 'ID', of: ({ id }: Row) => id },
  { title: 'NAME', of: ({ name }: Row) => name },
]

function print(format: Format, rows: readonly Row[]): { out: string[]; err: string[] } {
  const out: string[] = []
  const err: string[] = []
  const io = { out: (text: string) => out.push(text), err: (text: string) => err.push(text) }
  printRows(io, format, rows, COLUMNS, 'none yet')
  return { out: out.map((text) => stripVTControlCharacters(text)), err }
}

test('a table is aligned, and shows what would break a line', () => {
  const rows = [
    { id: '1', name: 'a\nb' },
    { id: '1234', name: '' },
  ]
  expect(print('text', rows)).toEqual({ out: ['ID    NAME', '1     a\\u{a}b', '1234'], err: [] })
})

test('nothing: a word for people on stderr, `[]` for programs', () => {
  expect(print('text', [])).toEqual({ out: [], err: ['none yet'] })
  expect(print('json', [])).toEqual({ out: ['[]'], err: [] })
})

test('JSON is the rows as they are', () => {
  const rows = [{ id: '1', name: '\u202e\n' }]
  const { out, err } = print('json', rows)
  expect(JSON.parse(out.join('\n'))).toEqual(rows)
  expect(err).toEqual([])
})
