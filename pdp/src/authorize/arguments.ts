// Owns mapping the arguments of one call to Cedar: JSON in, the JSON text of `context.args` out. Pure and total.
// Never repairs or rounds a value, and never puts one into a message. Whatever a call presents is in `args`, or its
// JSON pointer is in `argsMeta`, or the call is refused.
import { hash } from 'node:crypto'
import { MAPPED_ARGS_BYTES_MAX, SET_ELEMENTS_MAX } from '../../../schemas/limits.ts'
import type { Json, JsonObject } from '../../../schemas/strict-json.ts'
import type { ArgumentType, Property, RecordType, Scalar } from './argument-types.ts'
import { derivedTexts } from './derived.ts'
import { liftedName, liftedSets } from './lifted.ts'
import type { MapCode } from './refusal.ts'
import { pointerTo, Refused, shown, unfitting, unrepresentable } from './refusal.ts'
import { scalarText, stringText } from './scalar-text.ts'
import type { VariantArguments } from './tool-arguments.ts'

/** One more than this is a new mapper: replayed decisions name the one that made their context. */
export const MAPPER_VERSION = 'cedargate-mapper/2'

/**
 * JSON pointers of what a call presents and `args` does not hold: `nulls` were null, `opaque` have no type that a
 * policy could read, `unknown` are not declared (a whole object counts once). At most SET_ELEMENTS_MAX of each.
 */
export type Pointers = { readonly [reason in 'nulls' | 'opaque' | 'unknown']: readonly string[] }

/** `attributes`: attribute name → JSON text. */
export type MappedArguments =
  | {
      readonly ok: true
      readonly attributes: ReadonlyMap<string, string>
      readonly pointers: Pointers
    }
  | { readonly ok: false; readonly code: MapCode; readonly detail: string }

/**
 * Maps `unverified` by the types of one reviewed variant. Refuses with `unknown_argument` what is not declared (unless
 * the variant allows that), `unrepresentable_argument` what Cedar cannot hold exactly or what has no derived attribute,
 * `invalid_request` a wrong type or a missing argument. Does NOT check ranges, patterns, enumerations, or formats that
 * are no type of Cedar's: those are the server's own. Of opaque and unknown arguments it looks at nothing.
 */
export function mapArguments(variant: VariantArguments, unverified: JsonObject): MappedArguments {
  const walk: Walk = { unknown: variant.allowUnknown ? [] : null, nulls: [], opaque: [] }
  try {
    const attributes = new Map(mapRecord(variant.type, unverified, '', walk))
    for (const derived of variant.derived) {
      const { argument } = derived
      const given = Object.hasOwn(unverified, argument) ? unverified[argument] : undefined
      if (given === undefined || given === null) continue
      for (const [name, text] of derivedTexts(derived, given)) attributes.set(name, text)
    }
    const pointers = { nulls: walk.nulls, opaque: walk.opaque, unknown: walk.unknown ?? [] }
    checkSize(attributes, pointers)
    return { ok: true, attributes, pointers }
  } catch (error) {
    if (error instanceof Refused) return { ok: false, code: error.code, detail: error.message }
    throw error
  }
}

export const NO_POINTERS: Pointers = { nulls: [], opaque: [], unknown: [] }

/** `context.argsMeta`: of the exact text of the arguments ('' when there are none). */
export function argumentsMeta(text: string, pointers: Pointers): ReadonlyMap<string, string> {
  return new Map([
    ['sha256', `"${hash('sha256', text)}"`],
    ['bytes', String(Buffer.byteLength(text))],
    ['nulls', JSON.stringify(pointers.nulls)],
    ['opaque', JSON.stringify(pointers.opaque)],
    ['unknown', JSON.stringify(pointers.unknown)],
  ])
}

type Entry = readonly [string, string]
type Visit = (property: Property, value: NonNullable<Json>, at: string) => void
/** What has been left out so far. `unknown` is null where undeclared arguments are refused. */
type Walk = {
  readonly nulls: string[]
  readonly opaque: string[]
  readonly unknown: string[] | null
}

/** Calls `visit` for every declared property that has a value; refuses what is missing, and settles what is not declared. */
function eachProperty(
  type: RecordType,
  value: JsonObject,
  at: string,
  walk: Walk,
  visit: Visit,
): void {
  let declared = 0
  for (const property of type.properties) {
    const present = Object.hasOwn(value, property.name)
    if (present) declared++
    const given = present ? value[property.name] : undefined
    const path = pointerTo(at, property.name)
    if (given !== undefined && given !== null) visit(property, given, path)
    else if (given === null && (!property.required || mayBeNull(property))) walk.nulls.push(path)
    else if (property.required) throw unfitting(path, 'is required')
  }
  if (declared < Object.keys(value).length) settleUndeclared(type, value, at, walk.unknown)
}

/** Nobody knows what an opaque argument may be. */
function mayBeNull({ nullable, type }: Property): boolean {
  return nullable || type.kind === 'opaque'
}

