// One Cedar record for all variants of a tool, and derived attributes.
import { expect, test } from 'vitest'
import type { Derived } from './derived.ts'
import { opaqueArguments, toolArguments } from './tool-arguments.ts'

const STRING = { type: 'String' }
const LONG = { type: 'Long' }
const SET = { type: 'Set', element: STRING }
const derived = (argument: string): Derived => {
  return { kind: 'path', argument, name: `${argument}_n`, root: '/r' }
}

type Row = { name: string; variants: object[]; derived?: Derived[]; want: object }
test.each<Row>([
  {
    name: 'required in every variant is required',
    variants: [{ a: 'string', b: 'string' }, { a: 'string' }],
    want: { a: STRING, b: { ...STRING, required: false } },
  },
  {
    name: 'two types of one name are nobody’s to read',
    variants: [
      { a: 'string', b: 'integer' },
      { a: 'integer', b: 'integer' },
    ],
    want: { b: LONG },
  },
  {
    name: 'a path is derived where the argument is a text',
    variants: [{ path: 'string', other: 'integer' }],
    derived: [derived('path'), derived('other'), derived('absent')],
    want: { path: STRING, other: LONG, path_n: STRING },
  },
  {
    name: 'an argument cannot speak in the place of a derived one',
    variants: [{ path: 'string', path_n: 'string' }],
    derived: [derived('path')],
    want: { path: STRING, path_n: STRING },
  },
  {
    name: 'what is derived from a conflicting argument goes with it',
    variants: [{ path: 'string' }, { path: 'integer' }],
    derived: [derived('path')],
    want: {},
  },
])('$name', ({ variants, derived: derivations = [], want }) => {
  const definitions = variants.map((types, index) => {
    const properties = Object.entries(types).map(([name, type]) => [name, { type }])
    const inputSchema = {
      properties: Object.fromEntries(properties),
      required: Object.keys(types),
    }
    return { sha256: String(index), inputSchema }
  })
  const found = toolArguments(definitions, derivations)
  expect(Object.fromEntries(found.attributes)).toEqual(want)
  expect([...found.variants.keys()]).toEqual(definitions.map(({ sha256 }) => sha256))
})

test('an array of paths has a twin, and the directories that hold them all', () => {
  const paths = { type: 'array', items: { type: 'string' } }
  const definition = { sha256: 's', inputSchema: { properties: { paths }, required: ['paths'] } }
  const set = { type: 'Set', element: STRING }
  const { attributes } = toolArguments([definition], [derived('paths')])
  expect(Object.fromEntries(attributes)).toEqual({ paths: set, paths_n: set, paths_n_within: set })
})

test.each<{ kind: 'url_host' | 'email_domain' | 'count'; schema: object; want: object }>([
  { kind: 'url_host', schema: { type: 'string' }, want: { a: STRING, a_d: STRING } },
  { kind: 'url_host', schema: { type: 'string', format: 'ipv4' }, want: { a: { type: 'Extension', name: 'ipaddr' } } },
  { kind: 'email_domain', schema: { type: 'array', items: { type: 'string' } }, want: { a: SET, a_d: SET } },
  { kind: 'email_domain', schema: { type: 'integer' }, want: { a: LONG } },
  { kind: 'count', schema: { type: 'array', items: { type: 'string' } }, want: { a: SET, a_d: LONG } },
  { kind: 'count', schema: { type: 'array', items: { type: 'object', properties: { b: { type: 'string' } } } }, want: { a_b: SET, a_d: LONG } },
  { kind: 'count', schema: { type: 'string' }, want: { a: STRING } },
  { kind: 'count', schema: {}, want: {} },
])('$kind of $schema', ({ kind, schema, want }) => {
  const definition = { sha256: 's', inputSchema: { properties: { a: schema }, required: ['a'] } }
  const { attributes } = toolArguments([definition], [{ kind, argument: 'a', name: 'a_d' }])
  expect(Object.fromEntries(attributes)).toEqual(want)
}) // biome-ignore format: a table

test('every variant that has the argument with a fitting type has the derived one', () => {
  const definitions = [{ a: { type: 'string' } }, { a: { type: 'string' }, b: {} }, {}].map(
    (properties, index) => ({
      sha256: String(index),
      inputSchema: { properties, required: ['a'] },
    }),
  )
  const { attributes, variants } = toolArguments(definitions, [derived('a')])
  expect(Object.fromEntries(attributes)).toMatchObject({ a_n: { required: false } })
  expect([...variants.values()].map((variant) => variant.derived.length)).toEqual([1, 1, 0])
})

test.each([
  [{ type: 'object', additionalProperties: { type: 'number' } }, { a_keys: SET, a_values: { type: 'Set', element: { type: 'Extension', name: 'decimal' } } }],
  [{ type: 'object' }, { a_keys: SET }],
  [{ type: 'string', format: 'date-time' }, { a: { type: 'Extension', name: 'datetime' } }],
])('%j is %j', (schema, want) => {
  const definition = { sha256: 's', inputSchema: { properties: { a: schema }, required: ['a'] } }
  expect(Object.fromEntries(toolArguments([definition], []).attributes)).toEqual(want)
}) // biome-ignore format: a table

test('a tool made opaque has the same arguments and no attribute', () => {
  const definition = { sha256: 's', inputSchema: { properties: { path: { type: 'string' } } } }
  const { attributes, variants } = opaqueArguments(toolArguments([definition], [derived('path')]))
  expect(attributes).toEqual([])
  expect(variants.get('s')).toMatchObject({
    type: { properties: [{ name: 'path', type: { kind: 'opaque' } }] },
    derived: [],
  })
})
