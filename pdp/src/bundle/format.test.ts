// Formatting changes layout and nothing else; what it would change otherwise is left alone and named.
import { describe, expect, test } from 'vitest'
import { formatPolicyFiles } from './format.ts'
import { commentsIn } from './split.ts'

const one = async (text: string) => (await formatPolicyFiles([{ file: 'cedar/a.cedar', text }]))[0]
const SCOPE = '(principal, action, resource)'
const LAID_OUT = '@id("a/b")\npermit (principal, action, resource);\n'

test.each<{ name: string; text: string; becomes: string }>([
  { name: 'spaces', text: `@id("a/b")   permit${SCOPE};`, becomes: LAID_OUT },
  { name: 'carriage returns', text: `@id("a/b")\r\npermit${SCOPE};\r\n`, becomes: LAID_OUT },
  { name: 'a comment', text: `//  why \n@id("a/b") permit${SCOPE}; // so`, becomes: `//  why\n${LAID_OUT.trimEnd()} // so\n` },
  { name: 'no comment in a text', text: `@id("a/b") @reason("// no") permit${SCOPE};`, becomes: '@id("a/b")\n@reason("// no")\npermit (principal, action, resource);\n' },
])('$name', async ({ text, becomes }) => {
  expect(await one(text)).toEqual({ file: 'cedar/a.cedar', outcome: 'changed', text: becomes })
  expect(await one(becomes)).toEqual({ file: 'cedar/a.cedar', outcome: 'same' })
}) // biome-ignore format: a table

test.each(['', '\n\n', '// nothing yet\n'])('a file without policies stays as it is: %j', async (text) => {
  expect(await one(text)).toMatchObject({ outcome: 'same' })
}) // biome-ignore format: a line

test('what is no policy is named where it is', async () => {
  const text = `permit${SCOPE};\n\n  permit(principal, action);\n`
  expect(await one(text)).toMatchObject({ outcome: 'refused', finding: { line: 3, column: 27 } })
})

test('150 nested parentheses cost only their own file', async () => {
  const deep = `permit${SCOPE} when { ${'('.repeat(150)}true${')'.repeat(150)} };`
  const files = ['a', deep, `@id("a/b") permit${SCOPE};`].map((text, index) => ({
    file: `cedar/${index}.cedar`,
    text,
  }))
  const outcomes = (await formatPolicyFiles(files)).map(({ outcome }) => outcome)
  expect(outcomes).toEqual(['refused', 'refused', 'changed'])
})

describe('comments', () => {
  test.each([
    { text: 'a // b\n"// c" // d  \n//e', comments: ['// b', '// d', '//e'] },
    { text: '"\\"// a" // b', comments: ['// b'] },
    { text: 'a / b', comments: [] },
  ])('$text', ({ text, comments }) => {
    expect(commentsIn(text)).toEqual(comments)
  })
})
