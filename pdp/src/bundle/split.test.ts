// Cutting a file into policies: strings and comments that hold a `;`, and offsets that point where they should.
import { expect, test } from 'vitest'
import { placeOf } from './findings.ts'
import { splitPolicies, unitOffset } from './split.ts'

test.each<{ name: string; text: string; want: string[] }>([
  { name: 'nothing', text: ' \n// only a comment;\n', want: [] },
  { name: 'two', text: 'permit(a);\nforbid(b);', want: ['permit(a);', 'forbid(b);'] },
  {
    name: 'a comment before',
    text: '// why;\n@id("x")\npermit(a);',
    want: ['@id("x")\npermit(a);'],
  },
  {
    name: 'a comment inside',
    text: 'permit(a // not; yet\n);',
    want: ['permit(a // not; yet\n);'],
  },
  { name: 'a string with ;', text: '@id("a;b") permit(a);', want: ['@id("a;b") permit(a);'] },
  {
    name: 'a string with //',
    text: '@r("http://x;y") permit(a);',
    want: ['@r("http://x;y") permit(a);'],
  },
  {
    name: 'an escaped quote',
    text: '@r("a\\";b") permit(a); x;',
    want: ['@r("a\\";b") permit(a);', 'x;'],
  },
  { name: 'no end', text: 'permit(a)', want: ['permit(a)'] },
  { name: 'an open string', text: 'permit("a; b;', want: ['permit("a; b;'] },
  { name: 'stray ;', text: ';;', want: [';', ';'] },
])('$name', ({ text, want }) => {
  const pieces = splitPolicies(text)
  expect(pieces.map((piece) => piece.text)).toEqual(want)
  for (const piece of pieces) expect(text.startsWith(piece.text, piece.offset)).toBe(true)
})

test('a byte offset is a place in the file', () => {
  const text = '// ö\n@id("é/b")\n  permit(a);'
  const [piece] = splitPolicies(text)
  const bytes = Buffer.byteLength('@id("é/b")\n  ')
  const unit = (piece?.offset ?? 0) + unitOffset(piece?.text ?? '', bytes)
  expect(placeOf(text, unit)).toEqual({ line: 3, column: 3 })
})
