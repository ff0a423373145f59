// Owns looking into JSON that somebody else wrote: own members only, never what an object inherits. Pure.
import type { Json, JsonObject } from '../../../schemas/strict-json.ts'

/** undefined: `from` is no object, or has no such member of its own. */
export function own(from: Json | undefined, name: string): Json | undefined {
  return isObject(from) && Object.hasOwn(from, name) ? from[name] : undefined
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
