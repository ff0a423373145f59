// Owns the benchmark `credentials`: what a credential adds to an allow, and that many calls on one expired token ask the
// authorization server once.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createKeys } from '../../../pdp/src/keys/keys.ts'
import { startAuthorizationServer } from '../../harness/authorization-server.ts'
import { startCluster } from '../../harness/postgres.ts'
import { createDatabase } from '../gateway/services.ts'
import { type InProcessPdp, openInProcessPdp } from '../in-process-pdp.ts'
import type { Bench, BenchOptions, Figures, Goal } from '../registry.ts'
import { type Allows, measureAllows, measureMask, type Percentiles } from './allows.ts'
import { type Expired, measureExpired } from './expired.ts'
import { FULL, QUICK } from './plan.ts'
import { openAsker, writeBenchBundle } from './setting.ts'

export const credentialsBench: Bench = {
  name: 'credentials',
  about: 'what a credential adds to an allow; 500 calls on one expired token at two PDPs',
  run,
}

const ADDED_US_MAX = 30

async function run({ quick, say }: BenchOptions): Promise<Figures> {
  const plan = quick ? QUICK : FULL
  /** What ends what was started, in the order it was started. */
  const ending: (() => unknown)[] = []
  try {
    const home = await mkdtemp(join(tmpdir(), 'cedargate-bench-'))
    ending.push(() => rm(home, { recursive: true, force: true }))
    const cluster = await startCluster({ durable: true })
    ending.push(cluster.stop)
    const as = await startAuthorizationServer()
    ending.push(as.stop)
    as.lifetimeSeconds = 3_600
    const place = {
      directory: join(home, 'bundle'),
      keys: join(home, 'keys'),
      database: await createDatabase(cluster.url, 'bench_credentials'),
    }
    await createKeys(place.keys)
    await writeBenchBundle(place.directory, as.issuer)
    const pdps: InProcessPdp[] = []
    for (let count = 0; count < 2; count++) {
      const pdp = await openInProcessPdp(place)
      ending.push(pdp.stop)
      pdps.push(pdp)
    }
    const asker = await openAsker(pdps, as.issuer)
    await asker.renew()
    say(`${plan.decisions} allows of each kind`)
    const allows = await measureAllows(asker, plan)
    const maskUsPerKiB = await measureMask(asker, 'header', plan)
    const maskTokenUsPerKiB = await measureMask(asker, 'account', plan)
    say(`${plan.concurrent} calls on one expired token, ${plan.rounds} times`)
    const expired = await measureExpired(as, asker, plan)
    const figures = { plan, ...allows, maskUsPerKiB, maskTokenUsPerKiB, expired }
    say(JSON.stringify(figures, null, 2))
    return { ...figures, goals: goalsOf(allows, expired) }
  } finally {
    for (const end of ending.toReversed()) await end()
  }
}

function goalsOf({ allowUs }: Allows, { tokenRequests, refused }: Expired): Goal[] {
  const wrong = tokenRequests.filter((count) => count !== 1).length
  return [
    { name: 'µs that a static credential adds to an allow, at PDP and PEP, p50', value: added(allowUs.header, allowUs.none), most: ADDED_US_MAX },
    { name: 'µs that cached client credentials add to an allow, at PDP and PEP, p50', value: added(allowUs.client, allowUs.none), most: ADDED_US_MAX },
    { name: 'µs that the cached token of an account adds to an allow, at PDP and PEP, p50', value: added(allowUs.account, allowUs.none), most: ADDED_US_MAX },
    { name: 'times that an expired token was not asked for exactly once', value: wrong, most: 0 },
    { name: 'calls on an expired token that were not allowed', value: refused, most: 0 },
  ] // biome-ignore format: one goal a line
}

function added({ p50 }: Percentiles, none: Percentiles): number {
  return p50 - none.p50
}
