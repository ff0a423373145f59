// Owns what one tool's `context.args` holds: the Cedar record that policies are validated against, and for each
// reviewed variant of the tool the types its calls are mapped by. Pure; runs once per tool, when a bundle is read.
import type { CedarAttribute, CedarType } from '../../../schemas/cedar.ts'
import { optional, record } from '../../../schemas/cedar.ts'
import type { ArgumentType, Property, RecordType, Scalar } from './argument-types.ts'
import { argumentsType } from './argument-types.ts'
import type { Derived } from './derived.ts'
import { derivedNames, derivedTypes } from './derived.ts'
import { liftedSets } from './lifted.ts'

/** How calls of one variant are mapped. `allowUnknown`: what is not declared is left out instead of refused. */
export type VariantArguments = {
  readonly type: RecordType
  readonly derived: readonly Derived[]
  readonly allowUnknown: boolean
}

export type ToolArguments = {
  readonly attributes: readonly (readonly [string, CedarAttribute])[]
  readonly variants: ReadonlyMap<string, VariantArguments>
}

const OPAQUE = { kind: 'opaque' } as const

/**
 * One Cedar record for all variants. An attribute is required when every variant requires it; one that two variants
 * give different types is opaque in both: no policy sees it, but that a call presents it.
 */
export function toolArguments(
  definitions: readonly { readonly sha256: string; readonly inputSchema: unknown }[],
  derivations: readonly Derived[],
  allowUnknown = false,
): ToolArguments {
  const reserved = new Set(derivations.flatMap(derivedNames))
  const compiled = definitions.map(({ sha256, inputSchema }) => {
    const type = argumentsType(inputSchema, reserved)
    const derived = derivations.filter((one) => derivedAttributes(type, one).length > 0)
    return { sha256, type, derived, allowUnknown }
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
  const variants = [...of.variants].map(([sha256, { type, allowUnknown }]) => {
    const properties = type.properties.map((property) => ({ ...property, type: OPAQUE }))
    return [sha256, { type: { kind: 'record', properties }, derived: [], allowUnknown }] as const
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

function attributesOf({ type, derived }: Omit<VariantArguments, 'allowUnknown'>): Attribute[] {
  const declared = type.properties.flatMap(propertyAttributes)
  return [...declared, ...derived.flatMap((of) => derivedAttributes(type, of))]
}

function propertyAttributes(property: Property): Attribute[] {
  const required = property.required && !property.nullable
  const { type, name: from } = property
  switch (type.kind) {
    case 'opaque':
      return []
    case 'rows':
    case 'map':
      return liftedSets(from, type).map(({ name, element }) => {
        const set = { type: 'Set', element: scalarType(element) } as const
        return { name, type: set, required, from }
      })
    default:
      return [{ name: from, type: cedarType(type), required, from }]
  }
}

function derivedAttributes(type: RecordType, derived: Derived): Attribute[] {
  const from = derived.argument
  const property = type.properties.find(({ name }) => name === from)
  if (property === undefined) return []
  const required = property.required && !property.nullable
  return derivedTypes(derived, property.type).map(([name, of]) => {
    return { name, type: of, required, from }
  })
}

function cedarType(type: Extract<ArgumentType, { kind: 'scalar' | 'set' | 'record' }>): CedarType {
  switch (type.kind) {
    case 'scalar':
      return scalarType(type.scalar)
    case 'set':
      return { type: 'Set', element: scalarType(type.element) }
    default:
      return record(cedarRecord(type))
  }
}

function scalarType(scalar: Scalar): CedarType {
  switch (scalar) {
    case 'decimal':
    case 'datetime':
      return { type: 'Extension', name: scalar }
    case 'ipv4':
    case 'ipv6':
      return { type: 'Extension', name: 'ipaddr' }
    default:
      return { type: scalar }
  }
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
