// Owns when the PEP looks at a server as one of its callers sees it: where the credential is the caller's own, the
// gateway's look cannot be had, or does not show what this caller has. What is seen counts for that caller alone.
import type { Inbound } from './inbound/receive.ts'
import {
  CALLER_DENIED_COOLDOWN_MS,
  CALLER_LOOK_INTERVAL_MS,
  CALLER_LOOKS_AT_ONCE_MAX,
  CALLERS_LOOKED_FOR_MAX,
  DISCOVERY_COOLDOWN_MS,
} from './limits.ts'
import type { Monotonic } from './ports.ts'

export type CallerLooks = {
  /**
   * Looks with the token of this message, once for all that wait for the same caller. Resolves at once, without a look,
   * within DISCOVERY_COOLDOWN_MS of the last one (CALLER_DENIED_COOLDOWN_MS, where that was denied), and beyond
   * CALLER_LOOKS_AT_ONCE_MAX. Never rejects.
   */
  readonly look: (as: Inbound) => Promise<void>
  /** A list of its own showed this caller what there is. */
  readonly shown: (grant: string | null) => void
  /** What was seen for this caller may be another thing now: CALLER_LOOK_INTERVAL_MS are over, or the server said so. */
  readonly isStale: (grant: string | null) => boolean
  /** The server says that its tools changed. */
  readonly changed: () => void
}

type Caller = { lookedAt: number; cooldownMs: number; looking: Promise<void> | undefined }

/** Of one server. `lookAs` answers whether it was allowed to look, and must not reject. The callers of longest ago are forgotten beyond CALLERS_LOOKED_FOR_MAX. */
export function createCallerLooks(
  monotonic: Monotonic,
  lookAs: (as: Inbound) => Promise<boolean>,
): CallerLooks {
  const callers = new Map<string, Caller>()
  let changedAt = Number.NEGATIVE_INFINITY
  let underWay = 0
  const callerOf = (grant: string): Caller => {
    const caller = callers.get(grant) ?? neverLookedFor()
    callers.delete(grant)
    callers.set(grant, caller)
    const [oldest] = callers.keys()
    if (callers.size > CALLERS_LOOKED_FOR_MAX && oldest !== undefined) callers.delete(oldest)
    return caller
  }
  const begin = async (as: Inbound, caller: Caller): Promise<void> => {
    underWay += 1
    const isAllowed = await lookAs(as)
    underWay -= 1
    caller.cooldownMs = isAllowed ? DISCOVERY_COOLDOWN_MS : CALLER_DENIED_COOLDOWN_MS
    caller.lookedAt = monotonic()
    caller.looking = undefined
  }
  return {
    async look(as) {
      if (as.grant === null) return
      const caller = callerOf(as.grant)
      const isCooling = monotonic() - caller.lookedAt < caller.cooldownMs
      if (caller.looking === undefined && (isCooling || underWay >= CALLER_LOOKS_AT_ONCE_MAX))
        return
      caller.looking ??= begin(as, caller)
      await caller.looking
    },
    shown(grant) {
      if (grant !== null) callerOf(grant).lookedAt = monotonic()
    },
    isStale(grant) {
      const caller = grant === null ? undefined : callers.get(grant)
      if (caller === undefined) return false
      return caller.lookedAt < Math.max(monotonic() - CALLER_LOOK_INTERVAL_MS, changedAt)
    },
    changed() {
      changedAt = monotonic()
    },
  }
}

function neverLookedFor(): Caller {
  return {
    lookedAt: Number.NEGATIVE_INFINITY,
    cooldownMs: DISCOVERY_COOLDOWN_MS,
    looking: undefined,
  }
}
