// Owns asking somebody else once for all who want to know, and not again for a while: whoever makes us ask must not make us
// ask often. A failure is held, too, for less long.
import { OAUTH_FAILURE_AGE_MS_MAX, OAUTH_METADATA_AGE_MS_MAX } from '../../../../schemas/limits.ts'
import type { Clock } from '../../../../schemas/ports.ts'

/** What `ask` answers, or answered for that key lately. */
export type Held<Value> = (key: string, ask: () => Promise<Value>) => Promise<Value>

type Entry<Value> = { readonly value: Promise<Value>; readonly at: number; maxAgeMs: number }

/** `max` keys at most: the oldest goes first. */
export function openHeld<Value>(clock: Pick<Clock, 'monotonic'>, max: number): Held<Value> {
  const entries = new Map<string, Entry<Value>>()
  return function held(key, ask) {
    const now = clock.monotonic()
    const before = entries.get(key)
    if (before !== undefined && now - before.at < before.maxAgeMs) return before.value
    const entry = { value: ask(), at: now, maxAgeMs: OAUTH_METADATA_AGE_MS_MAX }
    entries.delete(key)
    entries.set(key, entry)
    const [oldest] = entries.keys()
    if (entries.size > max && oldest !== undefined) entries.delete(oldest)
    entry.value.catch(() => {
      entry.maxAgeMs = clock.monotonic() - now + OAUTH_FAILURE_AGE_MS_MAX
    })
    return entry.value
  }
}
