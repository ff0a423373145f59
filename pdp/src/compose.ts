// Owns how the rooms of the PDP are joined. Starts nothing that listens: main.ts and `cedargate dev` do.
import { hash, timingSafeEqual } from 'node:crypto'
import type { Hono } from 'hono'
import type { Logger } from 'pino'
import type { BundleInfo } from '../../schemas/admin-api.ts'
import { isWellFormedToken } from '../../schemas/identifiers.ts'
import type { Clock, Random } from '../../schemas/ports.ts'
import type { Activation, Started, Trust } from './activation/activation.ts'
import { startActivation } from './activation/activation.ts'
import { problemOf } from './activation/problem.ts'
import { unsignedProblem } from './activation/signed.ts'
import { bundleAdministration, bundleState } from './activation/state.ts'
import { createApp } from './app.ts'
import type { Bundle } from './bundle/bundle.ts'
import { filesOf, readContent, requiredSigners } from './bundle/content.ts'
import { type BundleFiles, readBundleFiles } from './bundle/files.ts'
import { loadFiles } from './bundle/load.ts'
import { loadAside } from './bundle/load-aside.ts'
import { createAdvise } from './decide/advise.ts'
import { createDecide, type Decide } from './decide/decide.ts'
import { createSearch } from './decide/search.ts'
import { type Engine, startEngine } from './engine/engine.ts'
import { watchEvents } from './events.ts'
import { openGrants, type ResolveGrants } from './identity/grants.ts'
import { openPeps, type Peps } from './identity/peps.ts'
import { teamsOf } from './identity/users.ts'
import type { Keys } from './keys/keys.ts'
import { listDecisions, showDecision } from './ledger/decisions.ts'
import { fsck } from './ledger/fsck.ts'
import { openLedger } from './ledger/ledger.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { accessRoutes } from './routes/access.ts'
import { type AdminPorts, adminRoutes } from './routes/admin.ts'
import { hookRoutes } from './routes/hook.ts'
import { operationsRoutes } from './routes/operations.ts'
import { pepRoutes } from './routes/pep.ts'
import type { Identify, PdpEnv } from './routes/roles.ts'
import type { BundleSource } from './source/source.ts'
import { openBundles, type StoredBundle } from './store/bundles.ts'
import type { Store } from './store/open.ts'

