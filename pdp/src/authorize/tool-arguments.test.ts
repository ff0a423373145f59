// One Cedar record for all variants of a tool, and derived attributes.
import { expect, test } from 'vitest'
import type { Derived } from './tool-arguments.ts'
import { opaqueArguments, toolArguments } from './tool-arguments.ts'

const STRING = { type: 'String' }
const LONG = { type: 'Long' }
const derived = (argument: string): Derived => ({ argument, name: `${argument}_n`, root: '/r' })

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

test('a tool made opaque has the same arguments and no attribute', () => {
  const definition = { sha256: 's', inputSchema: { properties: { path: { type: 'string' } } } }
  const { attributes, variants } = opaqueArguments(toolArguments([definition], [derived('path')]))
  expect(attributes).toEqual([])
  expect(variants.get('s')).toMatchObject({
    type: { properties: [{ name: 'path', type: { kind: 'opaque' } }] },
    derived: [],
  })
})
