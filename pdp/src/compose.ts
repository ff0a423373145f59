// Owns how the rooms of the PDP are joined. Starts nothing that listens: main.ts and `cedargate dev` do.
import type { Hono } from 'hono'
import type { Logger } from 'pino'
import type { BundleInfo } from '../../schemas/admin-api.ts'
import type { Clock, Random } from '../../schemas/ports.ts'
import type { Activation } from './activation/activation.ts'
import { startActivation } from './activation/activation.ts'
import { bundleAdministration, bundleState } from './activation/state.ts'
import { createApp } from './app.ts'
import { joinCredentials, warnOfLocked } from './brokerage.ts'
import type { Bundle, BundleServer } from './bundle/bundle.ts'
import { type Catalog, openCatalog } from './catalog/catalog.ts'
import { joinConnecting } from './connecting.ts'
import type { Credentials } from './credentials/credentials.ts'
import { openKeyRing } from './credentials/key-ring.ts'
import { connectLink } from './credentials/link.ts'
import { openDiscover } from './credentials/oauth/discover.ts'
import { oauthTarget } from './credentials/oauth/target.ts'
import { type AdvisePorts, createAdvise } from './decide/advise.ts'
import { withWrongClock } from './decide/clock-fault.ts'
import { createDecide, type Decide } from './decide/decide.ts'
import { createList } from './decide/list.ts'
import { createSearch } from './decide/search.ts'
import type { Decider } from './decider.ts'
import type { Dialer } from './egress/dialer.ts'
import { type Ending, endAll, openOrEnd } from './endings.ts'
import { type Events, watchEvents } from './events.ts'
import type { ChangeFeed } from './identity/change-feed.ts'
import { type Identity, openIdentity } from './identity/identity.ts'
import type { Peps } from './identity/peps.ts'
import type { ResolveGrants } from './identity/resolve.ts'
import { standingOf } from './identity/standing.ts'
import { bindingKeys } from './keys/binding.ts'
import type { Keys } from './keys/keys.ts'
import { listDecisions, showDecision } from './ledger/decisions.ts'
import { fsck } from './ledger/fsck.ts'
import { type Ledger, openLedger } from './ledger/ledger.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { onceEach } from './once-each.ts'
import { joinOperators, type OperatorPorts, type Operators } from './operators.ts'
import { type AccessPorts, accessRoutes } from './routes/access.ts'
import { type AdminPorts, adminRoutes } from './routes/admin.ts'
import { hookRoutes } from './routes/hook.ts'
import { operationsRoutes } from './routes/operations.ts'
import { type PepPorts, pepRoutes } from './routes/pep.ts'
import type { GuardedRoute, PdpEnv } from './routes/roles.ts'
import { toolRoutes } from './routes/tools.ts'
import { type Bundles, openBundles } from './store/bundles.ts'
import type { Store } from './store/open.ts'

export type PdpPorts = OperatorPorts & {
  /** For `${NAME}` in urls of servers. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly store: Store
  readonly keys: Keys
  readonly decider: Decider
  readonly publicUrl: string
  /** What signs calls of the bundle's webhook; undefined: there is none. */
  readonly webhookSecret?: string | undefined
  readonly clock: Clock
  readonly random: Random
  /** How identity providers and authorization servers are reached. */
  readonly dial: Dialer
  /** Of the web client of the login file. */
  readonly webClientSecret?: string | undefined
  readonly log: Logger
}

export type Pdp = {
  readonly app: Hono<PdpEnv>
  /** All that the app serves. */
  readonly routes: readonly GuardedRoute[]
  /** The bundle that decides now. */
  readonly bundle: Bundle
  readonly activation: Activation
  /** The same acts as `/admin/v1`, for the process that holds this PDP. */
  readonly admin: AdminPorts
  readonly peps: Peps
  readonly sessions: Operators['sessions']
  readonly bootstrap: Operators['bootstrap']
  readonly resolveGrants: ResolveGrants
  /** Ends the instance in order: its last leaf says how many it issued. The store stays open. */
  readonly stop: () => Promise<void>
}

/**
 * Opens the ledger and joins the rooms. Throws when the database or a key cannot: a PDP starts whole, or nothing of it
 * goes on, the engine neither.
 */
