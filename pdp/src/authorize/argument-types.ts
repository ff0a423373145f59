// Owns how a reviewed JSON Schema becomes argument types that Cedar can hold. Runs once per tool, when a bundle is
// read. Total: any JSON is answered; what cannot be typed is `opaque`, and only a call that presents it is denied.
import { CEDAR_ESCAPES } from '../../../schemas/cedar.ts'
import { RECORD_DEPTH_MAX } from '../../../schemas/limits.ts'

/** JSON string, integer, number, boolean as String, Long, decimal, Bool. */
export type Scalar = 'String' | 'Long' | 'decimal' | 'Boolean'

/**
 * `rows`: an array of objects, of which policies see each leaf as the set of its values
 * (`edits_oldText: Set<String>`). `opaque`: no Cedar type; the argument is absent from the schema.
 */
export type ArgumentType =
  | { readonly kind: 'scalar'; readonly scalar: Scalar }
  | { readonly kind: 'set'; readonly element: Scalar }
  | RecordType
  | { readonly kind: 'rows'; readonly row: RecordType; readonly lifted: readonly Lifted[] }
  | { readonly kind: 'opaque' }
export type RecordType = { readonly kind: 'record'; readonly properties: readonly Property[] }
export type Lifted = { readonly name: string; readonly element: Scalar }

/** `required`: listed as such and without a default. `nullable`: null is a legal value, so policies need `has`. */
export type Property = {
  readonly name: string
  readonly required: boolean
  readonly nullable: boolean
  readonly type: ArgumentType
}

const OPAQUE = { kind: 'opaque' } as const
const SCALARS: ReadonlyMap<unknown, Scalar> = new Map([
  ['string', 'String'],
  ['integer', 'Long'],
  ['number', 'decimal'],
  ['boolean', 'Boolean'],
])

/**
 * The type of `params.arguments` for one definition: always a record. `reserved` are names the mapper itself adds
 * (derived attributes); a property of that name becomes opaque, so that no caller can speak in its place.
 */
export function argumentsType(inputSchema: unknown, reserved: ReadonlySet<string>): RecordType {
  return recordType(isObject(inputSchema) ? inputSchema : {}, 0, reserved)
}

type Typed = { readonly type: ArgumentType; readonly nullable: boolean }

/** Keywords beside `type` (pattern, anyOf, allOf…) only narrow it, so `type` alone decides. */
function typeOf(schema: unknown, depth: number): Typed {
  if (!isObject(schema)) return { type: OPAQUE, nullable: false }
  const type = own(schema, 'type')
  if (typeof type === 'string') return { type: namedType(type, schema, depth), nullable: false }
  if (Array.isArray(type)) return nullableType(type, schema, depth)
  if (type !== undefined) return { type: OPAQUE, nullable: false }
  const union = own(schema, 'anyOf') ?? own(schema, 'oneOf')
  if (Array.isArray(union)) return nullableUnion(union, depth)
  return { type: enumerated(schema), nullable: false }
}

function namedType(name: string, schema: object, depth: number): ArgumentType {
  const scalar = SCALARS.get(name)
  if (scalar !== undefined) return { kind: 'scalar', scalar }
  if (name === 'array') return arrayType(schema, depth)
  if (name === 'object' && depth < RECORD_DEPTH_MAX) return objectType(schema, depth + 1)
  return OPAQUE
}

/** `["string", "null"]` is a nullable string; any other union has no one type. */
function nullableType(names: readonly unknown[], schema: object, depth: number): Typed {
  const others = names.filter((name) => name !== 'null')
  const [name] = others
  if (others.length !== 1 || typeof name !== 'string') return { type: OPAQUE, nullable: false }
  return { type: namedType(name, schema, depth), nullable: others.length < names.length }
}

function nullableUnion(union: readonly unknown[], depth: number): Typed {
  const others = union.filter((item) => !(isObject(item) && own(item, 'type') === 'null'))
  if (others.length !== 1) return { type: OPAQUE, nullable: others.length < union.length }
  return { type: typeOf(others[0], depth).type, nullable: others.length < union.length }
}

