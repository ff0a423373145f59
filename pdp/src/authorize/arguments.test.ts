// Mapping arguments: one row a verdict, the limits at their edge, and totality on any JSON.
import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MAPPED_ARGS_BYTES_MAX, SET_ELEMENTS_MAX } from '../../../schemas/limits.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { argumentsMeta, mapArguments, NO_POINTERS, recordText } from './arguments.ts'
import type { Derived } from './derived.ts'
import type { VariantArguments } from './tool-arguments.ts'
import { toolArguments } from './tool-arguments.ts'

const schema = {
  properties: {
    s: { type: 'string' },
    i: { type: 'integer' },
    n: { type: 'number' },
    b: { type: 'boolean' },
    e: { enum: ['x', 'y'] },
    maybe: { type: ['string', 'null'] },
    tags: { type: 'array', items: { type: 'string' } },
    o: {
      type: 'object',
      properties: { x: { type: 'string' }, 'y/~': { type: 'integer' } },
      required: ['x'],
    },
    rows: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          a: { type: 'string' },
          deep: { type: 'object', properties: { b: { type: 'integer' } } },
          many: { type: 'array', items: { type: 'boolean' } },
          more: { type: 'array', items: { type: 'object', properties: { c: { type: 'string' } } } },
          any: {},
          map: { type: 'object', additionalProperties: { type: 'string' } },
        },
        required: ['a'],
      },
    },
    any: {},
    when: { type: 'string', format: 'date-time' },
    v4: { type: 'string', format: 'ipv4' },
    v6s: { type: 'array', items: { type: 'string', format: 'ipv6' } },
    map: { type: 'object', additionalProperties: { type: 'integer' } },
    open: { type: 'object' },
    url: { type: 'string' },
    urls: { type: 'array', items: { type: 'string' } },
    to: { type: 'array', items: { type: 'string' } },
    path: { type: 'string' },
    paths: { type: 'array', items: { type: 'string' } },
    'user-agent': { type: 'string' },
    constructor: { type: 'integer' },
  },
} as const

const DERIVED: readonly Derived[] = [
  { kind: 'path', argument: 'path', name: 'path_normalised', root: '/srv' },
  { kind: 'path', argument: 'paths', name: 'paths_normalised', root: '/srv' },
  { kind: 'url_host', argument: 'url', name: 'url_host' },
  { kind: 'url_host', argument: 'urls', name: 'urls_host' },
  { kind: 'email_domain', argument: 'to', name: 'to_domain' },
  { kind: 'count', argument: 'to', name: 'to_count' },
  { kind: 'count', argument: 'rows', name: 'rows_count' },
]

function variant(inputSchema: unknown, allowUnknown = false): VariantArguments {
  const { variants } = toolArguments([{ sha256: 's', inputSchema }], DERIVED, allowUnknown)
  return variants.get('s') as VariantArguments
}
const TYPES = variant(schema)
const LOOSE = variant(schema, true)

function mapped(given: JsonObject, types = TYPES): unknown {
  const answer = mapArguments(types, given)
  if (!answer.ok) return answer
  return { args: JSON.parse(recordText(answer.attributes)), ...answer.pointers }
}

const NO_ROWS = {
  rows_a: [],
  rows_deep_b: [],
  rows_many: [],
  rows_more_c: [],
  rows_map_keys: [],
  rows_map_values: [],
}

