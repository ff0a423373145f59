// Owns hearing what changed of who may call: looks at `identity_change` four times a second, whoever wrote it. A
// notification only makes it look at once; what one says is never read. Never decides what a change means.
import {
  CHANGES_REMEMBERED_MAX,
  CLOCK_SKEW_MS_MAX,
  GRANT_AGE_MS_MAX,
  IDENTITY_CHANGE_KEPT_MS,
  LISTEN_PAUSE_MS,
  REVOCATION_POLL_MS,
} from '../../../schemas/limits.ts'
import type { Clock } from '../../../schemas/ports.ts'
import type { Store } from '../store/open.ts'
import { type Changes, type Origin, rememberChanges } from './changes.ts'
import { LOOK, type Look, lookOf, PRUNE, whatChanged } from './look.ts'

/** What a look found: changes, or that anything may have changed; `lost`: for too long there was no look at all. */
export type Heard = readonly Origin[] | 'all' | 'lost'

export type ChangeFeed = Pick<Changes, 'position' | 'isChanged'> & {
  /** Nothing read of these before now is used again. After every write of our own. */
  readonly note: Changes['note']
  /**
   * Whether what is remembered may be used: the last successful look began less than GRANT_AGE_MS_MAX ago by both
   * clocks, the one that never steps and the one that may.
   */
  readonly isFresh: () => boolean
  /** Resolves when it is fresh, at once or after a look. Throws when the database does not answer in time. */
  readonly refresh: () => Promise<void>
  /** Resolves when a look that began after the call has succeeded; rejects when it failed. */
  readonly pollNow: () => Promise<void>
  /** Whether our clock and the database's were more than CLOCK_SKEW_MS_MAX apart at the last look. */
  readonly isClockWrong: () => boolean
  /** Calls back after every look, until the signal aborts. Must not throw. */
  readonly subscribe: (onHeard: (heard: Heard) => void, signal?: AbortSignal) => void
  /** Looks once, then again and again until stopped. Throws when the first look fails. */
  readonly start: () => Promise<void>
  readonly stop: () => Promise<void>
}

export type FeedPorts = {
  readonly store: Pick<Store, 'sql' | 'prompt' | 'listen'>
  readonly clock: Clock
  /** Told of the first failure after a success. */
  readonly onFailure: (error: unknown) => void
}

/** What a trigger of the database notifies (0004_identity.sql). */
const CHANNEL = 'cedargate_identity'

/** Looks only when asked to, until it is started. */
export function openChangeFeed(ports: FeedPorts): ChangeFeed {
  return new Looking(ports)
}

class Looking implements ChangeFeed {
  readonly #ports: FeedPorts
  readonly #changes = rememberChanges(CHANGES_REMEMBERED_MAX)
  readonly #subscribers = new Set<(heard: Heard) => void>()
  #last: Look | undefined
  #underWay: Promise<void> | undefined
  #next: Promise<void> | undefined
  #failing = false
  /** What was over at an earlier look: rows before it were seen by everybody who looks. */
  #over: Look | undefined
  #timer: NodeJS.Timeout | undefined
  #hint: NodeJS.Timeout | undefined
  #unlisten: () => Promise<void> = async () => {}

  constructor(ports: FeedPorts) {
    this.#ports = ports
  }

  position(): number {
    return this.#changes.position()
  }

  isChanged(origins: readonly Origin[], since: number): boolean {
    return this.#changes.isChanged(origins, since)
  }

  note(changed: readonly Origin[]): void {
    this.#changes.note(changed)
  }

  isFresh(): boolean {
    const { clock } = this.#ports
    const last = this.#last
    if (last === undefined) return false
    const passed = clock.monotonic() - last.monotonic
    return Math.max(passed, Math.abs(clock.now() - last.wall)) < GRANT_AGE_MS_MAX
  }

  isClockWrong(): boolean {
    return (this.#last?.skewMs ?? 0) > CLOCK_SKEW_MS_MAX
  }

  async refresh(): Promise<void> {
    // The first may have begun too early.
    for (let attempt = 0; attempt < 2 && !this.isFresh(); attempt++)
      await (this.#underWay ?? this.#look())
    if (!this.isFresh()) throw new Error(`no look at revocations within ${GRANT_AGE_MS_MAX} ms`)
  }

  pollNow(): Promise<void> {
    if (this.#underWay === undefined) return this.#look()
    this.#next ??= this.#underWay
      .catch(() => {})
      .then(() => {
        this.#next = undefined
        return this.#underWay ?? this.#look()
      })
    return this.#next
  }

  subscribe(onHeard: (heard: Heard) => void, signal?: AbortSignal): void {
    this.#subscribers.add(onHeard)
    signal?.addEventListener('abort', () => this.#subscribers.delete(onHeard), { once: true })
  }

  async start(): Promise<void> {
    await this.pollNow()
    this.#timer = setInterval(() => {
      if (this.#underWay === undefined) this.#look().catch(() => {})
    }, REVOCATION_POLL_MS)
    this.#timer.unref()
    this.#unlisten = this.#ports.store.listen(CHANNEL, () => {
      this.#hint ??= setTimeout(() => {
        this.#hint = undefined
        this.pollNow().catch(() => {})
      }, LISTEN_PAUSE_MS)
    })
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    clearTimeout(this.#hint)
    await this.#unlisten()
    await this.#underWay?.catch(() => {})
  }

  /** Never two at once. */
  #look(): Promise<void> {
    this.#underWay = this.#lookOnce()
      .catch((error: unknown) => {
        if (!this.#failing) this.#ports.onFailure(error)
        this.#failing = true
        if (!this.isFresh()) this.#tell('lost')
        throw error
      })
      .finally(() => {
        this.#underWay = undefined
      })
    return this.#underWay
  }

  async #lookOnce(): Promise<void> {
    const { clock, store } = this.#ports
    const began = { wall: clock.now(), monotonic: clock.monotonic() }
    const [row] = await store.prompt.query(LOOK, [this.#last?.snapshot ?? null], 'identity-look')
    const look = lookOf(row, began, clock.now())
    const heard = whatChanged(this.#last, look)
    if (heard === 'all') this.#changes.forget()
    else this.#changes.note(heard)
    this.#last = look
    this.#failing = false
    this.#tell(heard)
    this.#prune(look)
  }

  #tell(heard: Heard): void {
    for (const tell of this.#subscribers) tell(heard)
  }

  /** Who was away for half as long as rows are kept forgets everything (whatChanged). */
  #prune(look: Look): void {
    const over = this.#over ?? look
    if (look.at - over.at < IDENTITY_CHANGE_KEPT_MS) {
      this.#over = over
      return
    }
    this.#over = look
    this.#ports.store.sql.query(PRUNE, [over.horizon]).catch(this.#ports.onFailure)
  }
}
