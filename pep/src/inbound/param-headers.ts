// Owns the headers `Mcp-Param-*` that a tool's definition asks for (`x-mcp-header`; specification 2026-07-28, Streamable
// HTTP): that they say what the arguments say. Nothing is decided on them.
import type { IncomingHttpHeaders } from 'node:http'
import { type Json, type JsonObject, parseStrictJson } from '../../../schemas/strict-json.ts'
import { GatewayError } from '../gateway-error.ts'
import { decodeHeader } from './header-value.ts'

/** One parameter that a header repeats. */
export type ParamHeader = {
  /** Lower case, with its prefix. */
  readonly header: string
  /** Where the value stands in the arguments. */
  readonly path: readonly string[]
  readonly isNumber: boolean
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const TYPES: ReadonlySet<unknown> = new Set(['string', 'integer', 'boolean', 'number'])

/**
 * The headers that a definition asks for: of properties within properties alone, of primitive type. What is declared
 * otherwise makes the definition invalid, and no client sends it.
 */
export function paramHeadersOf(definition: JsonObject): ParamHeader[] {
  const found: ParamHeader[] = []
  const visit = (schema: Json | undefined, path: readonly string[]): void => {
    if (!isObject(schema)) return
    const { type, properties, 'x-mcp-header': name } = schema
    if (typeof name === 'string' && TOKEN.test(name) && TYPES.has(type)) {
      const isNumber = type === 'integer' || type === 'number'
      found.push({ header: `mcp-param-${name.toLowerCase()}`, path, isNumber })
    }
    if (!isObject(properties)) return
    for (const [key, inner] of Object.entries(properties)) visit(inner, [...path, key])
  }
  visit(definition['inputSchema'], [])
  return found
}

/**
 * Throws header_mismatch where an argument and its header differ, or an argument has none. A header whose argument is
 * null or not there is ignored, as are headers that no definition asks for.
 */
export function checkParamHeaders(
  declared: readonly ParamHeader[],
  params: JsonObject | undefined,
  headers: IncomingHttpHeaders,
): void {
  for (const { header, path, isNumber } of declared) {
    const value = valueAt(params?.['arguments'], path)
    if (value === undefined || value === null || typeof value === 'object') continue
    const said = headers[header]
    if (said === undefined) throw mismatch(`${header} is missing`)
    const text = decodeHeader(String(said))
    const isSame =
      isNumber && typeof value === 'number' ? sameNumber(text, value) : text === String(value)
    if (!isSame) throw mismatch(`${header} differs from the body`)
  }
}

function sameNumber(text: string | undefined, value: number): boolean {
  const isPlain = text !== undefined && /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/.test(text)
  return isPlain && isExact(text) && Number(text) === value
}

/** Whether no other number reads the same here: `42.0` is 42, `9007199254740993` is none of ours. */
function isExact(text: string): boolean {
  return parseStrictJson(text).ok
}

function valueAt(value: Json | undefined, path: readonly string[]): Json | undefined {
  let found = value
  for (const key of path) {
    if (!isObject(found) || !Object.hasOwn(found, key)) return undefined
    found = found[key]
  }
  return found
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function mismatch(message: string): GatewayError {
  return new GatewayError('header_mismatch', message)
}
