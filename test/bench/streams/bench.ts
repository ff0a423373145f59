// Owns the benchmark `streams`: what a PEP holds and how soon it lets go, with a thousand open streams and a hundred
// children; the same streams to the upstream alone beside it.
import { rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { SESSIONS_PER_GRANT_MAX, STREAMS_PER_GRANT_MAX } from '../../../pep/src/limits.ts'
import { startCluster } from '../../harness/postgres.ts'
import { startChild } from '../gateway/child-process.ts'
import { createDatabase, type Services, startServices } from '../gateway/services.ts'
import type { Bench, BenchOptions, Figures } from '../registry.ts'
import { type Bundle, writeBundle } from './bundle.ts'
import { type Clients, startClients } from './clients.ts'
import { createGrants, type Grant, revokeGrant } from './grants.ts'
import type { Target, Traffic } from './orders.ts'
import { FULL, type Plan, QUICK, STREAM_KINDS, sharesOf } from './plan.ts'
import { cpuSecondsOf, memoryOf, watchMemory } from './processes.ts'
import { goalsOf, report } from './report.ts'
import { HTTP_SERVER, nowMs, STDIO_SERVERS } from './words.ts'

const GOALS = { rssMiB: 400, longestGapMs: 3_000, revokedWithinMs: 1_000 }
/** As `cedargate pep --help` advises for many streams. */
const PEP_ENV = { NODE_OPTIONS: '--max-semi-space-size=16' }
const SETTLE_MS = 3_000
const CLOSED_MS = 10_000

export const streamsBench: Bench = {
  name: 'streams',
  about: 'a thousand open streams and a hundred children on one PEP',
  run,
}

type Setting = {
  readonly plan: Plan
  readonly upstreamUrl: string
  readonly services: Services
  readonly bundle: Bundle
  readonly grants: readonly Grant[]
  readonly clients: Clients
  readonly say: (text: string) => void
}

async function run({ quick, say }: BenchOptions): Promise<Figures> {
  const ending: (() => unknown)[] = []
  try {
    const setting = await start(quick ? QUICK : FULL, say, ending)
    const direct = await runDirect(setting)
    const through = await runThrough(setting)
    say(`\n${report(direct, through)}\n`)
    const { plan } = setting
    const figures = { goals: goalsOf(through, GOALS), plan, direct, through }
    return figures
  } finally {
    for (const end of ending.toReversed()) await end()
  }
}

async function start(plan: Plan, say: Setting['say'], ending: (() => unknown)[]): Promise<Setting> {
  say('starting PostgreSQL, the upstream, the clients and the gateway')
  const cluster = await startCluster({ durable: true })
  ending.push(cluster.stop)
  const upstream = await startChild(new URL('upstream.ts', import.meta.url).href)
  ending.push(upstream.stop)
  const bundle = await writeBundle()
  ending.push(() => rm(bundle.directory, { recursive: true, force: true }))
  const servers = [HTTP_SERVER, ...STDIO_SERVERS]
  const services = await startServices({
    database: await createDatabase(cluster.url, 'bench_streams'),
    bundle: bundle.directory,
    servers,
    env: { CEDARGATE_SERVER_OPEN_URL: `${upstream.url}/mcp` },
    pepEnv: PEP_ENV,
  })
  ending.push(services.stop)
  const clients = startClients()
  ending.push(clients.stop)
  const limits = { streams: STREAMS_PER_GRANT_MAX, children: SESSIONS_PER_GRANT_MAX }
  const grants = await createGrants(services, sharesOf(plan, limits), servers)
  return { plan, say, upstreamUrl: upstream.url, services, bundle, grants, clients }
}

/** The streams alone, at the upstream. */
async function runDirect({ clients, grants, plan, upstreamUrl, say }: Setting): Promise<Traffic[]> {
  const direct = grants.map(({ index }) => ({
    url: `${upstreamUrl}/mcp`,
    headers: {},
    grant: index,
  }))
  await clients.tell({ kind: 'open', streams: streamsOf(grants, direct), children: [] })
  const windows = await windowsOf(clients, plan, direct)
  await clients.tell({ kind: 'close' })
  say(`directly: ${windows.length} windows of ${plan.windowMs / 1000} s`)
  return windows
}

export type Through = {
  readonly openedMs: number
  readonly retried: number
  readonly childrenMs: number
  /** Of the PEP's process, MiB: when it had started, with the streams, with the children too, the most under traffic … */
  readonly memory: {
    readonly idle: number
    readonly streams: number
    readonly children: number
    readonly traffic: number
    readonly closed: number
    /** … after each time that streams and children were opened and closed again … */
    readonly reopened: readonly { readonly open: number; readonly closed: number }[]
    /** … and the most it ever was. */
    readonly peak: number
  }
  readonly windows: readonly Traffic[]
  /** Of one core, under traffic. */
  readonly cpu: number
  /** From a save of the bundle until the first and the last of the streams was told. */
  readonly told: {
    readonly streams: number
    readonly missing: number
    readonly firstMs: number
    readonly lastMs: number
  }
  /** By grant: from the request until its last stream and its last child were gone. */
  readonly revoked: readonly Revoked[]
  /** Streams that the upstream still has open at the end. */
  readonly leftAtUpstream: number
  /** From SIGTERM until the PEP was gone, with the streams and children of those that were not revoked open. */
  readonly stoppedMs: number
}
export type Revoked = {
  readonly streams: number
  readonly children: number
  readonly streamsMs: number
  readonly childrenMs: number
  readonly left: number
  readonly othersEnded: number
}

async function runThrough(setting: Setting): Promise<Through> {
  const { clients, grants, plan, services, say, upstreamUrl } = setting
  const { pepPid } = services
  const mebibytes = () => memoryOf(pepPid).rssMiB
  const settled = async (what: string, ms = SETTLE_MS): Promise<number> => {
    await sleep(ms)
    say(`${what}: ${mebibytes().toFixed(0)} MiB`)
    return mebibytes()
  }
  const idle = await settled('started')
  const opened = await clients.tell({
    kind: 'open',
    streams: streamsTo(setting, grants),
    children: [],
  })
  const streams = await settled('streams open')
  const childrenOpened = await clients.tell({
    kind: 'open',
    streams: [],
    children: childrenTo(setting, grants),
  })
  const children = await settled('children open')
  const most = watchMemory(pepPid)
  const [began, cpuBefore] = [nowMs(), cpuSecondsOf(pepPid)]
  const windows = await windowsOf(clients, plan, httpTargets(setting, grants))
  const cpu = ((cpuSecondsOf(pepPid) - cpuBefore) * 1000) / (nowMs() - began)
  const traffic = most()
  say(`under traffic: ${traffic.toFixed(0)} MiB, ${cpu.toFixed(2)} of a core`)
  const told = await widen(setting)
  const revoked: Revoked[] = []
  for (const grant of grants.slice(0, plan.revoked)) revoked.push(await revoke(setting, grant))
  await clients.tell({ kind: 'close' })
  const closed = await settled('all closed', CLOSED_MS)
  const reopened: { open: number; closed: number }[] = []
  const rest = grants.slice(plan.revoked)
  for (let count = 0; count < plan.reopenings; count++) {
    await clients.tell({
      kind: 'open',
      streams: streamsTo(setting, rest),
      children: childrenTo(setting, rest),
    })
    const open = await settled('open again')
    await clients.tell({ kind: 'close' })
    reopened.push({ open, closed: await settled('closed again') })
  }
  const leftAtUpstream = Number(await (await fetch(`${upstreamUrl}/open`)).text())
  const peak = memoryOf(pepPid).peakMiB
  const memory = { idle, streams, children, traffic, closed, reopened, peak }
  const [openedMs, childrenMs] = [opened.tookMs, childrenOpened.tookMs]
  const stoppedMs = await stopWithAllOpen(setting, rest)
  say(`stopped with all open: ${stoppedMs.toFixed(0)} ms`)
  const retried = opened.retried + childrenOpened.retried
  return {
    openedMs,
    childrenMs,
    retried,
    memory,
    windows,
    cpu,
    told,
    revoked,
    leftAtUpstream,
    stoppedMs,
  }
}

async function stopWithAllOpen(setting: Setting, grants: readonly Grant[]): Promise<number> {
  const { clients, services } = setting
  const [streams, children] = [streamsTo(setting, grants), childrenTo(setting, grants)]
  await clients.tell({ kind: 'open', streams, children })
  const began = nowMs()
  await services.stopPep()
  return nowMs() - began
}

async function windowsOf(
  clients: Clients,
  { windows, windowMs, callsPerSecond }: Plan,
  calls: readonly Target[],
): Promise<Traffic[]> {
  const measured: Traffic[] = []
  for (let count = 0; count < windows; count++) {
    const order = { kind: 'traffic', durationMs: windowMs, callsPerSecond, calls } as const
    measured.push(await clients.tell(order))
  }
  return measured
}

async function widen({ bundle, clients }: Setting): Promise<Through['told']> {
  const telling = clients.tell({ kind: 'awaitTold' })
  await sleep(100)
  const savedAt = nowMs()
  await bundle.widen()
  const { told, missing, firstAt, lastAt } = await telling
  return { streams: told, missing, firstMs: firstAt - savedAt, lastMs: lastAt - savedAt }
}

async function revoke({ clients, services, say }: Setting, grant: Grant): Promise<Revoked> {
  const ending = clients.tell({ kind: 'awaitEnd', grant: grant.index })
  await sleep(100)
  const askedAt = nowMs()
  await revokeGrant(services, grant)
  const { streams, children, lastStreamAt, lastChildAt, left, othersEnded } = await ending
  const [streamsMs, childrenMs] = [lastStreamAt - askedAt, lastChildAt - askedAt]
  say(`revoked: ${streamsMs.toFixed(0)} ms, its children ${childrenMs.toFixed(0)} ms`)
  return { streams, children, streamsMs, childrenMs, left, othersEnded }
}

function targetOf({ services }: Setting, { index, token }: Grant, server: string): Target {
  const headers = { authorization: `Bearer ${token}` }
  return { url: `${services.pepUrl}/${server}/mcp`, headers, grant: index }
}

function httpTargets(setting: Setting, grants: readonly Grant[]): Target[] {
  return grants.map((grant) => targetOf(setting, grant, HTTP_SERVER))
}

function streamsTo(setting: Setting, grants: readonly Grant[]) {
  return streamsOf(grants, httpTargets(setting, grants))
}

function streamsOf(grants: readonly Grant[], targets: readonly Target[]) {
  return grants.flatMap(({ share }, index) => {
    const target = targets[index]
    if (target === undefined) return []
    return STREAM_KINDS.flatMap((of) =>
      Array.from({ length: share[of] }, () => ({ ...target, of })),
    )
  })
}

/** All of one grant on one server, and every other grant on the other. */
function childrenTo(setting: Setting, grants: readonly Grant[]): Target[] {
  return grants.flatMap((grant) => {
    const server = STDIO_SERVERS[grant.index % STDIO_SERVERS.length] ?? STDIO_SERVERS[0]
    return Array.from({ length: grant.share.children }, () => targetOf(setting, grant, server))
  })
}
