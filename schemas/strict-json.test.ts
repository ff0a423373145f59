// Owns what strict-json promises: the same verdict as an outside reader (jsonc-parser) that names what it finds, the same
// value as JSON.parse, and a time that grows with the length of the text only.
import * as fc from 'fast-check'
import { type Node, parseTree } from 'jsonc-parser'
import { describe, expect, test } from 'vitest'
import { BODY_BYTES_MAX, JSON_DEPTH_MAX, JSON_TOKENS_MAX } from './limits.ts'
import { parseStrictJson, type StrictJsonFault } from './strict-json.ts'

const nested = (depth: number, inner = ''): string =>
  `${'['.repeat(depth)}${inner}${']'.repeat(depth)}`

describe('what is refused', () => {
  test.each<{ name: string; text: string; want: StrictJsonFault }>([
    { name: 'nothing', text: '', want: 'malformed_json' },
    { name: 'a trailing comma', text: '{"a":1,}', want: 'malformed_json' },
    { name: 'a comment', text: '{} // x', want: 'malformed_json' },
    { name: 'two values', text: '{}{}', want: 'malformed_json' },
    { name: 'NaN', text: '[NaN]', want: 'malformed_json' },
    { name: 'a byte order mark', text: '\ufeff{}', want: 'malformed_json' },
    { name: 'a leading zero', text: '[01]', want: 'malformed_json' },
    { name: 'a duplicate key', text: '{"a":1,"a":1}', want: 'duplicate_key' },
    { name: 'a duplicate key in depth', text: '{"x":[0,{"y":{"a":1,"b":2,"a":3}}]}', want: 'duplicate_key' },
    { name: 'a duplicate key after a nested object', text: '{"a":{"b":1},"a":2}', want: 'duplicate_key' },
    { name: 'a key twice, once escaped', text: '{"a":1,"\\u0061":2}', want: 'duplicate_key' },
    { name: 'a key twice, both escaped', text: '{"\\u0041":1,"\\u0041":2}', want: 'duplicate_key' },
    { name: 'a key twice, once as a surrogate pair', text: '{"😀":1,"\\ud83d\\ude00":2}', want: 'duplicate_key' },
    { name: 'the empty key twice', text: '{"":1,"":2}', want: 'duplicate_key' },
    { name: '__proto__ twice', text: '{"__proto__":1,"__proto__":2}', want: 'duplicate_key' },
    { name: 'white space before the colon', text: '{"a"\n\t :1,"a"\r :2}', want: 'duplicate_key' },
    { name: 'a lone high surrogate, escaped', text: '["\\ud800"]', want: 'malformed_text' },
    { name: 'a lone low surrogate, escaped', text: '["\\udc00x"]', want: 'malformed_text' },
    { name: 'surrogates in the wrong order', text: '["\\ude00\\ud83d"]', want: 'malformed_text' },
    { name: 'a lone surrogate in a key', text: '{"\\ud800":1}', want: 'malformed_text' },
    { name: 'a lone surrogate, raw', text: '["\ud800"]', want: 'malformed_text' },
    { name: 'half a pair raw, half escaped', text: '["\ud83d\\ude00"]', want: 'malformed_text' },
    { name: 'one value too many', text: `[${Array(JSON_TOKENS_MAX).fill(1).join(',')}]`, want: 'too_many_values' },
    { name: 'one key too many', text: `{${Array.from({ length: JSON_TOKENS_MAX / 2 }, (_, i) => `"${i}":1`).join(',')}}`, want: 'too_many_values' },
    { name: 'one level too many', text: nested(JSON_DEPTH_MAX + 1), want: 'too_deep' },
    { name: 'one level too many, of objects', text: `${'{"a":'.repeat(JSON_DEPTH_MAX + 1)}1${'}'.repeat(JSON_DEPTH_MAX + 1)}`, want: 'too_deep' },
    { name: '__entity', text: '{"__entity":{"type":"User","id":"x"}}', want: 'reserved_key' },
    { name: '__extn, nested', text: '{"a":[{"b":{"__extn":{"fn":"ip","arg":"1"}}}]}', want: 'reserved_key' },
    { name: '__expr, escaped', text: '{"\\u005f_expr":"1"}', want: 'reserved_key' },
    { name: 'the first fault is named', text: '{"a":1,"a":1e400}', want: 'duplicate_key' },
  ])('$name', ({ text, want }) => {
    expect(parseStrictJson(text)).toMatchObject({ ok: false, fault: want })
  }) // biome-ignore format: a table
})