/** `enum` or `const` without a `type`, when all values are of one. */
function enumerated(schema: object): ArgumentType {
  const listed = own(schema, 'enum')
  const values = Array.isArray(listed)
    ? listed
    : Object.hasOwn(schema, 'const')
      ? [own(schema, 'const')]
      : []
  const scalars = new Set(values.map(scalarOf))
  const [scalar] = scalars
  return scalars.size === 1 && scalar !== undefined ? { kind: 'scalar', scalar } : OPAQUE
}

function scalarOf(value: unknown): Scalar | undefined {
  if (typeof value === 'string') return 'String'
  if (typeof value === 'boolean') return 'Boolean'
  return Number.isSafeInteger(value) ? 'Long' : undefined
}

function arrayType(schema: object, depth: number): ArgumentType {
  if (Object.hasOwn(schema, 'prefixItems')) return OPAQUE
  const { type, nullable } = typeOf(own(schema, 'items'), depth)
  if (nullable) return OPAQUE
  if (type.kind === 'scalar') return { kind: 'set', element: type.scalar }
  if (type.kind !== 'record') return OPAQUE
  const lifted = leaves(type, '')
  const names = new Set(lifted.map((leaf) => leaf.name))
  return names.size === lifted.length ? { kind: 'rows', row: type, lifted } : OPAQUE
}

/** An object without declared properties is a map, unless it is closed: then it is the empty record. */
function objectType(schema: object, depth: number): ArgumentType {
  const properties = own(schema, 'properties')
  const declared = isObject(properties) && Object.keys(properties).length > 0
  if (!declared && own(schema, 'additionalProperties') !== false) return OPAQUE
  return recordType(schema, depth, new Set())
}

function recordType(schema: object, depth: number, reserved: ReadonlySet<string>): RecordType {
  const found = own(schema, 'properties')
  const declared = isObject(found) ? Object.entries(found) : []
  const listed = own(schema, 'required')
  const required = new Set(
    Array.isArray(listed) ? listed.filter((name) => typeof name === 'string') : [],
  )
  const names = new Set(declared.map(([name]) => name))
  const undeclared = [...required].filter((name) => !names.has(name))
  const properties = [
    ...declared.map(([name, property]) => propertyType(name, property, required.has(name), depth)),
    ...undeclared.map((name) => ({ name, required: true, nullable: false, type: OPAQUE })),
  ]
  return { kind: 'record', properties: withoutCollisions(properties, reserved) }
}

function propertyType(name: string, schema: unknown, listed: boolean, depth: number): Property {
  const required = listed && !(isObject(schema) && Object.hasOwn(schema, 'default'))
  const typed = CEDAR_ESCAPES.has(name) ? { type: OPAQUE, nullable: false } : typeOf(schema, depth)
  return { name, required, ...typed }
}

/** A reserved name beats a declared one, and a declared name beats one made by lifting. */
function withoutCollisions(
  properties: readonly Property[],
  reserved: ReadonlySet<string>,
): Property[] {
  const taken = new Set([...reserved, ...properties.map((property) => property.name)])
  return properties.map((property) => {
    if (reserved.has(property.name)) return { ...property, type: OPAQUE }
    if (property.type.kind !== 'rows') return property
    const names = property.type.lifted.map((leaf) => liftedName(property.name, leaf.name))
    if (names.some((name) => taken.has(name))) return { ...property, type: OPAQUE }
    for (const name of names) taken.add(name)
    return property
  })
}

/** How a leaf of `edits` is named beside it: `edits_oldText`. */
export function liftedName(property: string, leaf: string): string {
  return `${property}_${leaf}`
}

function leaves(row: RecordType, prefix: string): Lifted[] {
  return row.properties.flatMap(({ name, type }): Lifted[] => {
    const path = prefix === '' ? name : liftedName(prefix, name)
    switch (type.kind) {
      case 'scalar':
        return [{ name: path, element: type.scalar }]
      case 'set':
        return [{ name: path, element: type.element }]
      case 'record':
        return leaves(type, path)
      case 'rows':
        return type.lifted.map((leaf) => ({ ...leaf, name: liftedName(path, leaf.name) }))
      default:
        return []
    }
  })
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Own properties only: a schema that lacks `type` must not find one on Object.prototype. */
function own(of: object, name: string): unknown {
  return Object.getOwnPropertyDescriptor(of, name)?.value
}
