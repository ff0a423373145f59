// Owns the last look at a value before it enters wasm: anything that would make cedar-wasm throw is stopped here,
// because about 1,500 throws kill an instance for good. Pure.
import { CEDAR_ESCAPES } from '../../../schemas/cedar.ts'
import { JSON_DEPTH_MAX } from '../../../schemas/limits.ts'

/** Levels that the gateway itself puts around arguments: context, args, a record's own. */
const WRAPPING_LEVELS = 4

/** Why `value`, as JSON.parse gave it, must not be handed to Cedar; undefined when it may. */
export function plainJsonFault(value: unknown): string | undefined {
  return fault(value, JSON_DEPTH_MAX + WRAPPING_LEVELS)
}

function fault(value: unknown, levels: number): string | undefined {
  if (typeof value === 'string') return value.isWellFormed() ? undefined : 'a lone surrogate'
  if (typeof value !== 'object' || value === null) return undefined
  if (levels === 0) return 'nested too deeply'
  for (const key of Object.keys(value)) {
    if (CEDAR_ESCAPES.has(key)) return 'a reserved key'
    if (!key.isWellFormed()) return 'a lone surrogate in a key'
    const found = fault((value as Record<string, unknown>)[key], levels - 1)
    if (found !== undefined) return found
  }
  return undefined
}
