// Owns doing one thing again and again, never twice at a time: whoever asks while it is done is served by the next turn.
// `work` must not reject.

export class Turns {
  readonly #work: () => Promise<void>
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined
  #stopped = false

  constructor(work: () => Promise<void>) {
    this.#work = work
  }

  /** Sees to it that a turn is under way. */
  ask(): void {
    if (this.#running === undefined && this.#next === undefined) void this.next()
  }

  /** Resolves when a turn that began after now is over; however many ask meanwhile, it is one. */
  next(): Promise<void> {
    if (this.#running === undefined) return this.#run()
    this.#next ??= this.#running.then(() => {
      this.#next = undefined
      return this.next()
    })
    return this.#next
  }

  /** No turn begins any more; resolves when the one under way is over. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  #run(): Promise<void> {
    if (this.#stopped) return Promise.resolve()
    const running = this.#work().finally(() => {
      if (this.#running === running) this.#running = undefined
    })
    this.#running = running
    return running
  }
}
