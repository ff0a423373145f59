// Owns what single callers were shown of one server's tools where that is not what the gateway saw
// itself: lists may differ by caller, and a caller's calls are decided by what its own list showed.
// Never holds what both saw alike.
import { CALLER_VARIANTS_MAX } from './limits.ts'

export type Variants = {
  /** Fingerprint that decides this caller's calls of the tool; undefined: that of the gateway's own look. */
  readonly of: (grant: string, tool: string) => string | undefined
  /**
   * What a list showed this caller, beside the gateway's own look; null where that has no such
   * tool. Answers whether that is a variant not known of this caller.
   */
  readonly show: (grant: string, tool: string, shown: string, own: string | null) => boolean
  /** Nothing that this caller was shown counts any more. */
  readonly forget: (grant: string) => void
  /**
   * After a look. A reviewed variant ends when the gateway's own look has changed: until the next
   * list nobody knows what this caller would be shown. One that is not reviewed ends when the look
   * saw the same.
   */
  readonly settle: (
    own: ReadonlyMap<string, string>,
    isReviewed: (tool: string, sha256: string) => boolean,
  ) => void
}

type Variant = { readonly shown: string; readonly own: string | null }

/** Up to CALLER_VARIANTS_MAX; the callers that were shown something longest ago are forgotten first. */
export function createVariants(): Variants {
  const callers = new Map<string, Map<string, Variant>>()
  let count = 0
  const drop = (grant: string, tool: string) => {
    const own = callers.get(grant)
    if (own?.delete(tool) !== true) return
    count -= 1
    if (own.size === 0) callers.delete(grant)
  }
  const makeRoom = () => {
    for (const [oldest, variants] of callers) {
      if (count < CALLER_VARIANTS_MAX) return
      callers.delete(oldest)
      count -= variants.size
    }
  }
  return {
    of: (grant, tool) => callers.get(grant)?.get(tool)?.shown,
    show(grant, tool, shown, own) {
      const before = callers.get(grant)?.get(tool)
      drop(grant, tool)
      if (shown === own) return false
      makeRoom()
      const variants = callers.get(grant) ?? new Map<string, Variant>()
      callers.delete(grant)
      callers.set(grant, variants.set(tool, { shown, own }))
      count += 1
      return before?.shown !== shown
    },
    forget(grant) {
      count -= callers.get(grant)?.size ?? 0
      callers.delete(grant)
    },
    settle(own, isReviewed) {
      for (const [grant, variants] of callers) {
        for (const [tool, { shown, own: before }] of variants) {
          const now = own.get(tool) ?? null
          const isOver = isReviewed(tool, shown) ? now !== before : now === shown
          if (isOver) drop(grant, tool)
        }
      }
    },
  }
}
