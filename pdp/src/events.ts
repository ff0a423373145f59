// Owns telling PEPs what changed while their streams are open. Acceleration only: no promise rests on an event arriving.
import type { PepEvent } from '../../schemas/pep-api.ts'
import type { Clock } from '../../schemas/ports.ts'
import type { RevokedGrant } from './identity/grants.ts'

export type Events = {
  /** Calls back for each event until the signal aborts. */
  readonly subscribe: (onEvent: (event: PepEvent) => void, signal: AbortSignal) => void
  readonly stop: () => void
}

type Ports = {
  readonly revokedSince: (since: number) => Promise<readonly RevokedGrant[]>
  /** Calls back with each bundle that becomes active, until the signal aborts. */
  readonly activated: (onActivated: (bundle: string) => void, signal: AbortSignal) => void
  readonly clock: Clock
  readonly onFailure: (error: unknown) => void
}

/** How often other PDPs' revocations are looked for; with GRANT_AGE_MS_MAX well inside the promised second. */
const POLL_INTERVAL_MS = 250
/** Looked back at each poll: clocks of PDPs differ, and a revocation may commit after it was stamped. */
const OVERLAP_MS = 5_000

export function watchEvents({ revokedSince, activated, clock, onFailure }: Ports): Events {
  const subscribers = new Set<(event: PepEvent) => void>()
  const told = new Map<string, number>()
  const poll = async (): Promise<void> => {
    if (subscribers.size === 0) return
    const horizon = clock.now() - OVERLAP_MS
    for (const { id, revokedAt } of await revokedSince(horizon)) {
      if (told.has(id)) continue
      told.set(id, revokedAt)
      for (const tell of subscribers) tell({ kind: 'revoked', grant: id })
    }
    for (const [id, revokedAt] of told) if (revokedAt < horizon - OVERLAP_MS) told.delete(id)
  }
  let running = false
  const timer = setInterval(() => {
    if (running) return
    running = true
    void poll()
      .catch(onFailure)
      .finally(() => {
        running = false
      })
  }, POLL_INTERVAL_MS)
  timer.unref()
  const stopping = new AbortController()
  activated((bundle) => {
    for (const tell of subscribers) tell({ kind: 'bundle', bundle })
  }, stopping.signal)
  return {
    subscribe: (onEvent, signal) => {
      subscribers.add(onEvent)
      signal.addEventListener('abort', () => subscribers.delete(onEvent), { once: true })
    },
    stop: () => {
      clearInterval(timer)
      stopping.abort()
    },
  }
}
