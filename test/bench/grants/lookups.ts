// Owns measuring what it costs to find a grant that is remembered, with all of them remembered, in this process: beside it
// the bare look into a Map of as many.
import { systemClock } from '../../../pdp/src/main.ts'
import { openPostgres } from '../../../pdp/src/store/open.ts'
import { openTestIdentity } from '../../harness/identity.ts'
import { quantile } from '../streams/plan.ts'
import type { Plan } from './plan.ts'
import { grantId, tokenDigest } from './stored.ts'

export type Lookups = {
  readonly remembered: number
  readonly resolveUs: Percentiles
  readonly bareUs: Percentiles
}
export type Percentiles = { readonly p50: number; readonly p99: number }

const AT_ONCE = 1_000

export async function measureLookups(
  database: string,
  { grants, revocations, lookups }: Plan,
): Promise<Lookups> {
  const store = await openPostgres(database)
  const identity = openTestIdentity(store, systemClock)
  await identity.feed.start()
  try {
    const { resolveGrants } = identity.resolver
    const digests = Array.from({ length: grants - revocations }, (_, at) =>
      tokenDigest(at + revocations),
    )
    const bare = new Map<string, string>()
    for (let from = 0; from < digests.length; from += AT_ONCE) {
      const found = await resolveGrants(digests.slice(from, from + AT_ONCE))
      for (const [digest, { id }] of found) bare.set(digest, id)
    }
    if (bare.size !== digests.length) throw new Error(`${bare.size} grants are remembered`)
    const asked = Array.from({ length: lookups }, () => Math.floor(Math.random() * digests.length))
    const resolveUs = await timed(asked, async (at) => {
      const digest = digests[at] ?? ''
      return (await resolveGrants([digest])).get(digest)?.id === grantId(at + revocations)
    })
    const bareUs = await timed(asked, async (at) => {
      return bare.get(digests[at] ?? '') === grantId(at + revocations)
    })
    return { remembered: bare.size, resolveUs, bareUs }
  } finally {
    await identity.feed.stop()
    await store.close()
  }
}

/** Whoever resolves without a look that is fresh makes one, and throws when there is none. */

/** Throws when one of them answers false. */
async function timed(
  asked: readonly number[],
  find: (at: number) => Promise<boolean>,
): Promise<Percentiles> {
  const times: number[] = []
  for (const at of asked) {
    const from = performance.now()
    const isRight = await find(at)
    times.push((performance.now() - from) * 1_000)
    if (!isRight) throw new Error('another grant was found')
  }
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) }
}