export async function createPdp(ports: PdpPorts): Promise<Pdp> {
  const endings: Ending[] = [ports.decider.engine.stop]
  return openOrEnd(endings, () => openPdp(ports, endings))
}

async function openPdp(ports: PdpPorts, endings: Ending[]): Promise<Pdp> {
  const { store, keys, clock, random, log } = ports
  const ring = await openKeyRing({ ...keys.keks, clock })
  const bundles = openBundles(store.sql, clock.now)
  const activation = await activate(ports, bundles)
  endings.push(activation.stop)
  const identity = whoMayCall(ports, activation)
  const { feed, peps, resolver } = identity
  endings.push(identity.lastUse.stop)
  const engine = ports.decider.engine.identity
  const ledger = await openLedger({ store, keys, engine, clock, random })
  endings.push(ledger.close)
  const metrics = createMetrics({
    ledger: ledger.stats,
    bundle: activation.status,
    heldCounts: () => catalog.heldCounts(),
  })
  const bundle = () => activation.active().bundle
  const current = { bundle, onFresh: metrics.countSighting }
  const catalog: Catalog = openCatalog({ sql: store.sql, clock, ...current, log })
  const events = await startEvents(ports, { activation, feed, endings })
  const discover = openDiscover(ports)
  const target = onceEach((of: BundleServer) => oauthTarget(of, ports.env))
  const targetOf = (server: string) => {
    const of = bundle().servers.get(server)
    return of && target(of)
  }
  const oauth = { discover, targetOf }
  const credentials = joinCredentials(ports, { ring, activation, feed, metrics, ...oauth })
  endings.push(credentials.lastRelease.stop)
  await warnOfLocked(credentials, log)
  const core = decisionCore(ports, { activation, identity, ledger, metrics, credentials })
  const admin = administration(ports, { activation, bundles, credentials, ...identity })
  const operators = joinOperators(ports, { ...identity, ...ports, ledger })
  const routes = [
    ...operationsRoutes({
      registry: metrics.registry,
      unready: () => lackOf(store),
      bundle: () => bundleState(activation.status()),
    }),
    ...accessRoutes({ ...core, publicUrl: ports.publicUrl }),
    ...adminRoutes(admin, operators.guard.record),
    ...operators.routes,
    ...joinConnecting({ ...ports, ...identity, ...oauth, ...operators, connections: credentials.connections }), // biome-ignore format: long
    ...toolRoutes(catalog),
    ...hookRoutes({ secret: ports.webhookSecret, refresh: activation.refresh }),
    ...pepRoutes({
      ...core,
      ...catalog,
      servers: () => serversOf(bundle()),
      bindingKeys: (servers) => bindingKeys(keys.vault, servers, clock.now()),
      events,
    }),
  ]
  const app = createApp({ guard: operators.guard, routes, publicUrl: ports.publicUrl, log })
  return {
    app,
    routes,
    get bundle() {
      return bundle()
    },
    activation,
    admin,
    peps,
    sessions: operators.sessions,
    bootstrap: operators.bootstrap,
    resolveGrants: resolver.resolveGrants,
    stop: () => endAll(endings),
  }
}

type Heard = {
  readonly activation: Activation
  readonly feed: ChangeFeed
  readonly endings: Ending[]
}

/** Order: told from the first look on. */
async function startEvents(
  { store, clock, log }: PdpPorts,
  { activation, feed, endings }: Heard,
): Promise<Events> {
  const events = watchEvents({
    prompt: store.prompt,
    feed,
    activated: activation.subscribe,
    clock,
    onFailure: logged(log, 'what changed could not be told'),
  })
  endings.push(
    () => feed.stop(),
    async () => events.stop(),
  )
  await feed.start()
  return events
}

function whoMayCall(ports: PdpPorts, activation: Activation): Identity {
  return openIdentity({
    ...ports,
    settings: () => activation.active().bundle.identity,
    onFailure: logged(ports.log, 'the database did not say who may call'),
    onRefused: (error) => ports.log.info({ err: error }, 'an access token was not taken'),
  })
}

type Core = {
  readonly activation: Activation
  readonly credentials: Credentials
  readonly identity: Identity
  readonly ledger: Ledger
  readonly metrics: Metrics
}

