// Owns what a policy sees of a server that asks the person for something (`elicitation/create`). Pure. What the person
// answers, and what a page at the URL asks for, is NOT seen.
import { SET_ELEMENTS_MAX } from '../../../schemas/limits.ts'
import type { Json, JsonObject } from '../../../schemas/strict-json.ts'
import { readsLikeSecret } from '../catalog/secret-cues.ts'
import { urlHost } from './domains.ts'
import { isObject, own } from './json.ts'
import { Refused, unfitting, unrepresentable } from './refusal.ts'
import { stringText } from './scalar-text.ts'

/** Attribute name → JSON text, as bundle/schema.ts types them. Throws Refused. */
export function elicitationTexts(params: JsonObject | undefined): ReadonlyMap<string, string> {
  if (params === undefined) throw new Refused('invalid_request', '`params` must be an object')
  const given = own(params, 'mode')
  const mode = given === undefined ? 'form' : given
  if (mode !== 'form' && mode !== 'url') {
    throw new Refused('invalid_request', '`mode` must be `form` or `url`')
  }
  const names = fieldNames(params)
  if (names.length > SET_ELEMENTS_MAX) {
    throw unrepresentable('/requestedSchema', `has more than ${SET_ELEMENTS_MAX} properties`)
  }
  return new Map([
    ['mode', JSON.stringify(mode)],
    ...urlTexts(own(params, 'url'), mode),
    ['fields', `[${names.map((name) => stringText(name, '/requestedSchema')).join(',')}]`],
    ['asksSecret', String(asksSecret(params))],
  ])
}

function urlTexts(url: Json | undefined, mode: 'form' | 'url'): [string, string][] {
  if (url === undefined && mode === 'form') return []
  if (typeof url !== 'string') throw unfitting('/url', 'must be a string')
  const host = urlHost(url)
  if (!host.ok) throw unrepresentable('/url', host.problem)
  return [
    ['url', stringText(url, '/url')],
    ['url_host', JSON.stringify(host.domain)],
  ]
}

function fieldNames(params: JsonObject): string[] {
  const properties = own(own(params, 'requestedSchema'), 'properties')
  return isObject(properties) ? Object.keys(properties) : []
}

/**
 * Whether the question reads as if it asked for a secret, by its message and by name, title, description and format of
 * each property. True of one that cannot be read: a form without properties, a property that is not of one of the plain
 * types that a form may have. The choices that a property offers are NOT looked at: nobody types them.
 */
export function asksSecret(params: JsonObject): boolean {
  const schema = own(params, 'requestedSchema')
  const isForm = own(params, 'mode') !== 'url' || schema !== undefined
  const said = [textOf(params, 'message', 'required'), ...(isForm ? schemaTexts(schema) : [])]
  const texts = said.flatMap((text) => text ?? [])
  return texts.length < said.length || readsLikeSecret(texts)
}

/** null: something that cannot be read. */
type Said = string | null

const PLAIN: ReadonlySet<unknown> = new Set(['string', 'number', 'integer', 'boolean', 'array'])
/** Keywords that would let a property hold more than it shows. */
const NESTING = ['$ref', '$dynamicRef', 'allOf', 'not', 'if', 'then', 'else', 'properties', 'patternProperties', 'prefixItems', 'contains', 'dependentSchemas'] // biome-ignore format: a list

function schemaTexts(schema: Json | undefined): Said[] {
  const properties = own(schema, 'properties')
  if (!isObject(schema) || !isObject(properties)) return [null]
  const nested = [...NESTING, 'anyOf', 'oneOf'].filter((name) => name !== 'properties')
  return [
    ...describing(schema),
    ...(holdsAny(schema, nested) ? [null] : []),
    ...Object.entries(properties).flatMap(([name, property]) => [name, ...propertyTexts(property)]),
  ]
}

function propertyTexts(property: Json): Said[] {
  if (!isObject(property) || !PLAIN.has(own(property, 'type'))) return [null]
  const items = own(property, 'items')
  const isList = own(property, 'type') === 'array'
  const plain = !holdsAny(property, NESTING) && offersChoices(property)
  const listed = !isList || (isObject(items) && isChoice(items))
  return [...describing(property), ...(plain && listed ? [] : [null])]
}

function describing(schema: JsonObject): Said[] {
  const texts = [textOf(schema, 'title'), textOf(schema, 'description')]
  const format = own(schema, 'format')
  return format === undefined ? texts : [...texts, textOf(schema, 'format')]
}

/** Elements of a list are picked among values, never typed. */
function isChoice(items: JsonObject): boolean {
  const named = ['enum', 'anyOf', 'oneOf'].some((name) => Array.isArray(own(items, name)))
  return named && offersChoices(items) && !holdsAny(items, NESTING)
}

/** Whether `oneOf` and `anyOf`, where there are any, name constants only. */
function offersChoices(schema: JsonObject): boolean {
  return ['oneOf', 'anyOf'].every((name) => {
    const options = own(schema, name)
    if (options === undefined) return true
    return Array.isArray(options) && options.every((it) => own(it, 'const') !== undefined)
  })
}

function holdsAny(schema: JsonObject, names: readonly string[]): boolean {
  return names.some((name) => Object.hasOwn(schema, name))
}

/** '' where there is none and none is required. */
function textOf(from: JsonObject, name: string, required?: 'required'): Said {
  const value = own(from, name)
  if (value === undefined) return required === undefined ? '' : null
  return typeof value === 'string' ? value : null
}
