// Owns what a server says of itself in `initialize` and `server/discover`, and how long a client may keep what was
// decided for it alone.
import type { JsonObject } from '../../../schemas/strict-json.ts'
import type { Inbound } from '../inbound/receive.ts'
import { LIST_TTL_MS_MAX } from '../limits.ts'

const DESCRIBING: ReadonlySet<string> = new Set(['initialize', 'server/discover', 'http:get'])

/**
 * Without `instructions` unless they may pass: they are for a model, and nobody reviewed them. A description is decided
 * for one caller: no cache may give it to another, nor keep it for long.
 */
export function describe(
  result: JsonObject,
  { method, era }: Pick<Inbound, 'method' | 'era'>,
  passesInstructions: boolean,
): JsonObject {
  const cached = method === 'server/discover' ? caching(result, era) : privately(result)
  if (passesInstructions || !DESCRIBING.has(method) || !('instructions' in cached)) return cached
  const { instructions: _, ...rest } = cached
  return rest
}

/** Nothing is for everybody that was decided for one. */
function privately(result: JsonObject): JsonObject {
  const scope = result['cacheScope']
  return scope === undefined || scope === 'private' ? result : { ...result, cacheScope: 'private' }
}

/** Good for one caller, and for LIST_TTL_MS_MAX at most. */
export function caching(result: JsonObject, era: Inbound['era']): JsonObject {
  const ttl = result['ttlMs']
  const kept = typeof ttl === 'number' ? Math.min(ttl, LIST_TTL_MS_MAX) : 0
  return {
    ...result,
    ...(era === 'modern' || 'cacheScope' in result ? { cacheScope: 'private' } : {}),
    ...(ttl === undefined ? {} : { ttlMs: kept }),
  }
}
