// Owns what one tool's `context.args` holds: the Cedar record that policies are validated against, and for each
// reviewed variant of the tool the types its calls are mapped by. Pure; runs once per tool, when a bundle is read.
import type { CedarAttribute, CedarType } from '../../../schemas/cedar.ts'
import { optional, record } from '../../../schemas/cedar.ts'
import type { ArgumentType, Property, RecordType, Scalar } from './argument-types.ts'
import { argumentsType, liftedName } from './argument-types.ts'

/**
 * An attribute the mapper computes: `name` is `argument` as a normalised path below `root` (paths.ts). Of an array of
 * paths there is also `<name>_within`, the set of directories that hold every one of them.
 */
export type Derived = { readonly argument: string; readonly name: string; readonly root: string }

/** The second attribute of a derived array. */
export function withinName({ name }: Derived): string {
  return `${name}_within`
}

/** How calls of one variant are mapped. */
export type VariantArguments = { readonly type: RecordType; readonly derived: readonly Derived[] }

export type ToolArguments = {
  readonly attributes: readonly (readonly [string, CedarAttribute])[]
  readonly variants: ReadonlyMap<string, VariantArguments>
}

const OPAQUE = { kind: 'opaque' } as const

/**
 * One Cedar record for all variants. An attribute is required when every variant requires it; one that two variants
 * give different types is opaque in both: no policy sees it, and a call that presents it is denied.
 */
export function toolArguments(
  definitions: readonly { readonly sha256: string; readonly inputSchema: unknown }[],
  derivations: readonly Derived[],
): ToolArguments {
  const reserved = new Set(derivations.flatMap((of) => [of.name, withinName(of)]))
  const compiled = definitions.map(({ sha256, inputSchema }) => {
    const type = argumentsType(inputSchema, reserved)
    return {
      sha256,
      type,
      derived: derivations.filter((derived) => holdsText(type, derived.argument)),
    }
  })
  const conflicting = conflicts(compiled.flatMap(attributesOf))
  const variants = compiled.map((variant) => withoutConflicts(variant, conflicting))
  return {
    attributes: merge(variants.map(attributesOf)),
    variants: new Map(variants.map(({ sha256, ...variant }) => [sha256, variant])),
  }
}

/** The same tool with every argument opaque: for one whose types Cedar does not take. */
export function opaqueArguments(of: ToolArguments): ToolArguments {
  const variants = [...of.variants].map(([sha256, { type }]) => {
    const properties = type.properties.map((property) => ({ ...property, type: OPAQUE }))
    return [sha256, { type: { kind: 'record', properties }, derived: [] }] as const
  })
  return { attributes: [], variants: new Map(variants) }
}

/** The Cedar record of an arguments type, derived attributes not included. */
function cedarRecord(type: RecordType): readonly (readonly [string, CedarAttribute])[] {
  return type.properties.flatMap(propertyAttributes).map(attributeEntry)
}

type Attribute = {
  readonly name: string
  readonly type: CedarType
  readonly required: boolean
  readonly from: string
}

function attributesOf({ type, derived }: VariantArguments): Attribute[] {
  const declared = type.properties.flatMap(propertyAttributes)
  return [...declared, ...derived.flatMap((of) => derivedAttributes(type, of))]
}

function propertyAttributes(property: Property): Attribute[] {
  const required = property.required && !property.nullable
  const { type, name: from } = property
  if (type.kind === 'opaque') return []
  if (type.kind !== 'rows') return [{ name: from, type: cedarType(type), required, from }]
  return type.lifted.map((leaf) => {
    const set = { type: 'Set', element: scalarType(leaf.element) } as const
    return { name: liftedName(from, leaf.name), type: set, required, from }
  })
}

function derivedAttributes(type: RecordType, derived: Derived): Attribute[] {
  const from = derived.argument
  const property = type.properties.find(({ name }) => name === from) as Property
  const required = property.required && !property.nullable
  const attribute = { name: derived.name, type: cedarType(property.type), required, from }
  return property.type.kind === 'set'
    ? [attribute, { ...attribute, name: withinName(derived) }]
    : [attribute]
}

function cedarType(type: ArgumentType): CedarType {
  switch (type.kind) {
    case 'scalar':
      return scalarType(type.scalar)
    case 'set':
      return { type: 'Set', element: scalarType(type.element) }
    case 'record':
      return record(cedarRecord(type))
    default:
      throw new TypeError(`${type.kind} has no Cedar type of its own`)
  }
}

function scalarType(scalar: Scalar): CedarType {
  return scalar === 'decimal' ? { type: 'Extension', name: 'decimal' } : { type: scalar }
}

function holdsText(type: RecordType, argument: string): boolean {
  const found = type.properties.find((property) => property.name === argument)?.type
  if (found?.kind === 'scalar') return found.scalar === 'String'
  return found?.kind === 'set' && found.element === 'String'
}

/** Names that stand for more than one type. */
function conflicts(attributes: readonly Attribute[]): ReadonlySet<string> {
  const types = new Map<string, string>()
  const found = new Set<string>()
  for (const { name, type } of attributes) {
    const text = JSON.stringify(type)
    if ((types.get(name) ?? text) !== text) found.add(name)
    types.set(name, text)
  }
  return found
}

function withoutConflicts<Variant extends VariantArguments>(
  variant: Variant,
  conflicting: ReadonlySet<string>,
): Variant {
  const opaque = new Set(
    attributesOf(variant).flatMap(({ name, from }) => (conflicting.has(name) ? [from] : [])),
  )
  const properties = variant.type.properties.map((property) =>
    opaque.has(property.name) ? { ...property, type: OPAQUE } : property,
  )
  const derived = variant.derived.filter(({ argument }) => !opaque.has(argument))
  return { ...variant, type: { kind: 'record', properties }, derived }
}

function merge(variants: readonly (readonly Attribute[])[]): (readonly [string, CedarAttribute])[] {
  const first = new Map(variants.flat().map((attribute) => [attribute.name, attribute]))
  return [...first.values()].map((attribute) => {
    const required = variants.every((variant) =>
      variant.some((other) => other.name === attribute.name && other.required),
    )
    return attributeEntry({ ...attribute, required })
  })
}

function attributeEntry({ name, type, required }: Attribute): readonly [string, CedarAttribute] {
  return [name, required ? type : optional(type)]
}
