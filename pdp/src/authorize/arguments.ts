// Owns mapping the arguments of one call to Cedar: JSON in, the JSON text of `context.args` out. Pure and total.
// Never repairs or rounds a value, and never puts one into a message.
import { hash } from 'node:crypto'
import type { VerdictCode } from '../../../schemas/codes.ts'
import { MAPPED_ARGS_BYTES_MAX, SET_ELEMENTS_MAX } from '../../../schemas/limits.ts'
import type { Json, JsonObject } from '../../../schemas/strict-json.ts'
import type { Property, RecordType, Scalar } from './argument-types.ts'
import { liftedName } from './argument-types.ts'
import { directoriesAbove, normalisePath } from './paths.ts'
import type { Derived, VariantArguments } from './tool-arguments.ts'
import { withinName } from './tool-arguments.ts'

/** One more than this is a new mapper: replayed decisions name the one that made their context. */
export const MAPPER_VERSION = 'cedargate-mapper/1'

/** Characters of an argument's path in a message. */
const SHOWN_MAX = 96

type MapCode = Extract<
  VerdictCode,
  'unknown_argument' | 'unrepresentable_argument' | 'invalid_request'
>

/** `attributes`: attribute name → JSON text. `nulls`: JSON pointers of what was null, and so left out. */
export type MappedArguments =
  | {
      readonly ok: true
      readonly attributes: ReadonlyMap<string, string>
      readonly nulls: readonly string[]
    }
  | { readonly ok: false; readonly code: MapCode; readonly detail: string }

/** Thrown inside this file only, to leave a deep walk; mapArguments turns it into a value. */
class Refused extends Error {
  readonly code: MapCode
  constructor(code: MapCode, detail: string) {
    super(detail)
    this.code = code
  }
}

/**
 * Maps `unverified` by the types of one reviewed variant. Refuses with `unknown_argument` what is not declared,
 * `unrepresentable_argument` what Cedar cannot hold exactly, `invalid_request` a wrong type or a missing argument.
 * Does NOT check formats, ranges, patterns or enumerations: those are the server's own.
 */
export function mapArguments(variant: VariantArguments, unverified: JsonObject): MappedArguments {
  const nulls: string[] = []
  try {
    const attributes = new Map(mapRecord(variant.type, unverified, '', nulls))
    for (const derived of variant.derived) derive(derived, unverified, attributes)
    checkSize(attributes)
    return { ok: true, attributes, nulls }
  } catch (error) {
    if (error instanceof Refused) return { ok: false, code: error.code, detail: error.message }
    throw error
  }
}

/** `context.argsMeta`: of the exact text of the arguments ('' when there are none). Empty sets are left out. */
export function argumentsMeta(text: string, nulls: readonly string[]): ReadonlyMap<string, string> {
  const meta = new Map([
    ['sha256', `"${hash('sha256', text)}"`],
    ['bytes', String(Buffer.byteLength(text))],
  ])
  if (nulls.length > 0) meta.set('nulls', JSON.stringify(nulls))
  return meta
}

type Entry = readonly [string, string]
type Visit = (property: Property, value: NonNullable<Json>, at: string) => void

/** Calls `visit` for every declared property that has a value; refuses what is missing or not declared. */
function eachProperty(
  type: RecordType,
  value: JsonObject,
  at: string,
  nulls: string[],
  visit: Visit,
): void {
  let declared = 0
  for (const property of type.properties) {
    const present = Object.hasOwn(value, property.name)
    if (present) declared++
    const given = present ? value[property.name] : undefined
    const path = `${at}/${pointerSegment(property.name)}`
    if (given !== undefined && given !== null) visit(property, given, path)
    else if (property.required && !(given === null && property.nullable)) {
      throw new Refused('invalid_request', `argument ${shown(path)} is required`)
    } else if (given === null) nulls.push(path)
  }
  if (declared < Object.keys(value).length) refuseUndeclared(type, value, at)
}

function refuseUndeclared(type: RecordType, value: JsonObject, at: string): never {
  const names = new Set(type.properties.map((property) => property.name))
  const unknown = Object.keys(value).find((name) => !names.has(name)) ?? ''
  const path = shown(`${at}/${pointerSegment(unknown)}`)
  throw new Refused('unknown_argument', `argument ${path} is not in the reviewed definition`)
}

function mapRecord(type: RecordType, value: JsonObject, at: string, nulls: string[]): Entry[] {
  const entries: Entry[] = []
  eachProperty(type, value, at, nulls, (property, given, path) => {
    entries.push(...mapProperty(property, given, path, nulls))
  })
  return entries
}

function mapProperty({ name, type }: Property, value: Json, at: string, nulls: string[]): Entry[] {
  switch (type.kind) {
    case 'scalar':
      return [[name, scalarText(type.scalar, value, at)]]
    case 'set':
      return [[name, setText(elementTexts(type.element, value, at), at)]]
    case 'record':
      return [[name, recordText(mapRecord(type, object(value, at), at, nulls))]]
    case 'rows': {
      const sets = new Map(type.lifted.map((leaf) => [liftedName(name, leaf.name), [] as string[]]))
      collectRows(type.row, value, at, { prefix: name, nulls, sets })
      return [...sets].map(([leaf, texts]) => [leaf, setText(texts, at)])
    }
    default:
      throw opaque(at)
  }
}

/** Where the leaves of rows go. Every leaf has its set, if only an empty one. */
type Collected = {
  readonly prefix: string
  readonly nulls: string[]
  readonly sets: ReadonlyMap<string, string[]>
}