export type PdpPorts = {
  readonly store: Store
  readonly keys: Keys
  readonly decider: Decider
  /** SHA-256 (hex) of the one operator token. */
  readonly operatorTokenSha256: string
  readonly publicUrl: string
  /** What signs calls of the bundle's webhook; undefined: there is none. */
  readonly webhookSecret?: string | undefined
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

export type Pdp = {
  readonly app: Hono<PdpEnv>
  /** The bundle that decides now. */
  readonly bundle: Bundle
  readonly activation: Activation
  /** The same acts as `/admin/v1`, for the process that holds this PDP. */
  readonly admin: AdminPorts
  readonly peps: Peps
  readonly resolveGrants: ResolveGrants
  /** Ends the instance in order: its last leaf says how many it issued. The store stays open. */
  readonly stop: () => Promise<void>
}

/** An engine on its first bundle, and where the next ones come from. */
export type Decider = {
  readonly engine: Engine
  readonly source: BundleSource
  readonly trust: Trust
  readonly started: Started
  /** Reads and checks another bundle beside the one that decides. */
  readonly load: (files: BundleFiles) => Promise<Bundle>
}

export type DeciderPorts = {
  readonly source: BundleSource
  readonly trust: Trust
  /** Variables that `${NAME}` in server files may name. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly engineWorkers: number
  readonly clock: Clock
  /** What was active before this process, to go on with when the source has no good bundle. Default: nothing was. */
  readonly before?: () => Promise<(StoredBundle & { readonly content: string }) | undefined>
}

/**
 * Reads the first bundle and starts an engine on it. Throws BundleError with every finding, or why the source cannot be
 * read, unless there is a bundle from before: then that one decides on, and the problem is told.
 */
export async function openDecider(ports: DeciderPorts): Promise<Decider> {
  const { source, trust, env, engineWorkers } = ports
  const started = await loadFirst(ports)
  const engine = await startEngine({ workers: engineWorkers })
  await engine.activate(started.bundle.generation)
  return { engine, source, trust, started, load: (files) => loadAside(files, { env }) }
}

async function loadFirst({ source, trust, env, clock, before }: DeciderPorts): Promise<Started> {
  const kept = await before?.()
  try {
    const { revision, commit, ...snapshot } = await source.look()
    const bundle = await loadFiles(await readBundleFiles(await snapshot.open()), { env })
    const last = kept && requiredSigners(kept.content)
    const said = { trust, before: last && { requireSignedBy: last } }
    const unsigned = await unsignedProblem({ revision, commit, ...snapshot }, bundle, said)
    if (unsigned !== undefined) throw unsigned
    return { bundle, revision, commit, confirmedAt: clock.now(), problem: null }
  } catch (error) {
    if (kept === undefined) throw error
    const bundle = await loadFiles(filesOf(readContent(kept.content)), { env })
    const { commit } = kept
    const confirmedAt = kept.confirmed ?? kept.firstActive
    return { bundle, revision: '', commit, confirmedAt, problem: problemOf(error) }
  }
}

/** Opens the ledger and joins the rooms. Throws when the database cannot: a PDP starts whole. */
export async function createPdp(ports: PdpPorts): Promise<Pdp> {
  const { store, keys, clock, random, log } = ports
  const { engine, started, source } = ports.decider
  const bundles = openBundles(store.sql, clock.now)
  const { id, content } = started.bundle
  if (started.problem === null) {
    await bundles.keep({ id, content, source: source.name, commit: started.commit })
  } else log.error({ active: id }, `the bundle of before decides: ${started.problem.message}`)
  const activation = startActivation({ ...ports.decider, bundles, clock, log }, started)
  const { active } = activation
  const ledger = await openLedger({ store, keys, engine: engine.identity, clock, random })
  const identity = { sql: store.sql, clock, random }
  const grants = openGrants(identity)
  const peps = openPeps(identity)
  const metrics = createMetrics({ ledger: ledger.stats, bundle: activation.status })
  const events = watchEvents({
    revokedSince: grants.revokedSince,
    activated: activation.subscribe,
    clock,
    onFailure: (error) => log.warn({ err: error }, 'revocations could not be polled'),
  })
  const core = { active, ledger, clock }
  const onDecided = metrics.countAuthorization
  const decide = createDecide({ ...core, resolveGrants: grants.resolveGrants, onDecided })
  const teams = (user: string) => teamsOf(store.sql, user)
  const advise = createAdvise({ ...core, teamsOf: teams, onDecided })
  const vaulted = { store, vault: keys.vault }
  const admin: AdminPorts = {
    createGrant: grants.createGrant,
    listGrants: grants.listGrants,
    revokeGrant: async (grant) => (await grants.revokeGrant(grant)) !== undefined,
    enrollPep: (servers) => peps.enrollPep(servers),
    listPeps: peps.listPeps,
    revokePep: peps.revokePep,
    listDecisions: (query) => listDecisions(vaulted, query),
    showDecision: (decision) => showDecision(vaulted, decision),
    fsck: () => {
      return fsck({ ...vaulted, deploymentPublicKey: keys.deployment.publicKey, now: clock.now() })
    },
    bundleInfo: () => describeBundle(active().bundle),
    ...bundleAdministration(bundles, activation),
  }
  const app = createApp({
    identify: createIdentify(ports.operatorTokenSha256, peps),
    routes: [
      ...operationsRoutes({
        registry: metrics.registry,
        unready: () => lackOf(store),
        bundle: () => bundleState(activation.status()),
      }),
      ...accessRoutes({
        advise,
        search: createSearch({ active, teamsOf: teams, clock }),
        publicUrl: ports.publicUrl,
      }),
      ...adminRoutes(admin),
      ...hookRoutes({ secret: ports.webhookSecret, refresh: activation.refresh }),
      ...pepRoutes({
        decide: counted(decide, metrics, clock),
        sealOutcomes: ledger.sealOutcomes,
        classifyDefinition: (server, tool, digest) => {
          return classify(active().bundle, server, tool, digest)
        },
        servers: () => {
          const { bundle } = active()
          return { bundle: bundle.id, upstreams: upstreamsOf(bundle) }
        },
        subscribe: events.subscribe,
      }),
    ],
    publicUrl: ports.publicUrl,
    log,
  })
  return {
    app,
    get bundle() {
      return active().bundle
    },
    activation,
    admin,
    peps,
    resolveGrants: grants.resolveGrants,
    stop: async () => {
      events.stop()
      await activation.stop()
      await ledger.close()
      await engine.stop()
    },
  }
}

/** Who a bearer token speaks for. An operator token is compared by digest, in constant time. */
function createIdentify(operatorTokenSha256: string, peps: Peps): Identify {
  const operator = Buffer.from(operatorTokenSha256, 'hex')
  return async function identify(bearer) {
    const digest = sha256(bearer)
    if (timingSafeEqual(Buffer.from(digest, 'hex'), operator)) return { kind: 'operator' }
    if (!isWellFormedToken('pep', bearer, sha256)) return undefined
    const pep = await peps.resolvePep(digest)
    return pep === undefined ? undefined : { kind: 'pep', ...pep }
  }
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

function upstreamsOf(bundle: Bundle) {
  return [...bundle.servers.values()].map(({ upstream }) => upstream)
}

function classify(bundle: Bundle, server: string, tool: string, digest: string) {
  const reviewed = bundle.servers.get(server)?.tools.get(tool)
  if (reviewed === undefined) return 'unknown' as const
  return reviewed.variants.has(digest) ? ('reviewed' as const) : ('changed' as const)
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

function sha256(text: string): string {
  return hash('sha256', text)
}