describe('numbers: those that a round trip changes are refused', () => {
  test.each<{ literal: string; ok: boolean }>([
    { literal: '0', ok: true },
    { literal: '-0', ok: true },
    { literal: '-0.0e5', ok: true },
    { literal: '1.0', ok: true },
    { literal: '1e3', ok: true },
    { literal: '1E+3', ok: true },
    { literal: '100e-2', ok: true },
    { literal: '0.1', ok: true },
    { literal: '-12.50', ok: true },
    { literal: '9007199254740991', ok: true },
    { literal: '-9007199254740991', ok: true },
    { literal: '9007199254740992', ok: true },
    { literal: '9007199254740993', ok: false },
    { literal: '-9007199254740993', ok: false },
    { literal: '9007199254740993.0', ok: false },
    { literal: '900719925474099.3e1', ok: false },
    { literal: '12345678901234567890', ok: false },
    { literal: '12345678901234567000', ok: true },
    { literal: '12345678901234567168', ok: false },
    { literal: '1e21', ok: true },
    { literal: '5e-324', ok: true },
    { literal: '1.7976931348623157e308', ok: true },
    { literal: '1.7976931348623159e308', ok: false },
    { literal: '1e400', ok: false },
    { literal: '-1e400', ok: false },
    { literal: '1e-400', ok: false },
    { literal: '0e999999', ok: true },
    { literal: '0.1000000000000000055511151231257827', ok: false },
    { literal: '0.30000000000000004', ok: true },
  ])('$literal: $ok', ({ literal, ok }) => {
    const want = ok ? { ok: true } : { ok: false, fault: 'number_not_exact' }
    expect(parseStrictJson(literal)).toMatchObject(want)
    expect(parseStrictJson(`{"a":[1,${literal} ]}`)).toMatchObject(want)
  })

  test('an accepted double is the same double after being written and read again', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const text = JSON.stringify(value)
        expect(parseStrictJson(text)).toEqual({ ok: true, value: JSON.parse(text) })
      }),
    )
  })

  test('an integer is accepted exactly if a double holds it and writes it back digit for digit', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(10n ** 25n), max: 10n ** 25n }), (value) => {
        const literal = String(value)
        const survives = JSON.stringify(JSON.parse(literal)) === literal
        // From 1e21 on JavaScript writes an exponent: the value counts, not the spelling.
        fc.pre(Math.abs(Number(literal)) < 1e21)
        expect(parseStrictJson(literal).ok).toBe(survives)
      }),
    )
  })
})

describe('what is accepted', () => {
  test.each([
    ['as many values as may be', `[${Array(JSON_TOKENS_MAX - 1).fill(1).join(',')}]`],
    ['depth at the limit', nested(JSON_DEPTH_MAX)],
    ['depth at the limit again and again', `[${Array(3).fill(nested(JSON_DEPTH_MAX - 1)).join(',')}]`],
    ['the same key in sibling objects', '[{"a":1},{"a":2}]'],
    ['the same key in parent and child', '{"a":{"a":{"a":1}}}'],
    ['a value that looks like a key', '{"a":"b","b":"a"}'],
    ['reserved words as values', '["__entity",{"a":"__extn"}]'],
    ['keys that differ in case or form', '{"a":1,"A":2,"é":3,"e\\u0301":4}'],
    ['a surrogate pair, escaped', '["\\ud83d\\ude00"]'],
    ['strings full of structure', '{"{\\"a\\":1,":["]}\\\\",":"]}'],
    ['a scalar', '"x"'],
    ['null', ' null '],
  ])('%s', (_name, text) => {
    expect(parseStrictJson(text)).toEqual({ ok: true, value: JSON.parse(text) })
  }) // biome-ignore format: a table

  test('__proto__ is an ordinary key', () => {
    const answer = parseStrictJson('{"__proto__":{"x":1}}')
    expect(answer.ok && JSON.stringify(answer.value)).toBe('{"__proto__":{"x":1}}')
  })

  test('whatever JSON.stringify writes, unless it is deep or reserved', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => {
        const text = JSON.stringify(value)
        fc.pre(text.isWellFormed() && !/__(entity|extn|expr)/.test(text))
        expect(parseStrictJson(text)).toEqual({ ok: true, value: JSON.parse(text) })
      }),
    )
  })
})

