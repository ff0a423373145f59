// Owns self-clocking batches: what gathers while a request is under way is the next request. No
// timer, no added wait. Knows nothing of what it carries.

export type BatchOptions<Item, Result> = {
  /** Items, and their summed weight, in one batch; a single item may outweigh it. */
  readonly countMax: number
  readonly weightMax: number
  readonly weigh: (item: Item) => number
  readonly inFlightMax: number
  /** Items that may wait; one more is rejected with `full()`. */
  readonly waitingMax: number
  readonly full: () => Error
  /** One result per item, in order. Rejects for all of them at once. Bounds its own time. */
  readonly send: (items: readonly Item[]) => Promise<readonly Result[]>
}

type Waiting<Item, Result> = {
  readonly item: Item
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
}

/**
 * A function that puts an item into the next batch and answers its own result. Items of one turn of
 * the event loop travel together. Does NOT retry.
 */
export function createBatcher<Item, Result>(
  options: BatchOptions<Item, Result>,
): (item: Item) => Promise<Result> {
  let waiting: Waiting<Item, Result>[] = []
  let inFlight = 0
  let scheduled = false

  return (item) =>
    new Promise((resolve, reject) => {
      if (waiting.length >= options.waitingMax) {
        reject(options.full())
        return
      }
      waiting.push({ item, resolve, reject })
      schedule()
    })

  function schedule(): void {
    if (scheduled || inFlight >= options.inFlightMax || waiting.length === 0) return
    scheduled = true
    setImmediate(flush)
  }

  function flush(): void {
    scheduled = false
    const batch = take()
    inFlight += 1
    void deliver(options.send, batch).finally(() => {
      inFlight -= 1
      schedule()
    })
    schedule()
  }

  function take(): Waiting<Item, Result>[] {
    let weight = 0
    let count = 0
    for (const { item } of waiting) {
      weight += options.weigh(item)
      if (count === options.countMax || (count > 0 && weight > options.weightMax)) break
      count += 1
    }
    const batch = waiting.slice(0, count)
    waiting = waiting.slice(count)
    return batch
  }
}

async function deliver<Item, Result>(
  send: BatchOptions<Item, Result>['send'],
  batch: readonly Waiting<Item, Result>[],
): Promise<void> {
  try {
    const results = await send(batch.map(({ item }) => item))
    if (results.length !== batch.length) throw new Error('a batch was answered in another length')
    for (const [index, { resolve }] of batch.entries()) resolve(results[index] as Result)
  } catch (error) {
    for (const { reject } of batch) reject(error)
  }
}