test.each<{ given: JsonObject; args: object; nulls?: string[]; opaque?: string[] }>([
  { given: {}, args: {} },
  { given: { s: 'a"\n', i: -7, b: false, e: 'z' }, args: { s: 'a"\n', i: -7, b: false, e: 'z' } },
  { given: { n: 1 }, args: { n: '1.0' } },
  { given: { n: -0.25 }, args: { n: '-0.25' } },
  { given: { n: 0.1234 }, args: { n: '0.1234' } },
  { given: { n: 900_719_925_474_099 }, args: { n: '900719925474099.0' } },
  { given: { i: 9_007_199_254_740_991 }, args: { i: 9_007_199_254_740_991 } },
  { given: { s: null, maybe: null, any: null }, args: {}, nulls: ['/s', '/maybe', '/any'] },
  { given: { tags: ['b', 'a', 'b'] }, args: { tags: ['b', 'a', 'b'] } },
  { given: { tags: [] }, args: { tags: [] } },
  { given: { o: { x: 'q', 'y/~': null } }, args: { o: { x: 'q' } }, nulls: ['/o/y~1~0'] },
  {
    given: {
      rows: [
        { a: 'p', deep: { b: 1 }, many: [true], more: [{ c: 'm' }, {}] },
        { a: 'q', deep: null },
      ],
    },
    args: {
      rows_a: ['p', 'q'],
      rows_deep_b: [1],
      rows_many: [true],
      rows_more_c: ['m'],
      rows_map_keys: [],
      rows_map_values: [],
      rows_count: 2,
    },
    nulls: ['/rows/1/deep'],
  },
  { given: { rows: [] }, args: { ...NO_ROWS, rows_count: 0 } },
  {
    given: {
      rows: [
        { a: 'p', any: [1], map: { k: 'v', l: 'v' } },
        { a: 'q', any: null },
      ],
    },
    args: {
      ...NO_ROWS,
      rows_a: ['p', 'q'],
      rows_map_keys: ['k', 'l'],
      rows_map_values: ['v', 'v'],
      rows_count: 2,
    },
    opaque: ['/rows/0/any'],
    nulls: ['/rows/1/any'],
  },
  { given: { any: { a: [1] } }, args: {}, opaque: ['/any'] },
  { given: { map: { x: 1, y: 1 } }, args: { map_keys: ['x', 'y'], map_values: [1, 1] } },
  { given: { map: {} }, args: { map_keys: [], map_values: [] } },
  { given: { open: { x: 1, y: [] } }, args: { open_keys: ['x', 'y'] }, opaque: ['/open'] },
  { given: { open: {} }, args: { open_keys: [] } },
  { given: { when: '2026-11-23T01:00:00+02:00' }, args: { when: '2026-11-22T23:00:00.000Z' } },
  { given: { v4: '10.0.0.1' }, args: { v4: '10.0.0.1' } },
  { given: { v6s: ['2001:DB8::0:1'] }, args: { v6s: ['2001:db8::1'] } },
  {
    given: { url: 'https://EXAMPLE.com/a' },
    args: { url: 'https://EXAMPLE.com/a', url_host: 'example.com' },
  },
  {
    given: { urls: ['http://a.b/1', 'ws://a.b/2'] },
    args: { urls: ['http://a.b/1', 'ws://a.b/2'], urls_host: ['a.b'] },
  },
  {
    given: { to: ['x@Bücher.de', 'x@a.b', 'x@Bücher.de'] },
    args: {
      to: ['x@Bücher.de', 'x@a.b', 'x@Bücher.de'],
      to_domain: ['xn--bcher-kva.de', 'a.b'],
      to_count: 3,
    },
  },
  { given: { path: 'a/../b' }, args: { path: 'a/../b', path_normalised: 'b' } },
  {
    given: { paths: ['d/a', 'd/../d/b'] },
    args: {
      paths: ['d/a', 'd/../d/b'],
      paths_normalised: ['d/a', 'd/b'],
      paths_normalised_within: ['.', 'd'],
    },
  },
  { given: { path: null }, args: {}, nulls: ['/path'] },
  { given: { 'user-agent': 'x', constructor: 3 }, args: { 'user-agent': 'x', constructor: 3 } },
])('$given is mapped', ({ given, args, nulls = [], opaque = [] }) => {
  expect(mapped(given)).toEqual({ args, nulls, opaque, unknown: [] })
})

test('where a tool allows it, what is not declared is left out, and named', () => {
  const given = { s: 'x', z: { a: [1] }, o: { x: 'a', 'q/': 1 }, rows: [{ a: 'b', z: null }] }
  expect(mapped(given, LOOSE)).toMatchObject({
    args: { s: 'x', o: { x: 'a' }, rows_a: ['b'], rows_count: 1 },
    unknown: ['/o/q~1', '/rows/0/z', '/z'],
  })
})

