// Owns walking one JSON Schema without getting lost in it: own members only, local `$ref`s, and an end to recursion
// and to schemas that grow as they are expanded. Never reads what a schema means, never fetches one.
import { JSON_DEPTH_MAX, SCHEMA_NODES_MAX } from '../../../schemas/limits.ts'

/** Schemas that contain each other, or refer on to each other, at one place of a walk. */
const OPEN_MAX = 2 * JSON_DEPTH_MAX

/** One walk over the schema of one definition. Counts every schema that is entered, each time anew. */
export class SchemaWalk {
  readonly #root: unknown
  readonly #open = new Set<object>()
  #entered = 0

  constructor(root: unknown) {
    this.#root = root
  }

  /**
   * What `visit` makes of `schema`, or `otherwise`: where it is no object, lies within itself, or more than
   * SCHEMA_NODES_MAX have been entered.
   */
  enter<Found>(schema: unknown, otherwise: Found, visit: (schema: object) => Found): Found {
    if (!isObject(schema) || this.#open.has(schema)) return otherwise
    if (this.#open.size >= OPEN_MAX || this.#entered >= SCHEMA_NODES_MAX) return otherwise
    this.#entered++
    this.#open.add(schema)
    const found = visit(schema)
    this.#open.delete(schema)
    return found
  }

  /** What `#/$defs/x` names; undefined when it is remote, no JSON pointer (RFC 6901 §6), or leads nowhere. */
  resolve(ref: string): unknown {
    const pointer = ref.startsWith('#') ? decoded(ref.slice(1)) : undefined
    if (pointer === undefined || /~(?![01])/.test(pointer)) return undefined
    const [first, ...segments] = pointer.split('/')
    if (first !== '') return undefined
    return segments.reduce<unknown>((at, segment) => {
      const name = segment.replaceAll('~1', '/').replaceAll('~0', '~')
      return typeof at === 'object' && at !== null ? own(at, name) : undefined
    }, this.#root)
  }
}

function decoded(fragment: string): string | undefined {
  try {
    return decodeURIComponent(fragment)
  } catch {
    // Not a URI fragment, so it names nothing.
    return undefined
  }
}

export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Own members only: a schema that lacks `type` must not find one on Object.prototype. */
export function own(of: object, name: string): unknown {
  return Object.getOwnPropertyDescriptor(of, name)?.value
}
