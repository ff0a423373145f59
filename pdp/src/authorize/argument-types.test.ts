// JSON Schema to argument types: one row a shape, and totality on any JSON.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SCHEMA_NODES_MAX } from '../../../schemas/limits.ts'
import type { ArgumentType, Scalar } from './argument-types.ts'
import { argumentsType } from './argument-types.ts'

const scalar = (name: Scalar) => ({ kind: 'scalar', scalar: name }) as const
const opaque = { kind: 'opaque' } as const
const property = (name: string, type: ArgumentType, required = false, nullable = false) => ({
  name,
  required,
  nullable,
  type,
})
const record = (...properties: ReturnType<typeof property>[]) =>
  ({ kind: 'record', properties }) as const
const nested = (levels: number): object =>
  levels === 0 ? { type: 'string' } : { type: 'object', properties: { x: nested(levels - 1) } }

test.each<{ name: string; schema: unknown; want: ArgumentType; nullable?: boolean }>([
  { name: 'string', schema: { type: 'string', format: 'uri' }, want: scalar('String') },
  { name: 'integer', schema: { type: 'integer' }, want: scalar('Long') },
  { name: 'number', schema: { type: 'number' }, want: scalar('decimal') },
  { name: 'boolean', schema: { type: 'boolean' }, want: scalar('Boolean') },
  { name: 'string enum', schema: { type: 'string', enum: ['a'] }, want: scalar('String') },
  { name: 'enum without a type', schema: { enum: ['a', 'b'] }, want: scalar('String') },
  { name: 'enum of integers', schema: { enum: [1, 2] }, want: scalar('Long') },
  { name: 'mixed enum', schema: { enum: ['a', 1] }, want: opaque },
  { name: 'enum of fractions', schema: { enum: [1.5] }, want: opaque },
  { name: 'empty enum', schema: { enum: [] }, want: opaque },
  { name: 'const', schema: { const: true }, want: scalar('Boolean') },
  { name: 'null', schema: { type: 'null' }, want: opaque, nullable: true },
  { name: 'nullable', schema: { type: ['string', 'null'] }, want: scalar('String'), nullable: true },
  { name: 'one-element type list', schema: { type: ['string'] }, want: scalar('String') },
  { name: 'union of types', schema: { type: ['string', 'integer'] }, want: opaque },
  { name: 'anyOf with null', schema: { anyOf: [{ type: 'integer' }, { type: 'null' }] }, want: scalar('Long'), nullable: true },
  { name: 'anyOf of two', schema: { anyOf: [{ type: 'integer' }, { type: 'string' }] }, want: opaque },
  { name: 'oneOf of one', schema: { oneOf: [{ type: 'integer' }] }, want: scalar('Long') },
  { name: 'anyOf beside a type only narrows', schema: { type: 'string', anyOf: [{ format: 'a' }] }, want: scalar('String') },
  { name: 'date-time', schema: { type: 'string', format: 'date-time' }, want: scalar('datetime') },
  { name: 'ipv4', schema: { type: 'string', format: 'ipv4' }, want: scalar('ipv4') },
  { name: 'ipv6', schema: { type: ['string', 'null'], format: 'ipv6' }, want: scalar('ipv6'), nullable: true },
  { name: 'date', schema: { type: 'string', format: 'date' }, want: scalar('String') },
  { name: 'a format of no string', schema: { type: 'integer', format: 'date-time' }, want: scalar('Long') },
  { name: 'enum with null', schema: { enum: ['a', null] }, want: scalar('String'), nullable: true },
  { name: 'integers and numbers', schema: { type: ['integer', 'number'] }, want: scalar('decimal') },
  { name: 'a union of texts', schema: { oneOf: [{ type: 'string', format: 'ipv4' }, { enum: ['any'] }] }, want: scalar('String') },
  { name: 'a union of sets', schema: { anyOf: [{ type: 'array', items: { type: 'integer' } }, { type: 'array', items: { type: 'number' } }] }, want: { kind: 'set', element: 'decimal' } },
  { name: 'a union of equal records', schema: { anyOf: [{ type: 'object', properties: { a: { type: 'string' } } }, { type: 'object', properties: { a: { type: 'string' } } }] }, want: record(property('a', scalar('String'))) },
  { name: 'a union of records', schema: { anyOf: [{ type: 'object', properties: { a: { type: 'string' } } }, { type: 'object', properties: { b: { type: 'string' } } }] }, want: opaque },
  { name: 'a union of a text and its array', schema: { anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' } }] }, want: opaque },
  { name: 'a union of null and const null', schema: { anyOf: [{ type: 'null' }, { const: null }, { type: 'boolean' }] }, want: scalar('Boolean'), nullable: true },
  { name: 'allOf of one', schema: { allOf: [{ type: 'string' }] }, want: scalar('String') },
  { name: 'allOf that narrows', schema: { allOf: [{ type: 'string' }, { minLength: 1 }] }, want: scalar('String') },
  { name: 'allOf of two records', schema: { allOf: [{ type: 'object', properties: { a: { type: 'string' } } }, { type: 'object', properties: { b: { type: 'string' } } }] }, want: opaque },
  { name: 'allOf of two types', schema: { allOf: [{ type: 'string' }, { type: 'integer' }] }, want: opaque },
  { name: 'allOf of nothing', schema: { allOf: [] }, want: opaque },
  { name: 'an opaque union beside an enum', schema: { anyOf: [{}, { type: 'string' }], enum: ['a'] }, want: scalar('String') },
  { name: '$ref', schema: { $ref: '#/$defs/x' }, want: opaque },
  { name: 'untyped', schema: {}, want: opaque },
  { name: 'true', schema: true, want: opaque },
  { name: 'unknown type', schema: { type: 'date' }, want: opaque },
  { name: 'array of strings', schema: { type: 'array', items: { type: 'string' } }, want: { kind: 'set', element: 'String' } },
  { name: 'array without items', schema: { type: 'array' }, want: opaque },
  { name: 'array of nullable', schema: { type: 'array', items: { type: ['string', 'null'] } }, want: opaque },
  { name: 'array of arrays', schema: { type: 'array', items: { type: 'array', items: { type: 'string' } } }, want: opaque },
  { name: 'tuple', schema: { type: 'array', prefixItems: [], items: { type: 'string' } }, want: opaque },
  { name: 'array with a list of items', schema: { type: 'array', items: [{ type: 'string' }] }, want: opaque },
  { name: 'map', schema: { type: 'object', additionalProperties: { type: 'string' } }, want: { kind: 'map', values: 'String' } },
  { name: 'map of nullable', schema: { type: 'object', additionalProperties: { type: ['string', 'null'] } }, want: { kind: 'map', values: null } },
  { name: 'map of objects', schema: { type: 'object', properties: {}, additionalProperties: { type: 'object' } }, want: { kind: 'map', values: null } },
  { name: 'map by patterns', schema: { type: 'object', patternProperties: { a: { type: 'string' } }, additionalProperties: false }, want: { kind: 'map', values: null } },
  { name: 'array of maps', schema: { type: 'array', items: { type: 'object' } }, want: opaque },
  { name: 'rows without a readable leaf', schema: { type: 'array', items: { type: 'object', properties: { a: {} } } }, want: opaque },
  { name: 'open object', schema: { type: 'object' }, want: { kind: 'map', values: null } },
  { name: 'closed empty object', schema: { type: 'object', additionalProperties: false }, want: record() },
  { name: 'declared object', schema: { type: 'object', properties: { a: { type: 'string' } }, required: ['a'] }, want: record(property('a', scalar('String'), true)) },
  { name: 'too deep', schema: nested(7), want: record(property('x', record(property('x', record(property('x', record(property('x', record(property('x', record(property('x', opaque)))))))))))) },
  {
    name: 'array of objects',
    schema: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          a: { type: 'string' },
          b: { type: 'object', properties: { c: { type: 'integer' } } },
          d: { type: 'array', items: { type: 'boolean' } },
          e: { type: 'array', items: { type: 'object', properties: { f: { type: 'string' } } } },
          g: {},
          h: { type: 'object', additionalProperties: { type: 'boolean' } },
        },
      },
    },
    want: expect.objectContaining({
      kind: 'rows',
      lifted: [
        { name: 'a', element: 'String' },
        { name: 'b_c', element: 'Long' },
        { name: 'd', element: 'Boolean' },
        { name: 'e_f', element: 'String' },
        { name: 'h_keys', element: 'String' },
        { name: 'h_values', element: 'Boolean' },
      ],
    }),
  },
  { name: 'rows whose leaves collide', schema: { type: 'array', items: { type: 'object', properties: { a_b: { type: 'string' }, a: { type: 'object', properties: { b: { type: 'string' } } } } } }, want: opaque },
])('$name', ({ schema, want, nullable = false }) => {
  const [found] = argumentsType({ properties: { p: schema } }, new Set()).properties
  expect(found).toEqual({ name: 'p', required: false, nullable, type: want })
}) // biome-ignore format: a table

