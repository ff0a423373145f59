// Owns the threads of one generation and the queue before them. Whatever gathers while threads are busy goes in one
// message to the next free one. Never answers for Cedar: what no thread answered is a fault.
import assert from 'node:assert/strict'
import type { EngineAnswer, PackedGeneration } from '../../../schemas/cedar.ts'
import { DECIDE_CALLS_MAX } from '../../../schemas/limits.ts'
import type { WorkerCall } from './messages.ts'
import type { Thread } from './thread.ts'
import { startThread, ThreadLost } from './thread.ts'

/** Parsing a whole generation in a new thread. */
const ACTIVATE_TIMEOUT_MS = 60_000
/** Pause before another try to start a thread that could not be started. */
const RESTART_PAUSE_MS = 1_000

export type PoolCounts = {
  evaluations: number
  throws: number
  replaced: number
  retried: number
  faults: number
}
export type PoolSettings = {
  readonly module: WebAssembly.Module
  readonly generation: PackedGeneration
  readonly threads: number
  readonly timeoutMs: number
  readonly throwsMax: number
  readonly counts: PoolCounts
  /** Default: a thread of thread.ts. */
  readonly start?: (module: WebAssembly.Module) => Thread
}
export type Pool = {
  evaluate(calls: readonly WorkerCall[]): Promise<EngineAnswer[]>
  /** Resolves when nothing is queued or under way; new calls may still come. */
  drained(): Promise<void>
  stop(): Promise<void>
}

type Item = {
  readonly call: WorkerCall
  readonly settle: (answer: EngineAnswer) => void
  settled: boolean
  attempts: number
}
type Seat = { readonly thread: Thread; throws: number }

/** Starts every thread and proves it. Throws when the generation cannot be activated; nothing is left running then. */
export async function startPool(settings: PoolSettings): Promise<Pool> {
  const pool = new ThreadPool(settings)
  await pool.start()
  return pool
}

class ThreadPool implements Pool {
  readonly #settings: PoolSettings
  readonly #idle: Seat[] = []
  readonly #seats = new Set<Seat>()
  #queue: Item[] = []
  #busy = 0
  #stopped = false
  #whenDrained: (() => void)[] = []

  constructor(settings: PoolSettings) {
    this.#settings = settings
  }

  async start(): Promise<void> {
    const starts = Array.from({ length: this.#settings.threads }, () => this.#seat())
    const results = await Promise.allSettled(starts)
    const failed = results.find((result) => result.status === 'rejected')
    if (failed === undefined) return
    await this.stop()
    throw failed.reason
  }

  evaluate(calls: readonly WorkerCall[]): Promise<EngineAnswer[]> {
    const items: Item[] = []
    const answers = calls.map(
      (call) =>
        new Promise<EngineAnswer>((resolve) => {
          const item: Item = { call, settled: false, attempts: 0, settle: resolve }
          items.push(item)
        }),
    )
    this.#queue.push(...items)
    this.#settings.counts.evaluations += items.length
    this.#dispatch()
    const timer = setTimeout(() => this.#expire(new Set(items)), this.#settings.timeoutMs)
    return Promise.all(answers).finally(() => clearTimeout(timer))
  }

  drained(): Promise<void> {
    if (this.#queue.length === 0 && this.#busy === 0) return Promise.resolve()
    return new Promise((resolve) => this.#whenDrained.push(resolve))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all([...this.#seats].map((seat) => seat.thread.stop()))
    this.#expire(new Set(this.#queue))
  }

  /** Starts one thread; it is used once it has proved itself. */
  async #seat(): Promise<void> {
    const { module, generation, start = startThread } = this.#settings
    const seat: Seat = { thread: start(module), throws: 0 }
    this.#seats.add(seat)
    try {
      const answer = await seat.thread.ask({ kind: 'activate', generation }, ACTIVATE_TIMEOUT_MS)
      if (answer.kind === 'failed') throw new Error(answer.message)
      assert(answer.kind === 'activated' && !this.#stopped)
    } catch (error) {
      await this.#unseat(seat)
      throw error
    }
    this.#idle.push(seat)
    this.#dispatch()
  }

  async #unseat(seat: Seat): Promise<void> {
    this.#seats.delete(seat)
    await seat.thread.stop()
  }

  async #replace(seat: Seat): Promise<void> {
    this.#settings.counts.replaced++
    await this.#unseat(seat)
    while (!this.#stopped) {
      try {
        return await this.#seat()
      } catch {
        // Until a thread can be started again every call of this generation is a fault; trying on is all there is.
        await new Promise((resolve) => setTimeout(resolve, RESTART_PAUSE_MS).unref())
      }
    }
  }

  #dispatch(): void {
    while (this.#idle.length > 0 && this.#queue.length > 0) {
      const share = Math.ceil(this.#queue.length / this.#idle.length)
      const seat = this.#idle.pop() as Seat
      void this.#run(seat, this.#take(Math.min(share, DECIDE_CALLS_MAX)))
    }
    if (this.#queue.length > 0 || this.#busy > 0) return
    for (const resolve of this.#whenDrained.splice(0)) resolve()
  }

  /** What was under way when a thread died goes alone, so that it takes nobody with it a second time. */
  #take(count: number): Item[] {
    const suspect = this.#queue.findIndex((item) => item.attempts > 0)
    if (suspect === 0) return this.#queue.splice(0, 1)
    return this.#queue.splice(0, suspect === -1 ? count : Math.min(count, suspect))
  }

  async #run(seat: Seat, items: readonly Item[]): Promise<void> {
    this.#busy++
    let usable = false
    try {
      usable = await this.#ask(seat, items)
    } catch (error) {
      const late = error instanceof ThreadLost && error.late
      for (const item of items) this.#retry(item, late)
    }
    this.#busy--
    if (usable) this.#idle.push(seat)
    else void this.#replace(seat)
    this.#dispatch()
  }

  /** Whether the thread can be used again. */
  async #ask(seat: Seat, items: readonly Item[]): Promise<boolean> {
    const { timeoutMs, throwsMax, counts } = this.#settings
    const calls = items.map((item) => item.call)
    const answer = await seat.thread.ask({ kind: 'evaluate', calls }, timeoutMs)
    if (answer.kind !== 'answered' && answer.kind !== 'died') throw new Error(answer.kind)
    for (const [index, found] of answer.answers.entries()) this.#settle(items[index], found)
    const [culprit, ...rest] = items.slice(answer.answers.length)
    if (culprit !== undefined) this.#retry(culprit, false)
    this.#queue.unshift(...rest)
    if (answer.kind === 'died') return false
    seat.throws += answer.throws
    counts.throws += answer.throws
    return seat.throws < throwsMax
  }

  #retry(item: Item, late: boolean): void {
    item.attempts++
    if (late) return this.#settle(item, fault('no answer in time'))
    if (this.#stopped) return this.#settle(item, fault('the engine was stopped'))
    if (item.attempts > 1) return this.#settle(item, fault('a second thread was lost to this call'))
    this.#settings.counts.retried++
    this.#queue.unshift(item)
  }

  /** The answer of a thread that still works on one of these comes too late, and is dropped. */
  #expire(items: ReadonlySet<Item>): void {
    this.#queue = this.#queue.filter((item) => !items.has(item))
    for (const item of items) this.#settle(item, fault('no thread was free in time'))
  }

  #settle(item: Item | undefined, answer: EngineAnswer): void {
    if (item === undefined || item.settled) return
    item.settled = true
    if (answer.kind === 'fault') this.#settings.counts.faults++
    item.settle(answer)
  }
}

function fault(cause: string): EngineAnswer {
  return { kind: 'fault', cause }
}
