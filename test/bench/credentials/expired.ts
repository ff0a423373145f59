// Owns measuring what many calls on one expired token do at two PDPs: how often the authorization server is asked, and how
// long the calls wait.
import { setTimeout as sleep } from 'node:timers/promises'
import type { AuthorizationServer } from '../../harness/authorization-server.ts'
import type { Plan } from './plan.ts'
import type { Asker } from './setting.ts'

export type Expired = {
  /** Of each round. */
  readonly tokenRequests: readonly number[]
  /** Calls that were not allowed, of all rounds. */
  readonly refused: number
  /** From the first call to the last answer, of each round, in ms. */
  readonly tookMs: readonly number[]
}

/** Seconds: it is over before the calls come. */
const SHORT = 1
const LONG = 3_600

export async function measureExpired(
  as: AuthorizationServer,
  asker: Asker,
  { concurrent, rounds, tokenDelayMs }: Plan,
): Promise<Expired> {
  const tokenRequests: number[] = []
  const tookMs: number[] = []
  let refused = 0
  as.tokenDelayMs = tokenDelayMs
  for (let round = 0; round < rounds; round++) {
    as.lifetimeSeconds = SHORT
    await asker.renew()
    await sleep(1_500 * SHORT)
    as.lifetimeSeconds = LONG
    const before = as.tokenRequests.length
    const began = performance.now()
    const calls = Array.from({ length: concurrent }, (_, index) =>
      asker.decide(index % 2, asker.call('client')),
    )
    const results = (await Promise.all(calls)) as { readonly decision?: string }[]
    tookMs.push(performance.now() - began)
    await sleep(1_000) // What comes later would be asked in vain, too.
    tokenRequests.push(as.tokenRequests.length - before)
    refused += results.filter(({ decision }) => decision !== 'allow').length
  }
  return { tokenRequests, refused, tookMs }
}