test('any legal property name is kept, in order', () => {
  const names = ['user-agent', '$filter', 'in', '', 'constructor', 'toString', 'a.b', 'ключ', 'if']
  const text = `{"type":"object","properties":{"__proto__":{"type":"string"},${names.map((name) => `${JSON.stringify(name)}:{"type":"integer"}`).join(',')}}}`
  expect(argumentsType(JSON.parse(text), new Set()).properties).toEqual([
    property('__proto__', scalar('String')),
    ...names.map((name) => property(name, scalar('Long'))),
  ])
})

test.each<{ name: string; schema: object; reserved?: string[]; want: object[] }>([
  { name: 'a name that Cedar reads as an escape', schema: { properties: { __extn: { type: 'string' } } }, want: [property('__extn', opaque)] },
  { name: 'required but not declared', schema: { required: ['a'] }, want: [property('a', opaque, true)] },
  { name: 'required with a default', schema: { properties: { a: { type: 'string', default: '' } }, required: ['a'] }, want: [property('a', scalar('String'))] },
  { name: 'a reserved name', schema: { properties: { a_n: { type: 'string' } } }, reserved: ['a_n'], want: [property('a_n', opaque)] },
  {
    name: 'lifted names that are declared',
    schema: { properties: { a: { type: 'array', items: { type: 'object', properties: { b: { type: 'string' } } } }, a_b: { type: 'string' } } },
    want: [property('a', opaque), property('a_b', scalar('String'))],
  },
  { name: 'no properties', schema: { properties: 7, required: 'x' }, want: [] },
])('$name', ({ schema, reserved = [], want }) => {
  expect(argumentsType(schema, new Set(reserved)).properties).toEqual(want)
}) // biome-ignore format: a table

