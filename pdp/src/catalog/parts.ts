// Owns taking a definition apart into its leaves, and saying of each whether it is contract, prose, safety or the rest.
// Every member is in some leaf: two definitions with the same leaves have the same fingerprint.
import canonicalize from 'canonicalize'
import { pointerTo } from './json.ts'

/** contract: what may be called and how. prose: what a model reads. safety: hints. meta: everything else. */
export type Part = 'contract' | 'prose' | 'safety' | 'meta'
/** `value`: a string, number, boolean, null, an empty object or array, an array of such, or what stands too deep. */
export type Leaf = { readonly part: Part; readonly value: unknown; readonly text: string }

/** Characters of the canonical form of a definition that is taken apart; a longer one is one leaf, of the contract. */
export const DEFINITION_LENGTH_MAX = 256 * 1024
/** What stands deeper is one leaf. */
const DEPTH_MAX = 64
/** Longer arrays are taken apart. */
const PLAIN_ARRAY_MAX = 64

/** Members of a schema that hold schemas by name, a schema or schemas, or words for people. */
const NAMED_SCHEMAS = new Set([
  'properties',
  'patternProperties',
  '$defs',
  'definitions',
  'dependentSchemas',
])
const SCHEMAS = new Set([
  'additionalProperties', 'allOf', 'anyOf', 'contains', 'else', 'if', 'items', 'not', 'oneOf', 'prefixItems',
  'propertyNames', 'then', 'unevaluatedItems', 'unevaluatedProperties',
]) // biome-ignore format: a list
const PROSE = new Set(['title', 'description', '$comment', 'examples'])

/** Where the walk is: in a schema, in a list of schemas by name, at the top, in annotations, or in plain data. */
type Place = 'definition' | 'annotations' | 'schema' | 'names' | 'data'
type Visit = {
  readonly at: string
  readonly value: unknown
  readonly place: Place
  readonly part: Part
}

/** Leaves by JSON pointer, in the order of the definition. Throws what `canonicalize` throws for what is no JSON. */
export function leavesOf(definition: unknown): ReadonlyMap<string, Leaf> {
  const leaves = new Map<string, Leaf>()
  const whole = canonicalize(definition) ?? ''
  if (whole.length > DEFINITION_LENGTH_MAX)
    return leaves.set('', { part: 'contract', value: definition, text: whole })
  const visit = (from: Visit, depth: number): void => {
    const { at, value, part } = from
    if (depth >= DEPTH_MAX || isPlain(value)) {
      leaves.set(at, { part, value, text: canonicalize(value) ?? '' })
      return
    }
    for (const [key, inner] of Object.entries(value as object)) {
      visit({ at: pointerTo(at, key), value: inner, ...step(from, key) }, depth + 1)
    }
  }
  visit({ at: '', value: definition, place: 'definition', part: 'meta' }, 0)
  return leaves
}

function isPlain(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (!Array.isArray(value)) return Object.keys(value).length === 0
  return value.length <= PLAIN_ARRAY_MAX && value.every((it) => typeof it !== 'object' || it === null)
} // biome-ignore format: long lines

function step({ place, part, value }: Visit, key: string): Pick<Visit, 'place' | 'part'> {
  switch (place) {
    case 'definition':
      if (key === 'inputSchema' || key === 'outputSchema') return { place: 'schema', part: 'contract' }
      if (key === 'annotations') return { place: 'annotations', part: 'safety' }
      if (PROSE.has(key)) return { place: 'data', part: 'prose' }
      return { place: 'data', part: key === 'name' || key === 'execution' ? 'contract' : 'meta' }
    case 'annotations':
      return { place: 'data', part: key === 'title' ? 'prose' : 'safety' }
    case 'names':
      return { place: 'schema', part }
    case 'schema':
      if (Array.isArray(value) || SCHEMAS.has(key)) return { place: 'schema', part }
      if (NAMED_SCHEMAS.has(key)) return { place: 'names', part }
      return PROSE.has(key) ? { place: 'data', part: 'prose' } : { place: 'data', part }
    case 'data':
      break
  }
  return { place, part }
} // biome-ignore format: long lines

/** A schema without its words for people, as canonical text: equal texts take the same values. */
export function contractText(schema: unknown): string {
  const parts = [...leavesOf({ inputSchema: schema })].filter(([, { part }]) => part !== 'prose')
  return JSON.stringify(parts.map(([at, { text }]) => JSON.stringify([at, text])).toSorted())
}