function settleUndeclared(
  type: RecordType,
  value: JsonObject,
  at: string,
  unknown: string[] | null,
): void {
  const names = new Set(type.properties.map((property) => property.name))
  for (const name of Object.keys(value)) {
    if (names.has(name)) continue
    const path = pointerTo(at, name)
    if (unknown === null) {
      const detail = `argument ${shown(path)} is not in the reviewed definition`
      throw new Refused('unknown_argument', detail)
    }
    unknown.push(path)
  }
}

function mapRecord(type: RecordType, value: JsonObject, at: string, walk: Walk): Entry[] {
  const entries: Entry[] = []
  eachProperty(type, value, at, walk, (property, given, path) => {
    entries.push(...mapProperty(property, given, path, walk))
  })
  return entries
}

function mapProperty({ name, type }: Property, value: Json, at: string, walk: Walk): Entry[] {
  switch (type.kind) {
    case 'scalar':
      return [[name, scalarText(type.scalar, value, at)]]
    case 'set':
      return [[name, setText(elementTexts(type.element, value, at), at)]]
    case 'record':
      return [[name, recordText(mapRecord(type, object(value, at), at, walk))]]
    case 'opaque':
      walk.opaque.push(at)
      return []
    default: {
      const sets = new Map(liftedSets(name, type).map((lifted) => [lifted.name, [] as string[]]))
      collect(type, value, at, { name, walk, sets })
      return [...sets].map(([lifted, texts]) => [lifted, setText(texts, at)])
    }
  }
}

/** Where the leaves of rows and maps go. `name`: of what is collected. Every leaf has its set, if only an empty one. */
type Collected = {
  readonly name: string
  readonly walk: Walk
  readonly sets: ReadonlyMap<string, string[]>
}

function collect(type: ArgumentType, value: Json, at: string, into: Collected): void {
  switch (type.kind) {
    case 'scalar':
      into.sets.get(into.name)?.push(scalarText(type.scalar, value, at))
      break
    case 'set':
      into.sets.get(into.name)?.push(...elementTexts(type.element, value, at))
      break
    case 'record':
      eachProperty(type, object(value, at), at, into.walk, (property, given, path) => {
        collect(property.type, given, path, {
          ...into,
          name: liftedName(into.name, property.name),
        })
      })
      break
    case 'rows':
      for (const [index, item] of array(value, at).entries()) {
        collect(type.row, item, `${at}/${index}`, into)
      }
      break
    case 'map':
      collectMap(type.values, object(value, at), at, into)
      break
    case 'opaque':
      into.walk.opaque.push(at)
  }
}

/** Without a type for its values a map is opaque beside its keys; an empty one hides nothing. */
function collectMap(values: Scalar | null, value: JsonObject, at: string, into: Collected): void {
  const entries = Object.entries(value)
  const keys = entries.map(([key]) => stringText(key, at))
  into.sets.get(liftedName(into.name, 'keys'))?.push(...keys)
  if (values === null && keys.length > 0) into.walk.opaque.push(at)
  if (values === null) return
  const texts = entries.map(([key, item]) => scalarText(values, item, pointerTo(at, key)))
  into.sets.get(liftedName(into.name, 'values'))?.push(...texts)
}

function elementTexts(element: Scalar, value: Json, at: string): string[] {
  return array(value, at).map((item, index) => scalarText(element, item, `${at}/${index}`))
}

function setText(texts: readonly string[], at: string): string {
  if (texts.length <= SET_ELEMENTS_MAX) return `[${texts.join(',')}]`
  throw unrepresentable(at, `has more than ${SET_ELEMENTS_MAX} elements`)
}

/** `{"name":text,…}` of texts that are JSON already. */
export function recordText(entries: Iterable<Entry>): string {
  let record = '{'
  for (const [name, text] of entries) {
    if (record.length > 1) record += ','
    record += `${JSON.stringify(name)}:${text}`
  }
  return `${record}}`
}

const REASONS = {
  nulls: 'are null',
  opaque: 'have no type that a policy could read',
  unknown: 'are not in the reviewed definition',
} as const

function checkSize(attributes: ReadonlyMap<string, string>, pointers: Pointers): void {
  let bytes = Buffer.byteLength(recordText(attributes))
  for (const reason of ['nulls', 'opaque', 'unknown'] as const) {
    const left = pointers[reason]
    if (left.length > SET_ELEMENTS_MAX) {
      throw tooMuch(`more than ${SET_ELEMENTS_MAX} arguments ${REASONS[reason]}`)
    }
    for (const pointer of left) bytes += Buffer.byteLength(stringText(pointer, pointer))
  }
  if (bytes <= MAPPED_ARGS_BYTES_MAX) return
  throw tooMuch(`the arguments are larger than ${MAPPED_ARGS_BYTES_MAX / 1024} KiB`)
}

function tooMuch(problem: string): Refused {
  return new Refused('unrepresentable_argument', problem)
}

function object(value: Json, at: string): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw unfitting(at, 'must be an object')
}

function array(value: Json, at: string): readonly Json[] {
  if (Array.isArray(value)) return value
  throw unfitting(at, 'must be an array')
}
