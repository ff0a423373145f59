// Owns which bundle decides: follows the source, checks what it holds, and puts it in place of the one before, or keeps
// that one and says loudly why. Never decides, never reads a policy itself.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Clock } from '../../../schemas/ports.ts'
import { createAuthorizer } from '../authorize/authorizer.ts'
import { createOwnAuthorizer } from '../authorize/own.ts'
import type { Bundle } from '../bundle/bundle.ts'
import { storedFiles } from '../bundle/content.ts'
import type { BundleFiles } from '../bundle/files.ts'
import { readBundleFiles } from '../bundle/files.ts'
import type { Active } from '../decide/decide.ts'
import type { Engine } from '../engine/engine.ts'
import type { BundleSource, Snapshot } from '../source/source.ts'
import type { Bundles } from '../store/bundles.ts'
import type { Problem } from './problem.ts'
import { problemOf } from './problem.ts'
import { unsignedProblem } from './signed.ts'
import { Turns } from './turns.ts'

export type ActivationPorts = {
  readonly engine: Engine
  readonly source: BundleSource
  readonly bundles: Bundles
  /** Reads and checks a bundle; throws BundleError with every finding. */
  readonly load: (files: BundleFiles) => Promise<Bundle>
  /** Keys a commit must be signed by whatever the bundle says, and whether an unsigned directory may pass. */
  readonly trust: Trust
  readonly clock: Clock
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>
}

export type Trust = {
  readonly signers: readonly string[]
  readonly unsignedDirectory: 'refuse' | 'accept'
}

/** What the process has been started on. `confirmedAt` in ms since 1970. */
export type Started = {
  readonly bundle: Bundle
  readonly revision: string
  readonly commit: string | null
  readonly confirmedAt: number
  readonly problem: Problem | null
}

export type ActivationStatus = {
  readonly bundle: Bundle
  readonly source: string
  readonly commit: string | null
  /** When this bundle became active here, and when its source was last seen to hold it; ms since 1970. */
  readonly activatedAt: number
  readonly confirmedAt: number
  /** Too old to decide by. */
  readonly stale: boolean
  /** Held here by an operator. */
  readonly pinned: boolean
  /** Why the source's bundle is not active; null when all is well. */
  readonly problem: Problem | null
}

export type Activation = {
  readonly active: () => Active
  readonly status: () => ActivationStatus
  /** Looks at the source now, and at what operators hold; resolves when that is done, whatever came of it. */
  readonly refresh: () => Promise<void>
  /** Calls back with each bundle that becomes active, until the signal aborts. */
  readonly subscribe: (onActivated: (bundle: string) => void, signal: AbortSignal) => void
  readonly stop: () => Promise<void>
}

/** How often to look whether operators hold a bundle, and whether it is time to look at the source. */
const HOLD_MS = 500
const TICK_MS = 50
/** How often the database is told that the source still holds what is active. */
const CONFIRM_MS = 30_000
/** Until a bundle that could not be put in place, though nothing is wrong with it, is tried again. */
const RETRY_MS = 5_000
/** A bundle that is being checked when the process is told to stop is not waited for. */
const STOP_MS = 2_000

/**
 * Follows the source until stopped. `started.bundle` is active in the engine already. Resolves when it is known whether
 * operators hold another one, and that one is active then: a process that is started again must not undo a roll-back.
 */
export async function startActivation(
  ports: ActivationPorts,
  started: Started,
): Promise<Activation> {
  const following = new Following(ports, started)
  await following.start()
  return following
}

/**
 * Two things go on beside each other: following the source, and looking whether operators hold a bundle. A source that
 * takes its time, or hangs, keeps nobody from going back. What they activate is put in place one after the other.
 */