/** What decides, whoever asks: one bundle, one clock, one way to know a caller. */
function decisionCore(
  { store, clock }: PdpPorts,
  { activation, identity, ledger, metrics, credentials }: Core,
): Pick<PepPorts, 'decide' | 'identify' | 'list' | 'sealOutcomes'> &
  Pick<AccessPorts, 'advise' | 'search'> {
  const { feed, resolver, callers, lastUse } = identity
  const active = () =>
    feed.isClockWrong() ? withWrongClock(activation.active()) : activation.active()
  const standing: AdvisePorts['standingOf'] = (user, agent) => standingOf(store.sql, user, agent)
  const onDecided = metrics.countAuthorization
  const core = { active, ledger, clock, standingOf: standing, onDecided }
  const { resolveCallers } = callers
  const decide = createDecide({
    ...core,
    ...resolver,
    resolveCallers,
    onUsed: lastUse.note,
    release: credentials.release,
    onReleased: (id) => credentials.lastRelease.note(id, null),
  })
  return {
    decide: counted(decide, metrics, clock),
    identify: callers.identify,
    async sealOutcomes({ id, servers }, outcomes) {
      await ledger.sealOutcomes(id, outcomes)
      await credentials.noteOutcomes(servers, outcomes)
    },
    list: createList({ active, resolveById: callers.resolveById, clock }),
    advise: createAdvise(core),
    search: createSearch(core),
  }
}

function logged(log: Logger, what: string): (error: unknown) => void {
  return (error) => log.warn({ err: error }, what)
}

type Administered = Pick<Identity, 'grants' | 'clientGrants' | 'peps' | 'users' | 'agents'> & {
  readonly activation: Activation
  readonly bundles: Bundles
  readonly credentials: Credentials
}

/** What an operator may do. */
function administration(
  { store, keys, clock, publicUrl }: PdpPorts,
  { activation, bundles, credentials, grants, clientGrants, peps, users, agents }: Administered,
): AdminPorts {
  const vaulted = { store, vault: keys.vault }
  return {
    ...grants,
    async createClientGrant(request) {
      const { identity } = activation.active().bundle
      return await grants.showGrant(await clientGrants.createClientGrant(request, identity))
    },
    ...users,
    ...agents,
    ...credentials.administration,
    connectLink: (server, user) => connectLink(activation.active().bundle, publicUrl, server, user),
    credentialKeys: credentials.keys,
    rewrapCredentials: credentials.rewrap,
    enrollPep: (servers) => peps.enrollPep(servers),
    listPeps: peps.listPeps,
    revokePep: peps.revokePep,
    listDecisions: (query) => listDecisions(vaulted, query),
    showDecision: (decision) => showDecision(vaulted, decision),
    fsck: () => {
      return fsck({ ...vaulted, deploymentPublicKey: keys.deployment.publicKey, now: clock.now() })
    },
    bundleInfo: () => describeBundle(activation.active().bundle),
    ...bundleAdministration(bundles, activation),
  }
}

/** Order: the first bundle is kept before anything is decided by it. */
async function activate({ decider, clock, log }: PdpPorts, bundles: Bundles): Promise<Activation> {
  const { started, source } = decider
  const { id, content } = started.bundle
  if (started.problem === null) {
    await bundles.keep({ id, content, source: source.name, commit: started.commit })
  } else log.error({ active: id }, `the bundle of before decides: ${started.problem.message}`)
  return await startActivation({ ...decider, bundles, clock, log }, started)
}

function counted(decide: Decide, metrics: Metrics, clock: Clock): Decide {
  return async function countedDecide(pep, calls) {
    const started = clock.monotonic()
    const results = await decide(pep, calls)
    metrics.countResults(results, (clock.monotonic() - started) / 1000)
    return results
  }
}

async function lackOf(store: Store): Promise<string | undefined> {
  return store.sql.query('select 1').then(
    () => undefined,
    () => 'the database does not answer',
  )
}

function serversOf(bundle: Bundle) {
  const upstreams = [...bundle.servers.values()].map(({ upstream }) => upstream)
  return { bundle: bundle.id, upstreams }
}

function describeBundle(bundle: Bundle): BundleInfo {
  const servers = [...bundle.servers.values()].map(({ upstream, tools }) => ({
    id: upstream.id,
    transport: upstream.transport,
    tools: tools.size,
    source: upstream.url ?? [upstream.command, ...upstream.args].join(' '),
  }))
  return { id: bundle.id, name: bundle.name, policies: bundle.policies.size, servers }
}
