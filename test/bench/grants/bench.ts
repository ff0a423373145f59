// Owns the benchmark `grants`: how soon a revocation is in force at every PDP and heard at every PEP while they decide,
// and what a grant that is remembered costs to find.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createdPep } from '../../../schemas/admin-api.ts'
import { endCommand } from '../../harness/command.ts'
import { startCluster } from '../../harness/postgres.ts'
import { answers, command, waitFor } from '../gateway/commands.ts'
import { type PdpProcess, signInFirstAdmin, startPdp } from '../gateway/pdp-process.ts'
import { createDatabase } from '../gateway/services.ts'
import type { Bench, BenchOptions, Figures } from '../registry.ts'
import { quantile } from '../streams/plan.ts'
import { BUNDLE, type Enforcer, openEnforcer } from './enforcer.ts'
import { type Load, startLoad } from './load.ts'
import { measureLookups } from './lookups.ts'
import { FULL, type Plan, QUICK } from './plan.ts'
import { grantId, SERVER, storeGrants } from './stored.ts'
import { type Revoked, type Watched, watch } from './watch.ts'

export const grantsBench: Bench = {
  name: 'grants',
  about: 'revocations among 100,000 grants at 4 PDPs under 1,000 decisions a second',
  run,
}

const WAIT_MS = 10_000
const LOOK_MS = 10
const WARM_UP_MS = 5_000
/** What of the load may be missing, in per cent: a question that was asked late. */
const SHORT_MAX = 2

/** What ends what was started, in the order it was started. */
type Ending = (() => unknown)[]
type Setting = {
  readonly plan: Plan
  readonly load: Load
  /** Asked about at every PDP while they are in it. */
  readonly watching: Set<Watched>
  readonly revoke: (index: number) => Promise<void>
}

async function run({ quick, say }: BenchOptions): Promise<Figures> {
  const plan = quick ? QUICK : FULL
  const ending: Ending = []
  try {
    say(`starting PostgreSQL and ${plan.pdps} PDPs; writing ${plan.grants} grants`)
    const cluster = await startCluster({ durable: true })
    ending.push(cluster.stop)
    const database = await createDatabase(cluster.url, 'bench_grants')
    await storeGrants(database, plan.grants)
    const lookups = await measureLookups(database, plan)
    say(`a look-up among ${lookups.remembered}: p50 ${lookups.resolveUs.p50.toFixed(1)} µs`)
    const { load, ...setting } = await start(plan, database, ending)
    say(`revoking ${plan.revocations} grants`)
    const revoking = revokeAll({ plan, load, ...setting })
    await revoking.catch(() => {}) // What went wrong with the load says why.
    const asked = await load.stop()
    say(`${asked.decided} decided, ${asked.wrong} not`)
    for (const problem of asked.firstWrong) say(problem)
    const revoked = await revoking
    const { tookMs, firstWrong: _, ...traffic } = asked
    const spread = (of: keyof Revoked) => spreadOf(revoked.map((one) => one[of]))
    const figures = {
      plan,
      lookups,
      traffic: { ...traffic, perSecond: asked.decided / asked.seconds, tookMs: spreadOf(tookMs) },
      lastAllowMs: spread('lastAllowMs'),
      eventMs: spread('eventMs'),
    }
    say(JSON.stringify(figures, null, 2))
    return { ...figures, goals: goalsOf(figures) }
  } finally {
    for (const end of ending.toReversed()) await end()
  }
}

type Spread = Readonly<Record<'p50' | 'p99' | 'max', number>>
function spreadOf(values: readonly number[]): Spread {
  return { p50: quantile(values, 0.5), p99: quantile(values, 0.99), max: quantile(values, 1) }
}

type Measured = {
  readonly plan: Plan
  readonly lookups: Awaited<ReturnType<typeof measureLookups>>
  readonly traffic: { readonly perSecond: number; readonly wrong: number }
  readonly lastAllowMs: Spread
  readonly eventMs: Spread
}

