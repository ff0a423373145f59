// Owns how the rooms of the PDP are joined. Starts nothing that listens: main.ts and `cedargate dev` do.
import type { Hono } from 'hono'
import type { Logger } from 'pino'
import type { BundleInfo } from '../../schemas/admin-api.ts'
import type { Clock, Random } from '../../schemas/ports.ts'
import type { Activation } from './activation/activation.ts'
import { startActivation } from './activation/activation.ts'
import { bundleAdministration, bundleState } from './activation/state.ts'
import { createApp } from './app.ts'
import type { Bundle } from './bundle/bundle.ts'
import { type Catalog, openCatalog } from './catalog/catalog.ts'
import { createAdvise } from './decide/advise.ts'
import { withWrongClock } from './decide/clock-fault.ts'
import { createDecide, type Decide } from './decide/decide.ts'
import { createList } from './decide/list.ts'
import { createSearch } from './decide/search.ts'
import type { Decider } from './decider.ts'
import { type Events, watchEvents } from './events.ts'
import { type Identity, openIdentity } from './identity/identity.ts'
import type { Fetch } from './identity/jwks.ts'
import type { Peps } from './identity/peps.ts'
import type { ResolveGrants } from './identity/resolve.ts'
import { teamsOf } from './identity/users.ts'
import { bindingKeys } from './keys/binding.ts'
import type { Keys } from './keys/keys.ts'
import { listDecisions, showDecision } from './ledger/decisions.ts'
import { fsck } from './ledger/fsck.ts'
import { openLedger } from './ledger/ledger.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { joinOperators, type OperatorPorts, type Operators } from './operators.ts'
import { type Advise, accessRoutes } from './routes/access.ts'
import { type AdminPorts, adminRoutes } from './routes/admin.ts'
import { hookRoutes } from './routes/hook.ts'
import { operationsRoutes } from './routes/operations.ts'
import { pepRoutes } from './routes/pep.ts'
import type { GuardedRoute, PdpEnv } from './routes/roles.ts'
import type { Search } from './routes/search.ts'
import { toolRoutes } from './routes/tools.ts'
import { type Bundles, openBundles } from './store/bundles.ts'
import type { Store } from './store/open.ts'

export type PdpPorts = OperatorPorts & {
  readonly store: Store
  readonly keys: Keys
  readonly decider: Decider
  readonly publicUrl: string
  /** What signs calls of the bundle's webhook; undefined: there is none. */
  readonly webhookSecret?: string | undefined
  readonly clock: Clock
  readonly random: Random
  /** How identity providers are reached. */
  readonly fetch: Fetch
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

/** Opens the ledger and joins the rooms. Throws when the database cannot: a PDP starts whole. */
export async function createPdp(ports: PdpPorts): Promise<Pdp> {
  const { store, keys, clock, random, log } = ports
  const { engine } = ports.decider
  const bundles = openBundles(store.sql, clock.now)
  const activation = await activate(ports, bundles)
  const identity = whoMayCall(ports, activation)
  const { feed, peps, resolver, callers } = identity
  const active = () =>
    feed.isClockWrong() ? withWrongClock(activation.active()) : activation.active()
  const ledger = await openLedger({ store, keys, engine: engine.identity, clock, random })
  const metrics = createMetrics({
    ledger: ledger.stats,
    bundle: activation.status,
    heldCounts: () => catalog.heldCounts(),
  })
  const current = { bundle: () => active().bundle, onFresh: metrics.countSighting }
  const catalog: Catalog = openCatalog({ sql: store.sql, clock, ...current, log })
  const events = whatChanged(ports, activation, feed)
  await feed.start()
  const core = { active, ledger, clock }
  const onDecided = metrics.countAuthorization
  const decide = createDecide({
    ...core,
    ...resolver,
    resolveCallers: callers.resolveCallers,
    onUsed: identity.lastUse.note,
    onDecided,
  })
  const teams = (user: string) => teamsOf(store.sql, user)
  const advise = createAdvise({ ...core, teamsOf: teams, onDecided })
  const search = createSearch({ active, teamsOf: teams, clock })
  const admin = administration(ports, { activation, bundles, ...identity })
  const operators = joinOperators(ports, { ...identity, ...ports, ledger })
  const routes = [
    ...outsideRoutes(ports, { advise, search, metrics, activation }),
    ...adminRoutes(admin, operators.guard.record),
    ...operators.routes,
    ...toolRoutes(catalog),
    ...pepRoutes({
      decide: counted(decide, metrics, clock),
      sealOutcomes: ledger.sealOutcomes,
      ...catalog,
      servers: () => serversOf(active().bundle),
      bindingKeys: (servers) => bindingKeys(keys.vault, servers, clock.now()),
      identify: callers.identify,
      list: createList({ active, resolveById: callers.resolveById, clock }),
      events,
    }),
  ]
  const app = createApp({ guard: operators.guard, routes, publicUrl: ports.publicUrl, log })
  return {
    app,
    routes,
    get bundle() {
      return active().bundle
    },
    activation,
    admin,
    peps,
    sessions: operators.sessions,
    bootstrap: operators.bootstrap,
    resolveGrants: resolver.resolveGrants,
    stop: () => {
      const ends = [() => feed.stop(), identity.lastUse.stop, activation.stop, ledger.close]
      return stopAll(events, [...ends, engine.stop])
    },
  }
}

function whoMayCall(
  { store, clock, random, fetch, log }: PdpPorts,
  activation: Activation,
): Identity {
  return openIdentity({
    store,
    clock,
    random,
    fetch,
    settings: () => activation.active().bundle.identity,
    onFailure: (error) => log.warn({ err: error }, 'the database did not say who may call'),
    onRefused: (error) => log.info({ err: error }, 'an access token was not taken'),
  })
}

function whatChanged(
  { store, clock, log }: PdpPorts,
  activation: Activation,
  feed: Identity['feed'],
): Events {
  return watchEvents({
    sql: store.sql,
    feed,
    activated: activation.subscribe,
    clock,
    onFailure: (error) => log.warn({ err: error }, 'what changed could not be told'),
  })
}

type Outside = {
  readonly advise: Advise
  readonly search: Search
  readonly metrics: Metrics
  readonly activation: Activation
}

/** What is neither for operators nor for our own PEPs: orchestrators, other enforcement points, the bundle's host. */
function outsideRoutes(
  { store, publicUrl, webhookSecret }: PdpPorts,
  { advise, search, metrics, activation }: Outside,
): GuardedRoute[] {
  return [
    ...operationsRoutes({
      registry: metrics.registry,
      unready: () => lackOf(store),
      bundle: () => bundleState(activation.status()),
    }),
    ...accessRoutes({ advise, search, publicUrl }),
    ...hookRoutes({ secret: webhookSecret, refresh: activation.refresh }),
  ]
}

async function stopAll(
  events: { readonly stop: () => void },
  ends: readonly (() => Promise<void>)[],
): Promise<void> {
  events.stop()
  for (const end of ends) await end()
}

type Administered = Pick<Identity, 'grants' | 'clientGrants' | 'peps' | 'users' | 'agents'> & {
  readonly activation: Activation
  readonly bundles: Bundles
}

/** What an operator may do. */
function administration(
  { store, keys, clock }: PdpPorts,
  { activation, bundles, grants, clientGrants, peps, users, agents }: Administered,
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
