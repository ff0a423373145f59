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

/** How often to look whether an operator holds a bundle; the source has its own pace. */
const TICK_MS = 500
/** How often the database is told that the source still holds what is active. */
const CONFIRM_MS = 30_000
/** Until a bundle that could not be put in place, though nothing is wrong with it, is tried again. */
const RETRY_MS = 5_000
/** A bundle that is being checked when the process is told to stop is not waited for. */
const STOP_MS = 2_000

/** Follows the source until stopped. `started.bundle` is active in the engine already. */
export function startActivation(ports: ActivationPorts, started: Started): Activation {
  const following = new Following(ports, started)
  following.start()
  return following
}

class Following implements Activation {
  readonly #ports: ActivationPorts
  readonly #subscribers = new Set<(bundle: string) => void>()
  #active: Active
  #commit: string | null
  #activatedAt: number
  #confirmedAt: number
  #toldAt = Number.NEGATIVE_INFINITY
  #problem: Problem | null
  #pinned = false
  /** Why the bundle of that revision was refused. */
  #rejected: Problem | null
  /** The revision of the source that was looked into last, whatever came of it. */
  #tried: string
  #lookedAt = Number.NEGATIVE_INFINITY
  #work: Promise<void> = Promise.resolve()
  #waiting: Promise<void> | undefined
  /** After a failure that may pass by itself. */
  #pauseMs = 0
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(ports: ActivationPorts, started: Started) {
    this.#ports = ports
    this.#active = this.#decidedBy(started.bundle)
    this.#commit = started.commit
    this.#activatedAt = ports.clock.now()
    this.#confirmedAt = started.confirmedAt
    this.#problem = started.problem
    this.#rejected = started.problem
    this.#tried = started.revision
  }

  start(): void {
    const { source, clock } = this.#ports
    const again = (): void => {
      if (this.#stopped) return
      const due = clock.monotonic() - this.#lookedAt >= Math.max(source.intervalMs, this.#pauseMs)
      this.#work = this.#work.then(() => this.#step(due))
      void this.#work.finally(() => {
        this.#timer = setTimeout(again, Math.min(TICK_MS, source.intervalMs))
        this.#timer.unref()
      })
    }
    this.#lookedAt = clock.monotonic()
    again()
  }

  active = (): Active => this.#active

  status = (): ActivationStatus => ({
    bundle: this.#active.bundle,
    source: this.#ports.source.name,
    commit: this.#commit,
    activatedAt: this.#activatedAt,
    confirmedAt: this.#confirmedAt,
    stale: this.#isStale(this.#active.bundle),
    pinned: this.#pinned,
    problem: this.#problem,
  })

  /** One look is waited for at most, however many ask: it begins after them all. */
  refresh = (): Promise<void> => {
    this.#waiting ??= this.#work.then(() => {
      this.#waiting = undefined
      return this.#step(true)
    })
    this.#work = this.#waiting
    return this.#waiting
  }

  subscribe = (onActivated: (bundle: string) => void, signal: AbortSignal): void => {
    this.#subscribers.add(onActivated)
    signal.addEventListener('abort', () => this.#subscribers.delete(onActivated), { once: true })
  }

  stop = async (): Promise<void> => {
    this.#stopped = true
    clearTimeout(this.#timer)
    await Promise.race([this.#work, sleep(STOP_MS, undefined, { ref: false })])
  }

  /** Never rejects: what goes wrong is a problem to tell, and the bundle before goes on deciding. */
  async #step(look: boolean): Promise<void> {
    try {
      const pinned = await this.#ports.bundles.pinned()
      if (pinned !== undefined) return await this.#hold(pinned)
      if (this.#pinned) this.#tried = ''
      if (look || this.#pinned) await this.#follow()
      this.#pinned = false
    } catch (error) {
      this.#tell(problemOf(error))
    }
  }

  async #hold(id: string): Promise<void> {
    if (id !== this.#active.bundle.id) {
      const content = await this.#ports.bundles.content(id)
      if (content === undefined) throw new Error(`the bundle ${id} is not kept any more`)
      const bundle = await this.#ports.load(await storedFiles(content))
      if (bundle.id !== id) throw new Error(`the bundle ${id} is another one with this engine`)
      await this.#activate(bundle, null)
    }
    this.#pinned = true
    this.#problem = null
    await this.#confirm()
  }

  async #follow(): Promise<void> {
    const { source, clock } = this.#ports
    this.#lookedAt = clock.monotonic()
    const snapshot = await source.look()
    if (snapshot.revision !== this.#tried) {
      this.#tried = ''
      await this.#take(snapshot)
    } else this.#problem = this.#rejected
    if (this.#problem === null) await this.#confirm()
  }

  /** A bundle that is wrong is not looked into again until its source changes; any other failure may pass. */
  async #take(snapshot: Snapshot): Promise<void> {
    const { load, trust, log, source } = this.#ports
    const { revision, commit } = snapshot
    try {
      const bundle = await load(await readBundleFiles(await snapshot.open()))
      const unsigned = await unsignedProblem(snapshot, bundle, {
        trust,
        before: this.#active.bundle,
      })
      if (unsigned !== undefined) throw unsigned
      if (bundle.id !== this.#active.bundle.id) await this.#activate(bundle, commit)
      else if (commit !== this.#commit) {
        this.#commit = commit
        await this.#ports.bundles.keep({ ...bundle, source: source.name, commit })
      }
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
  async #activate(bundle: Bundle, commit: string | null): Promise<void> {
    const { bundles, engine, source, clock, log } = this.#ports
    await bundles.keep({ id: bundle.id, content: bundle.content, source: source.name, commit })
    await engine.activate(bundle.generation)
    this.#active = this.#decidedBy(bundle)
    this.#commit = commit
    this.#activatedAt = clock.now()
    this.#confirmedAt = clock.now()
    log.info({ bundle: bundle.id, commit, policies: bundle.policies.size }, 'a bundle is active')
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