const level = (next: number) => ({
  type: 'object',
  properties: Object.fromEntries(
    Array.from({ length: 30 }, (_, index) => [`p${index}`, { $ref: `#/$defs/l${next}` }]),
  ),
})

describe('references', () => {
  const DEFS = {
    $defs: {
      text: { type: 'string' },
      'a/b~c d': { type: 'integer' },
      chosen: { type: 'string', default: 'x' },
      tree: {
        type: 'object',
        properties: { name: { type: 'string' }, left: { $ref: '#/$defs/tree' } },
      },
      itself: { $ref: '#/$defs/itself' },
      two: { $ref: '#/$defs/text' },
    },
    definitions: { old: { type: 'boolean' } },
  }
  test.each<{ name: string; schema: object; want: ArgumentType; nullable?: boolean }>([
    { name: '$defs', schema: { $ref: '#/$defs/text', description: 'x' }, want: scalar('String') },
    { name: 'definitions', schema: { $ref: '#/definitions/old' }, want: scalar('Boolean') },
    { name: 'a property', schema: { $ref: '#/properties/q' }, want: scalar('Long') },
    { name: 'two steps', schema: { $ref: '#/$defs/two' }, want: scalar('String') },
    { name: 'escapes', schema: { $ref: '#/$defs/a~1b~0c%20d' }, want: scalar('Long') },
    { name: 'allOf, as generators write it', schema: { allOf: [{ $ref: '#/$defs/text' }] }, want: scalar('String') },
    { name: 'nullable', schema: { anyOf: [{ $ref: '#/$defs/text' }, { type: 'null' }] }, want: scalar('String'), nullable: true },
    { name: 'an array of it', schema: { type: 'array', items: { $ref: '#/$defs/text' } }, want: { kind: 'set', element: 'String' } },
    { name: 'recursion', schema: { $ref: '#/$defs/tree' }, want: record(property('name', scalar('String')), property('left', opaque)) },
    { name: 'itself', schema: { $ref: '#/$defs/itself' }, want: opaque },
    { name: 'the whole', schema: { $ref: '#' }, want: opaque },
    { name: 'itself beside a type', schema: { $ref: '#', type: 'object' }, want: { kind: 'map', values: null } },
    { name: 'dangling', schema: { $ref: '#/$defs/none' }, want: opaque },
    { name: 'into a text', schema: { $ref: '#/$defs/text/type/length' }, want: opaque },
    { name: 'to a prototype', schema: { $ref: '#/$defs/constructor' }, want: opaque },
    { name: 'a broken escape', schema: { $ref: '#/$defs/a~2b' }, want: opaque },
    { name: 'a broken percent escape', schema: { $ref: '#/$defs/%zz' }, want: opaque },
    { name: 'an anchor', schema: { $ref: '#text' }, want: opaque },
    { name: 'remote', schema: { $ref: 'https://example.com/s.json#/$defs/text' }, want: opaque },
    { name: 'no text', schema: { $ref: 7 }, want: opaque },
  ])('$name', ({ schema, want, nullable = false }) => {
    const root = { ...DEFS, properties: { p: schema, q: { type: 'integer' } } }
    const [found] = argumentsType(root, new Set()).properties
    expect(found).toEqual({ name: 'p', required: false, nullable, type: want })
  }) // biome-ignore format: a table

  test('a default behind a reference makes optional', () => {
    const root = { ...DEFS, properties: { p: { $ref: '#/$defs/chosen' } }, required: ['p'] }
    expect(argumentsType(root, new Set()).properties[0]?.required).toBe(false)
  })

  test('a schema that grows with every reference is cut off, and soon', () => {
    const $defs = { l0: level(1), l1: level(2), l2: level(3), l3: level(4), l4: { type: 'string' } }
    const root = { $defs, properties: { p: { $ref: '#/$defs/l0' }, last: { type: 'string' } } }
    const { properties } = argumentsType(root, new Set())
    const text = JSON.stringify(properties)
    expect(text.match(/"kind":"(scalar|record)"/g)?.length).toBeLessThan(SCHEMA_NODES_MAX)
    expect(properties[1]).toEqual(property('last', opaque))
  })

  test('as many schemas as allowed are typed, one more is not', () => {
    const names = Array.from({ length: SCHEMA_NODES_MAX }, (_, index) => `p${index}`)
    const root = { properties: Object.fromEntries(names.map((name) => [name, { type: 'string' }])) }
    const opaqueOnes = argumentsType(root, new Set()).properties.filter(
      ({ type }) => type.kind === 'opaque',
    )
    expect(opaqueOnes).toEqual([property(`p${SCHEMA_NODES_MAX - 1}`, opaque)])
  })

  test('a long chain of references is cut off too', () => {
    const links = Array.from({ length: 1_000 }, (_, index) => [
      `l${index}`,
      { $ref: `#/$defs/l${index + 1}` },
    ])
    const $defs = { ...Object.fromEntries(links), l1000: { type: 'string' } }
    const at = (link: number) =>
      argumentsType({ $defs, properties: { p: { $ref: `#/$defs/l${link}` } } }, new Set())
        .properties
    expect(at(0)).toEqual([property('p', opaque)])
    expect(at(950)).toEqual([property('p', scalar('String'))])
  })
})

test('any JSON is answered', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (schema) => {
      expect(argumentsType(schema, new Set()).kind).toBe('record')
      expect(argumentsType({ properties: { p: schema } }, new Set()).kind).toBe('record')
    }),
  )
})