test.each<{ given: JsonObject; code: string; detail: RegExp }>([
  { given: { s: 1 }, code: 'invalid_request', detail: /`\/s` must be a string/ },
  { given: { i: '1' }, code: 'invalid_request', detail: /`\/i` must be an integer/ },
  { given: { i: 1.5 }, code: 'invalid_request', detail: /`\/i` must be an integer/ },
  { given: { n: '1' }, code: 'invalid_request', detail: /`\/n` must be a number/ },
  { given: { b: 0 }, code: 'invalid_request', detail: /`\/b` must be a boolean/ },
  { given: { tags: 'a' }, code: 'invalid_request', detail: /`\/tags` must be an array/ },
  { given: { tags: ['a', 1] }, code: 'invalid_request', detail: /`\/tags\/1` must be a string/ },
  { given: { tags: [null] }, code: 'invalid_request', detail: /`\/tags\/0` must be a string/ },
  { given: { o: {} }, code: 'invalid_request', detail: /`\/o\/x` is required/ },
  { given: { o: { x: null } }, code: 'invalid_request', detail: /`\/o\/x` is required/ },
  { given: { o: [] }, code: 'invalid_request', detail: /`\/o` must be an object/ },
  { given: { rows: [1] }, code: 'invalid_request', detail: /`\/rows\/0` must be an object/ },
  {
    given: { rows: [{ a: 'x' }, {}] },
    code: 'invalid_request',
    detail: /`\/rows\/1\/a` is required/,
  },
  { given: { path: 7 }, code: 'invalid_request', detail: /`\/path` must be a string/ },
  {
    given: { i: 2 ** 53 },
    code: 'unrepresentable_argument',
    detail: /`\/i` is not a safe integer/,
  },
  { given: { n: 0.123_45 }, code: 'unrepresentable_argument', detail: /`\/n` is not exact/ },
  { given: { n: 1e21 }, code: 'unrepresentable_argument', detail: /`\/n` is not exact/ },
  { given: { n: 922_337_203_685_478 }, code: 'unrepresentable_argument', detail: /`\/n`/ },
  { given: { n: Number.MIN_VALUE }, code: 'unrepresentable_argument', detail: /`\/n`/ },
  { given: { map: { a: '1' } }, code: 'invalid_request', detail: /`\/map\/a` must be an integer/ },
  { given: { map: { a: null } }, code: 'invalid_request', detail: /`\/map\/a` must be an integer/ },
  { given: { map: [] }, code: 'invalid_request', detail: /`\/map` must be an object/ },
  { given: { map: { '\ud800': 1 } }, code: 'unrepresentable_argument', detail: /lone surrogate/ },
  { given: { when: 7 }, code: 'invalid_request', detail: /`\/when` must be a string/ },
  {
    given: { when: '2026-11-23' },
    code: 'unrepresentable_argument',
    detail: /`\/when` is not a date/,
  },
  { given: { v4: '::1' }, code: 'unrepresentable_argument', detail: /`\/v4` is not an IPv4/ },
  {
    given: { v6s: ['::1', '1'] },
    code: 'unrepresentable_argument',
    detail: /`\/v6s\/1` is not an IPv6/,
  },
  {
    given: { url: 'file:///x' },
    code: 'unrepresentable_argument',
    detail: /`\/url` is not an http/,
  },
  {
    given: { to: ['a@b.c', 'x'] },
    code: 'unrepresentable_argument',
    detail: /`\/to\/1` is not one/,
  },
  {
    given: { s: '\ud800' },
    code: 'unrepresentable_argument',
    detail: /`\/s` holds a lone surrogate/,
  },
  { given: { path: 'a\0b' }, code: 'unrepresentable_argument', detail: /`\/path` holds a control/ },
  { given: { paths: ['a', '~'] }, code: 'unrepresentable_argument', detail: /`\/paths\/1` begins/ },
  { given: { path_normalised: 'x' }, code: 'unknown_argument', detail: /`\/path_normalised`/ },
  { given: { rows_a: ['x'] }, code: 'unknown_argument', detail: /`\/rows_a`/ },
  { given: { o: { x: 'a', z: 1 } }, code: 'unknown_argument', detail: /`\/o\/z`/ },
  { given: { rows: [{ a: '', z: 1 }] }, code: 'unknown_argument', detail: /`\/rows\/0\/z`/ },
  { given: { toString: 1 }, code: 'unknown_argument', detail: /`\/toString`/ },
  { given: { 'a\nb': 1 }, code: 'unknown_argument', detail: /`\/a\\nb`/ },
  { given: { ['x'.repeat(500)]: 1 }, code: 'unknown_argument', detail: /^.{0,160}$/ },
])('$given is refused with $code', ({ given, code, detail }) => {
  expect(mapped(given)).toEqual({ ok: false, code, detail: expect.stringMatching(detail) })
})

