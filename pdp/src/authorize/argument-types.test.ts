// JSON Schema to argument types: one row a shape, and totality on any JSON.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ArgumentType } from './argument-types.ts'
import { argumentsType } from './argument-types.ts'

const scalar = (name: 'String' | 'Long' | 'decimal' | 'Boolean') =>
  ({ kind: 'scalar', scalar: name }) as const
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
  { name: 'null', schema: { type: 'null' }, want: opaque },
  { name: 'nullable', schema: { type: ['string', 'null'] }, want: scalar('String'), nullable: true },
  { name: 'one-element type list', schema: { type: ['string'] }, want: scalar('String') },
  { name: 'union of types', schema: { type: ['string', 'integer'] }, want: opaque },
  { name: 'anyOf with null', schema: { anyOf: [{ type: 'integer' }, { type: 'null' }] }, want: scalar('Long'), nullable: true },
  { name: 'anyOf of two', schema: { anyOf: [{ type: 'integer' }, { type: 'string' }] }, want: opaque },
  { name: 'oneOf of one', schema: { oneOf: [{ type: 'integer' }] }, want: scalar('Long') },
  { name: 'anyOf beside a type only narrows', schema: { type: 'string', anyOf: [{ format: 'a' }] }, want: scalar('String') },
  { name: 'allOf alone', schema: { allOf: [{ type: 'string' }] }, want: opaque },
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
  { name: 'map', schema: { type: 'object', additionalProperties: { type: 'string' } }, want: opaque },
  { name: 'open object', schema: { type: 'object' }, want: opaque },
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

test('any JSON is answered', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (schema) => {
      expect(argumentsType(schema, new Set()).kind).toBe('record')
      expect(argumentsType({ properties: { p: schema } }, new Set()).kind).toBe('record')
    }),
  )
})
