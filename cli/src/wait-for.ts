// Owns waiting for something that somebody else does.
import { setTimeout as sleep } from 'node:timers/promises'

/** Looks every `everyMs` until `look` finds something; undefined where it did not within `atMostMs`. */
export async function waitFor<Found>(
  look: () => Promise<Found | undefined>,
  everyMs: number,
  atMostMs: number,
): Promise<Found | undefined> {
  const deadline = performance.now() + atMostMs
  for (;;) {
    const found = await look()
    if (found !== undefined || performance.now() + everyMs > deadline) return found
    await sleep(everyMs)
  }
}