test('what JSON.parse calls `__proto__` is an argument like any other', () => {
  const given = JSON.parse('{"__proto__":"x"}') as JsonObject
  expect(mapped(given)).toMatchObject({ ok: false, code: 'unknown_argument' })
  const types = variant(JSON.parse('{"properties":{"__proto__":{"type":"string"}}}'))
  const answer = mapArguments(types, given)
  expect(answer.ok && recordText(answer.attributes)).toBe('{"__proto__":"x"}')
})

describe('limits', () => {
  const full = Array.from({ length: SET_ELEMENTS_MAX }, () => 'x')
  test('a set as large as allowed passes, one more does not', () => {
    expect(mapArguments(TYPES, { tags: full }).ok).toBe(true)
    expect(mapped({ tags: [...full, 'x'] })).toMatchObject({ code: 'unrepresentable_argument' })
  })
  test('lifted leaves count together', () => {
    const rows = [{ a: '', many: full.map(() => true) }]
    expect(mapArguments(TYPES, { rows }).ok).toBe(true)
    expect(mapped({ rows: [...rows, { a: '', many: [true] }] })).toMatchObject({ ok: false })
  })
  test.each<{ reason: string; types: VariantArguments; one: JsonObject; other: JsonObject }>([
    { reason: 'opaque', types: TYPES, one: { any: 1 }, other: { any: 1 } },
    { reason: 'null', types: TYPES, one: { deep: null }, other: { any: null } },
    { reason: 'not declared', types: LOOSE, one: { z: 1 }, other: { z: 1 } },
  ])('so many arguments may be $reason, and no more', ({ types, one, other }) => {
    const rows = full.slice(1).map(() => ({ a: '', ...one }))
    expect(mapArguments(types, { rows, ...other }).ok).toBe(true)
    expect(mapped({ rows: [...rows, { a: '', ...one }], ...other }, types)).toMatchObject({
      code: 'unrepresentable_argument',
      detail: expect.stringMatching(/^more than 256 arguments/),
    })
  })
  test('what was left out counts in bytes too', () => {
    const long = 'x'.repeat(MAPPED_ARGS_BYTES_MAX - 5)
    expect(mapArguments(LOOSE, { [long]: 1 }).ok).toBe(true)
    expect(mapped({ [`${long}x`]: 1 }, LOOSE)).toMatchObject({ code: 'unrepresentable_argument' })
  })
  test('bytes are counted as UTF-8 JSON of everything mapped', () => {
    const overhead = '{"s":""}'.length
    const fits = 'x'.repeat(MAPPED_ARGS_BYTES_MAX - overhead)
    expect(mapArguments(TYPES, { s: fits }).ok).toBe(true)
    expect(mapped({ s: `${fits.slice(1)}ö` })).toMatchObject({ code: 'unrepresentable_argument' })
  })
})

test('argsMeta is of the exact text, and says of every reason what it left out', () => {
  const sha256 = createHash('sha256').update('{"a":"ö"}').digest('hex')
  expect([...argumentsMeta('{"a":"ö"}', { ...NO_POINTERS, opaque: ['/a~1b'] })]).toEqual([
    ['sha256', `"${sha256}"`],
    ['bytes', '10'],
    ['nulls', '[]'],
    ['opaque', '["/a~1b"]'],
    ['unknown', '[]'],
  ])
})

test('no message holds a value', () => {
  const secret = 'tell-nobody-this'
  const values: JsonObject[] = [
    's',
    'i',
    'n',
    'b',
    'tags',
    'o',
    'rows',
    'map',
    'when',
    'v4',
    'url',
    'to',
    'paths',
  ].flatMap((name) => [
    { [name]: `~${secret}` },
    { [name]: [`~${secret}`] },
    { [name]: { q: secret } },
  ])
  for (const given of values)
    expect(JSON.stringify(mapArguments(TYPES, given).ok || mapped(given))).not.toContain(secret)
})

test('any JSON is mapped or refused, by any schema, and what is mapped is JSON', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), fc.jsonValue({ maxDepth: 4 }), (given, shape) => {
      if (typeof given !== 'object' || given === null || Array.isArray(given)) return
      for (const types of [TYPES, variant({ properties: shape }), variant(shape)]) {
        const answer = mapArguments(types, given as JsonObject)
        const text = answer.ok ? recordText(answer.attributes) : '{}'
        expect(() => void JSON.parse(text)).not.toThrow()
      }
    }),
    { numRuns: 500 },
  )
})
