// Owns that what is good once is taken once by this process. Another PDP does not know of it: there the authorization
// server, which takes a code once, refuses.
import { CONNECT_LIFETIME_MS, CONNECTS_REMEMBERED_MAX } from '../../../../schemas/limits.ts'
import type { Clock } from '../../../../schemas/ports.ts'

/** Whether it is the first time within CONNECT_LIFETIME_MS. */
export function openOnce(clock: Pick<Clock, 'monotonic'>): (name: string) => boolean {
  const taken = new Map<string, number>()
  return function once(name) {
    const now = clock.monotonic()
    for (const [old, at] of taken) {
      if (now - at < CONNECT_LIFETIME_MS && taken.size < CONNECTS_REMEMBERED_MAX) break
      taken.delete(old)
    }
    if (taken.has(name)) return false
    taken.set(name, now)
    return true
  }
}
