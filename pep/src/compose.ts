// Owns how the stages of the PEP are joined. Starts nothing that listens: main.ts and `cedargate
// dev` do.
import type { Hono } from 'hono'
import type { Sql } from '../../schemas/database/sql.ts'
import type { Lookup } from '../../schemas/dial.ts'
import { BINDING_KEYS_MS } from '../../schemas/limits.ts'
import { createApp, type PepEnv } from './app.ts'
import { createDecide } from './decide.ts'
import { createDiscovery, type Discovery } from './discover.ts'
import { type EnforcePorts, permit } from './enforce.ts'
import { follow } from './follow.ts'
import { type Bindings, createBindings } from './inbound/bindings.ts'
import { createCallers } from './inbound/callers.ts'
import type { AddressRules } from './inbound/check-origin.ts'
import { createFailures } from './inbound/failures.ts'
import { createIdentities, type Identities } from './inbound/identities.ts'
import type { ReceivePorts } from './inbound/receive.ts'
import { createShares } from './inbound/shares.ts'
import { createSourceOf, type SourceOf } from './inbound/source.ts'
import { DISCOVERY_INTERVAL_MS, STREAM_CHECK_MS } from './limits.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import type { PassagePorts } from './passage/passage.ts'
import type { Log, Monotonic, PdpPort, Uuid } from './ports.ts'
import { createRecheck, type Recheck } from './recheck.ts'
import { createRecord } from './record/record.ts'
import { createReporter } from './report.ts'
import { createReviewed, type Reviewed } from './reviewed.ts'
import { createServers, type Servers } from './servers.ts'
import { createStreams, type Streams } from './streams.ts'
import type { Env, Isolation, Surroundings } from './upstream/child.ts'

export type PepPorts = {
  readonly pdp: PdpPort
  /** Under a role that may INSERT records; nothing else is asked of it. */
  readonly sql: Sql
  /**
   * For `${NAME}` in server settings, and PATH, HOME, LANG and TMPDIR of the servers this PEP
   * starts.
   */
  readonly env: Env
  readonly monotonic: Monotonic
  /** Milliseconds since 1970, for what is bound to an end. */
  readonly now: () => number
  readonly uuid: Uuid
  readonly log: Log
  /** Hosts and origins beside loopback. */
  readonly rules?: AddressRules
  /** Default: the peer of the socket. */
  readonly sourceOf?: SourceOf
  /** How names of servers are resolved; default `dns.lookup`. */
  readonly lookup?: Lookup
  /** Commands of servers are looked for here before PATH. */
  readonly binDirectory?: string
  /** What the servers this PEP starts are kept apart by (upstream/isolation.ts). */
  readonly isolation: Isolation
}

export type Pep = {
  /** Serves only through node:http, with the bindings of @hono/node-server. */
  readonly app: Hono<PepEnv>
  /** Resolves when it is known which servers there are. Rejects when the PDP cannot be asked. */
  readonly known: () => Promise<void>
  /** Resolves when the servers are known and started and were looked at once. Rejects as `known` does. */
  readonly ready: () => Promise<void>
  /** Ends streams, sessions and every process it started; reports the last outcomes. */
  readonly stop: () => Promise<void>
}

const NO_RULES: AddressRules = { allowedHosts: new Set(), allowedOrigins: new Set() }

export function createPep(ports: PepPorts): Pep {
  const { pdp, monotonic, uuid, log } = ports
  const bindings = createBindings(ports.now)
  const streams = createStreams(ports.now)
  const identities = createIdentities(pdp, ports.now)
  const reporter = createReporter(pdp, log)
  const shared = { pdp, monotonic, log }
  const reviewed = createReviewed({
    ...shared,
    onShown: (caller, shown) => discovery.shown(caller, shown),
  })
  const metrics = createMetrics(reporter.dropped)
  const onEchoed = echoesBy(metrics, log)
  const servers: Servers = createServers({
    ...shared,
    onEchoed,
    bindings,
    streams,
    lookup: ports.lookup,
    surroundings: surroundingsOf(ports),
    uuid,
    instance: uuid(),
    onKeys: bindings.use,
    onRestarted: (id) => void discovery.look(id),
    onClosed(id) {
      discovery.forget(id)
      reviewed.forget(id)
    },
  })
  const recheck = createRecheck({ pdp, log, streams, reviewed })
  const enforcement: EnforcePorts = {
    reporter,
    monotonic,
    decide: createDecide({ pdp, monotonic }),
    record: createRecord(ports.sql, streams.isRevoked),
    metrics,
    onEchoed,
    serverOf: servers.of,
    isRevoked: streams.isRevoked,
    forget: identities.forget,
    definitionOf: (caller, tool) => discovery.definitionOf(caller, tool),
    uuid,
    passage: passageBy(
      { bindings, log, onToolsChanged: (id) => discovery.changed(id) },
      { reviewed, recheck, servers },
    ),
  }
  const discovery: Discovery = createDiscovery({
    ...shared,
    uuid,
    isReviewed: reviewed.isReviewed,
    credentialOf: servers.credentialOf,
    serverOf: servers.of,
    permit: (inbound) => permit(enforcement, inbound),
  })
  const receiving = receivingBy(ports, bindings, identities, reviewed)
  const app = createApp({ ...enforcement, ...receiving, log })
  const background = keepUp({ ...shared, identities, streams, servers, reviewed, discovery, recheck }) // biome-ignore format: short
  return {
    app,
    known: background.known,
    ready: background.ready,
    async stop() {
      await background.stop()
      streams.closeAll()
      await servers.stop()
      await reporter.flush()
    },
  }
}