function goalsOf({ plan, lookups, traffic, lastAllowMs, eventMs }: Measured) {
  const short = 100 * Math.max(0, 1 - traffic.perSecond / plan.perSecond)
  const added = lookups.resolveUs.p50 - lookups.bareUs.p50
  return [
    { name: 'ms from a revocation to the last allow of any PDP, p99', value: lastAllowMs.p99, most: 1_000 },
    { name: 'ms from a revocation to the last allow of any PDP, max', value: lastAllowMs.max, most: 1_000 },
    { name: 'ms from a revocation to the event at the last PEP, p99', value: eventMs.p99, most: 1_000 },
    { name: 'µs that a remembered grant costs over a bare look-up, p50', value: added, most: 20 },
    { name: `% short of ${plan.perSecond} decisions a second`, value: short, most: SHORT_MAX },
    { name: 'answers that were wrong or missing', value: traffic.wrong, most: 0 },
  ] // biome-ignore format: one goal a line
}

/** The PDPs, a PEP's half beside each, and the load on them. */
async function start(plan: Plan, database: string, ending: Ending): Promise<Omit<Setting, 'plan'>> {
  const home = await mkdtemp(join(tmpdir(), 'cedargate-bench-'))
  ending.push(() => rm(home, { recursive: true, force: true }))
  await command(['keys', 'create'], { CEDARGATE_HOME: home })
  const pdps: PdpProcess[] = []
  for (let count = 0; count < plan.pdps; count++) {
    const pdp = await startPdp({ database, bundle: BUNDLE, home, env: {} })
    ending.push(() => endCommand(pdp.service))
    await waitFor(pdp.service, () => answers(`${pdp.url}/readyz`))
    pdps.push(pdp)
  }
  const admin = await adminOf(pdps[0]?.url ?? '', database)
  const { key } = createdPep.parse(await admin('POST', '/admin/v1/peps', { servers: [SERVER] }))
  const enforcers: Enforcer[] = []
  const watching = new Set<Watched>()
  for (const [number, { socket }] of pdps.entries()) {
    const onRevoked = (grant: string): void => {
      const at = performance.now()
      for (const of of watching) if (grantId(of.index) === grant) of.told(number, at)
    }
    const enforcer = await openEnforcer({ socket, key, database }, onRevoked)
    ending.push(enforcer.stop)
    enforcers.push(enforcer)
  }
  const slower = startLoad(enforcers, watching, { ...plan, perSecond: plan.perSecond / 4 })
  await sleep(WARM_UP_MS)
  await slower.stop()
  const load = startLoad(enforcers, watching, plan)
  const revoke = (index: number) => admin('DELETE', `/admin/v1/grants/${grantId(index)}`)
  return { load, watching, revoke: async (index) => void (await revoke(index)) }
}

type Admin = (method: string, path: string, body?: object) => Promise<unknown>

/** Throws on every answer but a success. */
async function adminOf(pdpUrl: string, database: string): Promise<Admin> {
  const token = await signInFirstAdmin(pdpUrl, database)
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  return async (method, path, body) => {
    const answer = await fetch(`${pdpUrl}${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
    return JSON.parse(text)
  }
}

/** So many at a time, each watched from when it is allowed everywhere until long after it is not. */
async function revokeAll(setting: Setting): Promise<Revoked[]> {
  const { plan } = setting
  const revoked: Revoked[] = []
  let next = 0
  const work = async (): Promise<void> => {
    while (next < plan.revocations) revoked.push(await revokeOne(next++, setting))
  }
  await Promise.all(Array.from({ length: plan.watchedAtOnce }, work))
  return revoked
}

async function revokeOne(index: number, { plan, watching, revoke }: Setting): Promise<Revoked> {
  const watched = watch(index, plan.pdps)
  watching.add(watched)
  try {
    await until(watched, watched.isAllowedEverywhere, 'was not allowed everywhere')
    watched.revoking()
    await revoke(index)
    const answeredAt = performance.now()
    await sleep(plan.watchedMs)
    await until(watched, watched.isOverEverywhere, 'was not refused and told of everywhere')
    return watched.figures(answeredAt)
  } finally {
    watching.delete(watched)
  }
}

async function until({ index }: Watched, holds: () => boolean, problem: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`${grantId(index)} ${problem}`)
    await sleep(LOOK_MS)
  }
}