class Following implements Activation {
  readonly #ports: ActivationPorts
  readonly #subscribers = new Set<(bundle: string) => void>()
  readonly #following = new Turns(() => this.#follow())
  readonly #holding = new Turns(() => this.#hold())
  #active: Active
  /** The last bundle that came from the source: who had to sign then has a say in what comes next. */
  #followed: Bundle
  #commit: string | null
  #activatedAt: number
  #confirmedAt: number
  #toldAt = Number.NEGATIVE_INFINITY
  #problem: Problem | null
  #pinned: string | undefined
  /** The revision of the source that was looked into last, and why its bundle was refused. */
  #tried: string
  #rejected: Problem | null
  #lookedAt: number
  /** After a failure that may pass by itself. */
  #pauseMs = 0
  #placing: Promise<unknown> = Promise.resolve()
  #timers: readonly NodeJS.Timeout[] = []

  constructor(ports: ActivationPorts, started: Started) {
    this.#ports = ports
    this.#active = this.#decidedBy(started.bundle)
    this.#followed = started.bundle
    this.#commit = started.commit
    this.#activatedAt = ports.clock.now()
    this.#confirmedAt = started.confirmedAt
    this.#problem = started.problem
    this.#rejected = started.problem
    this.#tried = started.revision
    this.#lookedAt = ports.clock.monotonic()
  }

