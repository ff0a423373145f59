// Owns saying whether a changed schema takes fewer values, more values, or something else. Errs to `other`: what it does
// not understand (`$ref`, `if`, `oneOf`, patterns) is never called narrower. Never says what a tool does with a value.
import { elementsOf, type Members, membersOf } from './json.ts'
import { contractText } from './parts.ts'

export type Direction = 'narrowed' | 'widened' | 'other'

const DEPTH_MAX = 32

/** What happened to a schema, words for people aside; empty when nothing did. Several may be true. */
export function schemaChange(before: unknown, after: unknown, depth = 0): ReadonlySet<Direction> {
  const found = new Set<Direction>()
  if (contractText(before) === contractText(after)) return found
  if (depth >= DEPTH_MAX) return found.add('other')
  const [old, now] = [schemaOf(before), schemaOf(after)]
  if (old === undefined || now === undefined)
    return found.add(
      old === undefined ? (now === undefined ? 'other' : 'widened') : 'narrowed',
    )
  for (const keyword of new Set([...Object.keys(old), ...Object.keys(now)])) {
    for (const direction of keywordChange(keyword, old, now, depth)) found.add(direction)
  }
  return found
} // biome-ignore format: nested conditions

/** `true` takes everything, as `{}` does; undefined for `false`, which takes nothing. */
function schemaOf(schema: unknown): Members | undefined {
  return schema === false ? undefined : membersOf(schema)
}

type Compare = (before: unknown, after: unknown, depth: number) => Iterable<Direction>

const KEYWORDS: ReadonlyMap<string, Compare> = new Map<string, Compare>([
  ['type', (before, after) => setChange(typesOf(before), typesOf(after))],
  ['enum', (before, after) => setChange(valuesOf(before), valuesOf(after))],
  ['anyOf', (before, after) => branchChange(setChange(valuesOf(before), valuesOf(after)))],
  // Whoever requires more takes fewer.
  ['required', (before, after) => setChange(valuesOf(after) ?? new Set(), valuesOf(before) ?? new Set())],
  ['properties', propertiesChange],
  ['items', schemaChange],
  ['additionalProperties', schemaChange],
  ...['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties'].map((name) => [name, lower] as const),
  ...['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties'].map((name) => [name, upper] as const),
  ...['pattern', 'format', 'multipleOf', 'const'].map((name) => [name, constraint] as const),
  ['uniqueItems', (before, after) => constraint(before === true ? true : undefined, after === true ? true : undefined)],
]) // biome-ignore format: a table

const PROSE: ReadonlySet<string> = new Set(['title', 'description', '$comment', 'examples'])

function keywordChange(
  keyword: string,
  before: Members,
  after: Members,
  depth: number,
): Iterable<Direction> {
  const [old, now] = [before[keyword], after[keyword]]
  if (PROSE.has(keyword)) return []
  const compare = KEYWORDS.get(keyword)
  if (compare !== undefined) return compare(old, now, depth + 1)
  return contractText({ [keyword]: old }) === contractText({ [keyword]: now }) ? [] : ['other']
}

function propertiesChange(before: unknown, after: unknown, depth: number): Set<Direction> {
  const [old, now] = [membersOf(before), membersOf(after)]
  const found = new Set<Direction>()
  for (const name of Object.keys(now)) {
    if (!Object.hasOwn(old, name)) found.add('widened')
    else for (const direction of schemaChange(old[name], now[name], depth)) found.add(direction)
  }
  if (Object.keys(old).some((name) => !Object.hasOwn(now, name))) found.add('narrowed')
  return found
}

/** Undefined is the set of everything. */
function setChange(
  before: ReadonlySet<string> | undefined,
  after: ReadonlySet<string> | undefined,
): Direction[] {
  if (before === undefined || after === undefined) {
    if (before === after) return []
    return [before === undefined ? 'narrowed' : 'widened']
  }
  const found: Direction[] = []
  if ([...after].some((value) => !before.has(value))) found.push('widened')
  if ([...before].some((value) => !after.has(value))) found.push('narrowed')
  return found
}

/** A changed branch is one more and one less, and may be either. */
function branchChange(found: readonly Direction[]): readonly Direction[] {
  return found.length === 2 ? ['other'] : found
}

/** Every integer is a number. */
function typesOf(type: unknown): ReadonlySet<string> | undefined {
  if (type === undefined) return undefined
  const types = new Set(valuesOf(Array.isArray(type) ? type : [type]))
  if (types.has('"number"')) types.add('"integer"')
  return types
}

function valuesOf(values: unknown): ReadonlySet<string> | undefined {
  if (values === undefined) return undefined
  return new Set(elementsOf(values).map((value) => (typeof value === 'object' ? contractText(value) : JSON.stringify(value))))
} // biome-ignore format: long lines

/** A bound from below: higher is narrower. */
function lower(before: unknown, after: unknown): Direction[] {
  if (before === undefined || after === undefined) return constraint(before, after)
  if (typeof before !== 'number' || typeof after !== 'number') return constraint(before, after)
  if (before === after) return []
  return [before < after ? 'narrowed' : 'widened']
}

function upper(before: unknown, after: unknown): Direction[] {
  return typeof before === 'number' && typeof after === 'number'
    ? lower(-before, -after)
    : lower(before, after)
}

function constraint(before: unknown, after: unknown): Direction[] {
  if (before === undefined) return after === undefined ? [] : ['narrowed']
  if (after === undefined) return ['widened']
  return contractText({ const: before }) === contractText({ const: after }) ? [] : ['other']
}
