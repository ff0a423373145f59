// Owns how a reviewed JSON Schema becomes argument types that Cedar can hold. Runs once per tool, when a bundle is
// read. Total: any JSON is answered, and what cannot be typed is `opaque`. A type need not say all that the schema
// says: values are mapped by the type alone, so what a policy reads is always of its type.
import { CEDAR_ESCAPES } from '../../../schemas/cedar.ts'
import { RECORD_DEPTH_MAX } from '../../../schemas/limits.ts'
import type { Lifted } from './lifted.ts'
import { leaves, withoutCollisions } from './lifted.ts'
import { isObject, own, SchemaWalk } from './local-refs.ts'

/** A JSON string as String, datetime or ipaddr (`ipv4`, `ipv6`); integer, number, boolean as Long, decimal, Bool. */
export type Scalar = 'String' | 'datetime' | 'ipv4' | 'ipv6' | 'Long' | 'decimal' | 'Boolean'

/**
 * `rows`: an array of objects, of which policies see each leaf as the set of its values (`edits_oldText`). `map`: an
 * object whose keys nobody declared, of which they see `<name>_keys` and, when all values are of one scalar type,
 * `<name>_values`. `opaque`: no Cedar type; the argument is not in `context.args`.
 */
export type ArgumentType =
  | { readonly kind: 'scalar'; readonly scalar: Scalar }
  | { readonly kind: 'set'; readonly element: Scalar }
  | RecordType
  | { readonly kind: 'rows'; readonly row: RecordType; readonly lifted: readonly Lifted[] }
  | { readonly kind: 'map'; readonly values: Scalar | null }
  | { readonly kind: 'opaque' }
export type RecordType = { readonly kind: 'record'; readonly properties: readonly Property[] }

/** `required`: listed as such and without a default. `nullable`: null is a legal value, so policies need `has`. */
export type Property = {
  readonly name: string
  readonly required: boolean
  readonly nullable: boolean
  readonly type: ArgumentType
}

const OPAQUE = { kind: 'opaque' } as const
const SCALARS: ReadonlyMap<unknown, Scalar> = new Map([
  ['integer', 'Long'],
  ['number', 'decimal'],
  ['boolean', 'Boolean'],
])
const FORMATS: ReadonlyMap<unknown, Scalar> = new Map([
  ['date-time', 'datetime'],
  ['ipv4', 'ipv4'],
  ['ipv6', 'ipv6'],
])
const TEXTUAL: ReadonlySet<Scalar> = new Set(['String', ...FORMATS.values()])
const NUMERIC: ReadonlySet<Scalar> = new Set(['Long', 'decimal'])

/**
 * The type of `params.arguments` for one definition: always a record. `reserved` are names the mapper itself adds
 * (derived attributes); a property of that name becomes opaque, so that no caller can speak in its place.
 */
export function argumentsType(inputSchema: unknown, reserved: ReadonlySet<string>): RecordType {
  const root = isObject(inputSchema) ? inputSchema : {}
  const walk = new SchemaWalk(root)
  const none: RecordType = { kind: 'record', properties: [] }
  return walk.enter(root, none, () => recordType(root, 0, walk, reserved))
}

type Typed = {
  readonly type: ArgumentType
  readonly nullable: boolean
  readonly defaulted: boolean
}

const UNTYPED: Typed = { type: OPAQUE, nullable: false, defaulted: false }

function typeOf(unverified: unknown, depth: number, walk: SchemaWalk): Typed {
  return walk.enter(unverified, UNTYPED, (schema) => {
    const typed = typeWithin(schema, depth, walk)
    return Object.hasOwn(schema, 'default') ? { ...typed, defaulted: true } : typed
  })
}

/** Keywords beside one that gives a type (pattern, anyOf, allOf…) only narrow it, so the first that does decides. */
function typeWithin(schema: object, depth: number, walk: SchemaWalk): Typed {
  const ref = own(schema, '$ref')
  const target = typeof ref === 'string' ? typeOf(walk.resolve(ref), depth, walk) : UNTYPED
  if (target.type.kind !== 'opaque') return target
  const named = own(schema, 'type')
  if (named !== undefined) {
    return unionOf([named].flat(), isNullName, (name) => namedType(name, schema, depth, walk))
  }
  for (const union of [own(schema, 'anyOf'), own(schema, 'oneOf')]) {
    if (!Array.isArray(union)) continue
    const typed = unionOf(union, isNullSchema, (item) => typeOf(item, depth, walk))
    if (typed.type.kind !== 'opaque') return typed
  }
  const all = own(schema, 'allOf')
  const narrowed = Array.isArray(all) ? intersectionOf(all, depth, walk) : UNTYPED
  return narrowed.type.kind === 'opaque' ? enumerated(schema) : narrowed
}

/** What every member but null has in common. */
function unionOf(
  members: readonly unknown[],
  isNull: (member: unknown) => boolean,
  typed: (member: unknown) => Typed,
): Typed {
  const others = members.filter((member) => !isNull(member))
  const types = others.map(typed)
  const [first = OPAQUE, ...rest] = types.map(({ type }) => type)
  const nullable = others.length < members.length || types.some((one) => one.nullable)
  const defaulted = types.length === 1 && types[0]?.defaulted === true
  return { type: rest.reduce(common, first), nullable, defaulted }
}

function isNullName(name: unknown): boolean {
  return name === 'null'
}

function isNullSchema(schema: unknown): boolean {
  return isObject(schema) && (own(schema, 'type') === 'null' || own(schema, 'const') === null)
}