type ByPassage = Pick<PassagePorts, 'bindings' | 'log' | 'onToolsChanged'>

function passageBy(
  own: ByPassage,
  { reviewed, recheck, servers }: Pick<Kept, 'reviewed' | 'recheck' | 'servers'>,
): EnforcePorts['passage'] {
  return {
    ...own,
    showTools: reviewed.show,
    onListed: (inbound, { visible }) => recheck.listed(inbound, visible),
    passesInstructions: servers.passesInstructions,
  }
}

function echoesBy(metrics: Metrics, log: Log): (server: string) => void {
  return (server) => {
    metrics.credentialEchoes(server)
    log.warn({ server }, 'an answer of the server held the credential it was sent: it was masked')
  }
}

function receivingBy(
  { rules = NO_RULES, sourceOf = createSourceOf([]), uuid, monotonic }: PepPorts,
  bindings: Bindings,
  identities: Identities,
  { paramHeadersOf }: Reviewed,
): ReceivePorts {
  const failures = createFailures(uuid(), monotonic)
  const callerOf = createCallers({ identities, failures, sourceOf })
  return { bindings, paramHeadersOf, rules, callerOf, shares: createShares() }
}

function surroundingsOf({ env, binDirectory, isolation }: PepPorts): Surroundings {
  const preload = new URL('./upstream/preload.mjs', import.meta.url)
  return { env, binDirectory, isolation, preload }
}

type Kept = {
  readonly pdp: PdpPort
  readonly log: Log
  readonly identities: Identities
  readonly streams: Streams
  readonly servers: Servers
  readonly reviewed: Reviewed
  readonly discovery: Discovery
  readonly recheck: Recheck
}

/**
 * What happens without a client: following the PDP, knowing the servers, looking at their tools.
 */
function keepUp({ pdp, log, identities, streams, servers, reviewed, discovery, recheck }: Kept) {
  const stopping = new AbortController()
  const lookAtAll = async (): Promise<void> => {
    const looks = servers.ids().map(async (id) => {
      await Promise.all([servers.started(id), reviewed.ensure(id)])
      await discovery.look(id)
    })
    await Promise.all(looks)
  }
  const learn = async (): Promise<void> => {
    await servers.refresh()
    await Promise.all(servers.ids().map(reviewed.load))
  }
  const refresh = async (): Promise<void> => {
    await learn()
    await lookAtAll()
  }
  const refreshOrLog = () => {
    const told = learn().then(() => recheck.check(true))
    told
      .then(lookAtAll)
      .catch((error: unknown) => log.warn({ err: error }, 'the servers could not be refreshed'))
  }
  let isFirst = true
  const following = follow(
    {
      pdp,
      log,
      onEvent(event) {
        if (event.kind === 'bundle') refreshOrLog()
        else if (event.kind === 'standing') {
          streams.reinstate(event.grant)
          void recheck.check(true, event.grant)
        } else {
          if (event.kind === 'revoked') streams.revoke(event.grant)
          else streams.end(event.grant)
          identities.forgetGrant(event.grant)
          servers.end(event.grant)
        }
      },
      onHearing(heard) {
        streams.watched(heard)
        if (heard && !isFirst) refreshOrLog()
        isFirst = false
      },
    },
    stopping.signal,
  )
  const timers = [
    setInterval(() => void lookAtAll(), DISCOVERY_INTERVAL_MS),
    setInterval(() => void recheck.check(false), STREAM_CHECK_MS),
    setInterval(refreshOrLog, BINDING_KEYS_MS),
  ]
  for (const timer of timers) timer.unref()
  return {
    known: learn,
    ready: refresh,
    async stop() {
      for (const timer of timers) clearInterval(timer)
      discovery.stop()
      stopping.abort()
      await following
    },
  }
}
