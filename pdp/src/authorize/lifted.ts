// Owns the names of the sets that stand for what a policy cannot go through: the leaves of an array of objects, the
// keys and values of a map. Runs when a bundle is read, but for liftedName.
import type { ArgumentType, Property, RecordType, Scalar } from './argument-types.ts'

/** One set of scalars, named as policies read it. */
export type Lifted = { readonly name: string; readonly element: Scalar }

/** How a leaf of `edits` is named beside it: `edits_oldText`. */
export function liftedName(property: string, leaf: string): string {
  return `${property}_${leaf}`
}

/** The sets that stand beside others in place of a property `name` of this type; none when it has a type of its own. */
export function liftedSets(name: string, type: ArgumentType): Lifted[] {
  if (type.kind === 'rows') {
    return type.lifted.map((leaf) => ({ ...leaf, name: liftedName(name, leaf.name) }))
  }
  if (type.kind !== 'map') return []
  const keys = { name: liftedName(name, 'keys'), element: 'String' } as const
  if (type.values === null) return [keys]
  return [keys, { name: liftedName(name, 'values'), element: type.values }]
}

/** Every leaf of a row that has a type. */
export function leaves(row: RecordType): Lifted[] {
  return row.properties.flatMap(({ name, type }): Lifted[] => {
    switch (type.kind) {
      case 'scalar':
        return [{ name, element: type.scalar }]
      case 'set':
        return [{ name, element: type.element }]
      case 'record':
        return leaves(type).map((leaf) => ({ ...leaf, name: liftedName(name, leaf.name) }))
      default:
        return liftedSets(name, type)
    }
  })
}

/**
 * A reserved name beats a declared one, and a declared name beats one made by lifting; the property that loses is
 * opaque, so that no caller can speak in the place of another.
 */
export function withoutCollisions(
  properties: readonly Property[],
  reserved: ReadonlySet<string>,
): Property[] {
  const taken = new Set([...reserved, ...properties.map(({ name }) => name)])
  return properties.map((property) => {
    const names = liftedSets(property.name, property.type).map(({ name }) => name)
    if (reserved.has(property.name) || names.some((name) => taken.has(name))) {
      return { ...property, type: { kind: 'opaque' } }
    }
    for (const name of names) taken.add(name)
    return property
  })
}
