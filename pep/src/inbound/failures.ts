// Owns how many requests of one source may fail to authenticate: beyond it nobody is asked whose they are. Never holds up
// a token that is known already.
import { hash } from 'node:crypto'
import { RateLimiterMemory } from 'rate-limiter-flexible'
import { AUTH_FAILURES_MAX, AUTH_FAILURES_MS, DECIDE_TIMEOUT_MS } from '../../../schemas/limits.ts'
import { sourceKey } from '../../../schemas/source-key.ts'
import { GatewayError } from '../gateway-error.ts'
import { FAILING_SOURCES_MAX } from '../limits.ts'
import type { Monotonic } from '../ports.ts'

export type Failures = {
  /**
   * Makes the attempt and counts it if it ends unauthenticated. Throws too_many_failures, without the attempt, beyond
   * AUTH_FAILURES_MAX within AUTH_FAILURES_MS. Attempts under way count as if they failed: one that might be one too many
   * waits for them, up to DECIDE_TIMEOUT_MS, then pdp_unavailable is thrown.
   */
  readonly guard: <T>(address: string | undefined, attempt: () => Promise<T>) => Promise<T>
}

/** Of one source: requests that are in here, attempts under way among them, and who waits. */
type Source = { inside: number; underWay: number; readonly waiting: (() => void)[] }

/**
 * Sources share FAILING_SOURCES_MAX counts by a digest that nobody can foresee (`salt` is secret), so that many sources
 * cost no more memory than that.
 */
export function createFailures(salt: string, monotonic: Monotonic): Failures {
  const limiter = new RateLimiterMemory({
    points: AUTH_FAILURES_MAX,
    duration: AUTH_FAILURES_MS / 1000,
  })
  const sources = new Map<number, Source>()
  const enter = async (key: number, source: Source): Promise<void> => {
    for (const since = monotonic(); ; ) {
      const counted = await limiter.get(key)
      const msLeft = counted?.msBeforeNext ?? 0
      const failed = msLeft > 0 ? (counted?.consumedPoints ?? 0) : 0
      if (failed >= AUTH_FAILURES_MAX) throw tooMany(msLeft)
      if (monotonic() - since >= DECIDE_TIMEOUT_MS)
        throw new GatewayError('pdp_unavailable', 'too many of this source wait for the PDP')
      if (failed + source.underWay < AUTH_FAILURES_MAX) break
      await new Promise<void>((resolve) => source.waiting.push(resolve))
    }
    source.underWay += 1
  }
  const count = async <T>(key: number, source: Source, attempt: () => Promise<T>): Promise<T> => {
    try {
      return await attempt()
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'unauthenticated')
        await limiter.penalty(key)
      throw error
    } finally {
      source.underWay -= 1
    }
  }
  return {
    async guard(address, attempt) {
      const key = bucketOf(address, salt)
      const source = sources.get(key) ?? { inside: 0, underWay: 0, waiting: [] }
      sources.set(key, source)
      source.inside += 1
      try {
        await enter(key, source)
        return await count(key, source, attempt)
      } finally {
        // Whoever leaves, admitted or not, lets the next one look.
        source.waiting.shift()?.()
        source.inside -= 1
        if (source.inside === 0) sources.delete(key)
      }
    },
  }
}

function bucketOf(address: string | undefined, salt: string): number {
  const digest = hash('sha256', `${salt} ${sourceKey(address)}`, 'buffer')
  return digest.readUInt32BE(0) % FAILING_SOURCES_MAX
}

function tooMany(msLeft: number): GatewayError {
  return new GatewayError('too_many_failures', 'too many requests of this source failed', {
    retryAfterMs: msLeft,
  })
}