/** JSON text with free white space, escapes and repeated keys: what a hostile client writes by hand. */
const hostileText = fc.letrec<{ value: string }>((tie) => {
  const space = fc.constantFrom('', '', ' ', '\n\t')
  const letter = fc.constantFrom('a', '\\u0061', 'b', '_', '\\n', '"'.replace('"', '\\"'), '😀')
  const string = fc.oneof(
    fc.array(letter, { maxLength: 3 }).map((letters) => `"${letters.join('')}"`),
    fc.constantFrom('"__entity"', '"__e\\u0078tn"', '"__proto__"', '"\\ud800"'),
  )
  const number = fc.constantFrom('0', '-0', '1.50', '1e3', '9007199254740993', '1e400', '1e-7')
  const member = fc.tuple(string, space, tie('value')).map(([key, gap, value]) => `${key}${gap}:${gap}${value}`)
  const list = (items: fc.Arbitrary<string>, open: string, close: string): fc.Arbitrary<string> =>
    fc.tuple(fc.array(items, { maxLength: 4 }), space).map(([all, gap]) => `${open}${gap}${all.join(`${gap},`)}${gap}${close}`)
  return {
    value: fc.oneof(
      { maxDepth: 5, depthSize: 'small' },
      fc.oneof(string, number, fc.constantFrom('true', 'false', 'null')),
      list(tie('value'), '[', ']'),
      list(member, '{', '}'),
    ),
  }
}).value // biome-ignore format: one rule a line

/** What an outside reader finds wrong, in whatever order it finds it. */
function faultsByOracle(text: string): Set<StrictJsonFault> {
  const found = new Set<StrictJsonFault>()
  const visit = (node: Node): void => {
    const literal = text.slice(node.offset, node.offset + node.length)
    if (node.type === 'string' && !String(node.value).isWellFormed()) found.add('malformed_text')
    if (['9007199254740993', '1e400'].includes(literal)) found.add('number_not_exact')
    if (node.type === 'object') {
      const keys = (node.children ?? []).map((property) => String(property.children?.[0]?.value))
      if (new Set(keys).size !== keys.length) found.add('duplicate_key')
      if (keys.some((key) => /^__(entity|extn|expr)$/.test(key))) found.add('reserved_key')
    }
    for (const child of node.children ?? []) visit(child)
  }
  const tree = parseTree(text, [], { disallowComments: true, allowTrailingComma: false })
  if (tree !== undefined) visit(tree)
  return found
}

test('an outside reader finds the same faults', () => {
  const seen = new Map<string, number>()
  fc.assert(
    fc.property(hostileText, (text) => {
      const answer = parseStrictJson(text)
      const faults = faultsByOracle(text)
      const key = answer.ok ? 'ok' : answer.fault
      expect(faults.size === 0 ? ['ok'] : [...faults]).toContain(key)
      seen.set(key, (seen.get(key) ?? 0) + 1)
    }),
    { numRuns: 3_000, seed: 11 },
  )
  const reached = ['duplicate_key', 'malformed_text', 'number_not_exact', 'ok', 'reserved_key']
  expect([...seen.keys()].toSorted()).toEqual(reached)
})

describe('time grows with the length of the text only', () => {
  const big = BODY_BYTES_MAX - 16
  // Where quadratic time would be hours, the text is shorter: a regression must fail, not hang.
  const short = 100_000
  test.each([
    ['one number of nines', `[${'9'.repeat(big)}]`],
    ['a fraction with a run of zeros inside', `[0.1${'0'.repeat(short)}1]`],
    ['an exponent of zeros', `[1e${'0'.repeat(big)}1]`],
    ['one string', `["${'a'.repeat(big)}"]`],
    ['one string of escapes', `["${'\\\\'.repeat(big / 2)}"]`],
    ['white space before a colon', `{"a"${' '.repeat(big)}:1}`],
    ['nothing but depth', nested(big / 2)],
    ['many keys', `{${Array.from({ length: 250_000 }, (_, index) => `"k${index}":0`).join(',')}}`],
  ])('%s', (_name, text) => {
    const began = performance.now()
    parseStrictJson(text)
    expect(performance.now() - began).toBeLessThan(3_000)
  }) // biome-ignore format: a table
})