  start(): Promise<void> {
    const { source, clock } = this.#ports
    this.#timers = [
      setInterval(() => this.#holding.ask(), HOLD_MS),
      setInterval(() => {
        const since = clock.monotonic() - this.#lookedAt
        if (since >= Math.max(source.intervalMs, this.#pauseMs)) this.#following.ask()
      }, TICK_MS),
    ]
    for (const timer of this.#timers) timer.unref()
    return this.#holding.next()
  }

  active = (): Active => this.#active

  status = (): ActivationStatus => ({
    bundle: this.#active.bundle,
    source: this.#ports.source.name,
    commit: this.#commit,
    activatedAt: this.#activatedAt,
    confirmedAt: this.#confirmedAt,
    stale: this.#isStale(this.#active.bundle),
    pinned: this.#pinned !== undefined,
    problem: this.#problem,
  })

  refresh = async (): Promise<void> => {
    await this.#holding.next()
    if (this.#pinned === undefined) await this.#following.next()
  }

  subscribe = (onActivated: (bundle: string) => void, signal: AbortSignal): void => {
    this.#subscribers.add(onActivated)
    signal.addEventListener('abort', () => this.#subscribers.delete(onActivated), { once: true })
  }

  stop = async (): Promise<void> => {
    for (const timer of this.#timers) clearInterval(timer)
    const ended = Promise.all([this.#holding.stop(), this.#following.stop()])
    await Promise.race([ended, sleep(STOP_MS, undefined, { ref: false })])
  }

  /** Never rejects: what goes wrong is a problem to tell, and the bundle before goes on deciding. */
  async #hold(): Promise<void> {
    const { bundles, clock } = this.#ports
    try {
      const pinned = await bundles.pinned()
      if (pinned === undefined && this.#pinned !== undefined) {
        this.#pinned = undefined
        this.#tried = ''
        this.#following.ask()
      }
      if (pinned === undefined) return
      this.#pinned = pinned
      if (pinned !== this.#active.bundle.id) await this.#activateKept(pinned)
      this.#problem = null
      this.#confirmedAt = clock.now()
    } catch (error) {
      this.#tell(problemOf(error))
    }
  }

  async #activateKept(id: string): Promise<void> {
    const { bundles, load } = this.#ports
    const kept = await bundles.find(id)
    if (kept === undefined) throw new Error(`the bundle ${id} is not kept any more`)
    const bundle = await load(await storedFiles(kept.content))
    if (bundle.id !== id) {
      throw new Error(`the bundle ${id} is another one here: with this release, or these settings`)
    }
    await this.#place(bundle, kept.commit, async () => {
      await bundles.hold(id)
      return true
    })
  }

  async #follow(): Promise<void> {
    if (this.#pinned !== undefined) return
    const { source, clock } = this.#ports
    try {
      const snapshot = await source.look()
      if (snapshot.revision !== this.#tried) await this.#take(snapshot)
      else this.#problem = this.#rejected
      if (this.#problem === null && this.#pinned === undefined) await this.#confirm()
    } catch (error) {
      this.#tell(problemOf(error))
    } finally {
      this.#lookedAt = clock.monotonic()
    }
  }

  /** A bundle that is wrong is not looked into again until its source changes; any other failure may pass. */
  async #take(snapshot: Snapshot): Promise<void> {
    const { load, trust, log } = this.#ports
    const { revision, commit } = snapshot
    this.#tried = ''
    try {
      const bundle = await load(await readBundleFiles(await snapshot.open()))
      const said = { trust, before: this.#followed }
      const unsigned = await unsignedProblem(snapshot, bundle, said)
      if (unsigned !== undefined) throw unsigned
      await this.#keepAndPlace(bundle, commit)
      if (this.#problem !== null)
        log.info({ bundle: bundle.id, commit }, 'the bundle is right again')
      this.#problem = null
      this.#rejected = null
      this.#tried = revision
      this.#pauseMs = 0
    } catch (error) {
      const problem = problemOf(error, revision)
      if (problem.revision !== null) {
        this.#tried = revision
        this.#rejected = problem
      }
      this.#pauseMs = problem.revision === null ? RETRY_MS : 0
      this.#tell(problem)
    }
  }

  /** Order: kept before it decides, so that no decision can name a bundle that is not there. */
  async #keepAndPlace(bundle: Bundle, commit: string | null): Promise<void> {
    const { bundles, source } = this.#ports
    const { id, content } = bundle
    await this.#place(bundle, commit, async () => {
      // An operator who came in between is right.
      if (this.#pinned !== undefined) return false
      this.#followed = bundle
      await bundles.keep({ id, content, source: source.name, commit })
      return true
    })
  }

  /** One at a time. `prepare` says whether it is still wanted when its turn has come. */
  #place(bundle: Bundle, commit: string | null, prepare: () => Promise<boolean>): Promise<void> {
    const placed = this.#placing.then(async () => {
      const isNew = bundle.id !== this.#active.bundle.id
      if (!isNew && commit === this.#commit) return
      if (!(await prepare())) return
      if (isNew) await this.#activate(bundle)
      this.#commit = commit
    })
    this.#placing = placed.catch(() => undefined)
    return placed
  }

  async #activate(bundle: Bundle): Promise<void> {
    const { engine, clock, log } = this.#ports
    await engine.activate(bundle.generation)
    this.#active = this.#decidedBy(bundle)
    this.#activatedAt = clock.now()
    this.#confirmedAt = clock.now()
    log.info({ bundle: bundle.id, policies: bundle.policies.size }, 'a bundle is active')
    for (const tell of this.#subscribers) tell(bundle.id)
  }

  async #confirm(): Promise<void> {
    const { bundles, clock } = this.#ports
    this.#confirmedAt = clock.now()
    if (clock.monotonic() - this.#toldAt < CONFIRM_MS) return
    this.#toldAt = clock.monotonic()
    await bundles.confirm(this.#active.bundle.id)
  }

  #tell(problem: Problem): void {
    const { log } = this.#ports
    if (problem.message !== this.#problem?.message) {
      const { bundle } = this.#active
      const active = { active: bundle.id, findings: problem.findings }
      log.error(active, `the bundle stays as it was: ${problem.message}`)
    }
    this.#problem = problem
  }

  #decidedBy(bundle: Bundle): Active {
    const { engine } = this.#ports
    const isStale = (): boolean => this.#isStale(bundle)
    return {
      bundle,
      authorizer: createAuthorizer({ bundle, engine, isStale }),
      own: createOwnAuthorizer({ bundle, engine, isStale }),
    }
  }

  #isStale(bundle: Bundle): boolean {
    return this.#ports.clock.now() - this.#confirmedAt > bundle.maxAgeMs
  }
}