/** A type that holds every value of both; opaque when there is none. */
function common(left: ArgumentType, right: ArgumentType): ArgumentType {
  if (left.kind === 'scalar' && right.kind === 'scalar') {
    const scalar = commonScalar(left.scalar, right.scalar)
    return scalar === undefined ? OPAQUE : { kind: 'scalar', scalar }
  }
  if (left.kind === 'set' && right.kind === 'set') {
    const element = commonScalar(left.element, right.element)
    return element === undefined ? OPAQUE : { kind: 'set', element }
  }
  return JSON.stringify(left) === JSON.stringify(right) ? left : OPAQUE
}

function commonScalar(left: Scalar, right: Scalar): Scalar | undefined {
  if (left === right) return left
  if (TEXTUAL.has(left) && TEXTUAL.has(right)) return 'String'
  return NUMERIC.has(left) && NUMERIC.has(right) ? 'decimal' : undefined
}

/** A value is of every member's type: one scalar type among them is enough, records would have to be merged. */
function intersectionOf(members: readonly unknown[], depth: number, walk: SchemaWalk): Typed {
  const types = members.map((member) => typeOf(member, depth, walk))
  const [only] = types
  if (only !== undefined && types.length === 1) return only
  const known = types.map(({ type }) => type).filter(({ kind }) => kind !== 'opaque')
  const [first] = known
  const alike = known.every((type) => JSON.stringify(type) === JSON.stringify(first))
  if (first === undefined || !alike || (first.kind !== 'scalar' && first.kind !== 'set')) {
    return UNTYPED
  }
  return { type: first, nullable: types.some(({ nullable }) => nullable), defaulted: false }
}

function namedType(name: unknown, schema: object, depth: number, walk: SchemaWalk): Typed {
  return { ...UNTYPED, type: plainType(name, schema, depth, walk) }
}

function plainType(name: unknown, schema: object, depth: number, walk: SchemaWalk): ArgumentType {
  if (name === 'string') {
    return { kind: 'scalar', scalar: FORMATS.get(own(schema, 'format')) ?? 'String' }
  }
  const scalar = SCALARS.get(name)
  if (scalar !== undefined) return { kind: 'scalar', scalar }
  if (name === 'array') return arrayType(schema, depth, walk)
  if (name === 'object' && depth < RECORD_DEPTH_MAX) return objectType(schema, depth + 1, walk)
  return OPAQUE
}

/** `enum` or `const` without a `type`, when all values but null are of one. */
function enumerated(schema: object): Typed {
  const listed = own(schema, 'enum')
  const single = Object.hasOwn(schema, 'const') ? [own(schema, 'const')] : []
  const values: unknown[] = Array.isArray(listed) ? listed : single
  const scalars = new Set(values.filter((value) => value !== null).map(scalarOf))
  const [scalar] = scalars
  if (scalars.size !== 1 || scalar === undefined) return UNTYPED
  return { type: { kind: 'scalar', scalar }, nullable: values.includes(null), defaulted: false }
}

function scalarOf(value: unknown): Scalar | undefined {
  if (typeof value === 'string') return 'String'
  if (typeof value === 'boolean') return 'Boolean'
  return Number.isSafeInteger(value) ? 'Long' : undefined
}

function arrayType(schema: object, depth: number, walk: SchemaWalk): ArgumentType {
  if (Object.hasOwn(schema, 'prefixItems')) return OPAQUE
  const { type, nullable } = typeOf(own(schema, 'items'), depth, walk)
  if (nullable) return OPAQUE
  if (type.kind === 'scalar') return { kind: 'set', element: type.scalar }
  if (type.kind !== 'record') return OPAQUE
  const lifted = leaves(type)
  const names = new Set(lifted.map(({ name }) => name))
  const readable = names.size > 0 && names.size === lifted.length
  return readable ? { kind: 'rows', row: type, lifted } : OPAQUE
}

/** An object without declared properties is a map, unless it is closed: then it is the empty record. */
function objectType(schema: object, depth: number, walk: SchemaWalk): ArgumentType {
  const properties = own(schema, 'properties')
  const declared = isObject(properties) && Object.keys(properties).length > 0
  const patterns = Object.hasOwn(schema, 'patternProperties')
  const more = own(schema, 'additionalProperties')
  if (declared || (more === false && !patterns)) return recordType(schema, depth, walk, new Set())
  const { type, nullable } = patterns ? UNTYPED : typeOf(more, depth, walk)
  return { kind: 'map', values: type.kind === 'scalar' && !nullable ? type.scalar : null }
}

function recordType(
  schema: object,
  depth: number,
  walk: SchemaWalk,
  reserved: ReadonlySet<string>,
): RecordType {
  const found = own(schema, 'properties')
  const declared = isObject(found) ? Object.entries(found) : []
  const listed = own(schema, 'required')
  const required = new Set(
    Array.isArray(listed) ? listed.filter((name) => typeof name === 'string') : [],
  )
  const names = new Set(declared.map(([name]) => name))
  const undeclared = [...required].filter((name) => !names.has(name))
  const properties = [
    ...declared.map(([name, property]) => {
      const typed = CEDAR_ESCAPES.has(name) ? UNTYPED : typeOf(property, depth, walk)
      return propertyOf(name, required.has(name), typed)
    }),
    ...undeclared.map((name) => propertyOf(name, true, UNTYPED)),
  ]
  return { kind: 'record', properties: withoutCollisions(properties, reserved) }
}

function propertyOf(name: string, listed: boolean, { type, nullable, defaulted }: Typed): Property {
  return { name, required: listed && !defaulted, nullable, type }
}