function collectRows(row: RecordType, value: Json, at: string, into: Collected): void {
  for (const [index, item] of array(value, at).entries()) {
    collectRow(row, object(item, `${at}/${index}`), `${at}/${index}`, into)
  }
}

function collectRow(row: RecordType, value: JsonObject, at: string, into: Collected): void {
  eachProperty(row, value, at, into.nulls, ({ name, type }, given, path) => {
    const leaf = liftedName(into.prefix, name)
    switch (type.kind) {
      case 'scalar':
        into.sets.get(leaf)?.push(scalarText(type.scalar, given, path))
        break
      case 'set':
        into.sets.get(leaf)?.push(...elementTexts(type.element, given, path))
        break
      case 'record':
        collectRow(type, object(given, path), path, { ...into, prefix: leaf })
        break
      case 'rows':
        collectRows(type.row, given, path, { ...into, prefix: leaf })
        break
      case 'opaque':
        throw opaque(path)
    }
  })
}

function derive(derived: Derived, from: JsonObject, into: Map<string, string>): void {
  const { argument, name, root } = derived
  const given = Object.hasOwn(from, argument) ? from[argument] : undefined
  if (given === undefined || given === null) return
  const at = `/${pointerSegment(argument)}`
  if (!Array.isArray(given)) return void into.set(name, JSON.stringify(normalised(given, root, at)))
  const paths = given.map((item, index) => normalised(item, root, `${at}/${index}`))
  into.set(name, JSON.stringify(paths))
  into.set(withinName(derived), JSON.stringify(directoriesAbove(paths)))
}

/** The types have been checked by then: every path is a string. */
function normalised(value: Json, root: string, at: string): string {
  const answer = normalisePath(value as string, root)
  if (answer.ok) return answer.path
  throw new Refused('unrepresentable_argument', `argument ${shown(at)} ${answer.problem}`)
}

function elementTexts(element: Scalar, value: Json, at: string): string[] {
  return array(value, at).map((item, index) => scalarText(element, item, `${at}/${index}`))
}

function setText(texts: readonly string[], at: string): string {
  if (texts.length <= SET_ELEMENTS_MAX) return `[${texts.join(',')}]`
  throw new Refused(
    'unrepresentable_argument',
    `argument ${shown(at)} has more than ${SET_ELEMENTS_MAX} elements`,
  )
}

/** `{"name":text,…}` of texts that are JSON already. */
export function recordText(entries: Iterable<Entry>): string {
  return `{${Array.from(entries, ([name, text]) => `${JSON.stringify(name)}:${text}`).join(',')}}`
}

const TYPE_NAMES = {
  String: 'a string',
  Long: 'an integer',
  decimal: 'a number',
  Boolean: 'a boolean',
}

function scalarText(scalar: Scalar, value: Json, at: string): string {
  const text = scalar === 'decimal' || scalar === 'Long' ? numberText(scalar, value, at) : undefined
  if (text !== undefined) return text
  if (scalar === 'Boolean' && typeof value === 'boolean') return String(value)
  if (scalar === 'String' && typeof value === 'string') return stringText(value, at)
  throw new Refused('invalid_request', `argument ${shown(at)} must be ${TYPE_NAMES[scalar]}`)
}

function stringText(value: string, at: string): string {
  if (value.isWellFormed()) return JSON.stringify(value)
  throw new Refused('unrepresentable_argument', `argument ${shown(at)} holds a lone surrogate`)
}

/** undefined: not a number of this type. */
function numberText(scalar: 'Long' | 'decimal', value: Json, at: string): string | undefined {
  if (typeof value !== 'number') return undefined
  if (scalar === 'decimal') return decimalText(value, at)
  if (Number.isSafeInteger(value)) return String(value)
  if (!Number.isInteger(value)) return undefined
  throw new Refused('unrepresentable_argument', `argument ${shown(at)} is not a safe integer`)
}

/** Cedar's decimal: an i64 of ten-thousandths. `String` of a number is its exact shortest form. */
function decimalText(value: number, at: string): string {
  const match = /^(-?)(\d+)(?:\.(\d{1,4}))?$/.exec(String(value))
  const [text, sign = '', whole = '', fraction = ''] = match ?? []
  const units = BigInt(`${whole}${fraction.padEnd(4, '0')}`)
  if (text === undefined || units > 2n ** 63n - 1n) {
    throw new Refused(
      'unrepresentable_argument',
      `argument ${shown(at)} is not exact with four digits after the point`,
    )
  }
  return `"${sign}${whole}.${fraction === '' ? '0' : fraction}"`
}

function checkSize(attributes: ReadonlyMap<string, string>): void {
  if (Buffer.byteLength(recordText(attributes)) <= MAPPED_ARGS_BYTES_MAX) return
  throw new Refused(
    'unrepresentable_argument',
    `the arguments are larger than ${MAPPED_ARGS_BYTES_MAX / 1024} KiB`,
  )
}

function opaque(at: string): Refused {
  return new Refused(
    'unrepresentable_argument',
    `argument ${shown(at)} has no type that a policy could read`,
  )
}

function object(value: Json, at: string): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new Refused('invalid_request', `argument ${shown(at)} must be an object`)
}

function array(value: Json, at: string): readonly Json[] {
  if (Array.isArray(value)) return value
  throw new Refused('invalid_request', `argument ${shown(at)} must be an array`)
}

/** RFC 6901 §3. */
function pointerSegment(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}

/** A pointer for people: names come from the caller, so they are cut and kept on one line. */
function shown(pointer: string): string {
  const text = JSON.stringify(pointer).slice(1, -1)
  return `\`${text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text}\``
}
