// Owns remembering what the database said about a credential for a bounded time, and forgetting it
// at once when told. Never remembers that a credential is unknown: a new one must work at once.
import { GRANT_AGE_MS_MAX } from '../../../schemas/limits.ts'

/** Answers for those digests that exist, whatever their state. */
export type Lookup<Value> = (digests: readonly string[]) => Promise<ReadonlyMap<string, Value>>

export type Recent<Value> = {
  /**
   * What stood in the database no longer than GRANT_AGE_MS_MAX ago. Throws when a look-up cannot be
   * that quick.
   */
  readonly get: (digests: readonly string[]) => Promise<ReadonlyMap<string, Value>>
  /** Whatever was learnt from a look-up begun before now is not used again. */
  readonly forget: () => void
}

/** Credentials kept at most; the oldest go first. */
const ENTRIES_MAX = 10_000
/**
 * A look-up that was overtaken by `forget`, or came back too late, is repeated this often in all.
 */
const ATTEMPTS_MAX = 3

type Entry<Value> = { readonly value: Value; readonly asOf: number }
type Answer<Value> = { readonly values: ReadonlyMap<string, Value>; readonly asOf: number }

/** `monotonic` in milliseconds. Look-ups of the same digest under way are shared. */
export function rememberRecent<Value>(
  lookup: Lookup<Value>,
  monotonic: () => number,
): Recent<Value> {
  const entries = new Map<string, Entry<Value>>()
  const underWay = new Map<string, Promise<Answer<Value>>>()
  let generation = 0
  const isFresh = (asOf: number): boolean => monotonic() - asOf < GRANT_AGE_MS_MAX

  return {
    async get(digests) {
      const wanted = [...new Set(digests)]
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        const started = generation
        const found = await gather(wanted)
        if (found !== undefined && started === generation) return found
      }
      throw new Error(`credentials could not be looked up within ${GRANT_AGE_MS_MAX} ms`)
    },
    forget() {
      generation++
      entries.clear()
      underWay.clear()
    },
  }

  /** Undefined when one of the answers is too old by now. */
  async function gather(wanted: readonly string[]): Promise<Map<string, Value> | undefined> {
    const found = new Map<string, Value>()
    const missing = wanted.filter((digest) => {
      const entry = entries.get(digest)
      if (entry === undefined || !isFresh(entry.asOf)) return true
      found.set(digest, entry.value)
      return false
    })
    for (const { values, asOf } of await Promise.all(answers(missing))) {
      if (!isFresh(asOf)) return undefined
      for (const digest of missing) {
        const value = values.get(digest)
        if (value !== undefined) found.set(digest, value)
      }
    }
    return found
  }

  function answers(missing: readonly string[]): Set<Promise<Answer<Value>>> {
    const shared = missing.flatMap((digest) => underWay.get(digest) ?? [])
    const rest = missing.filter((digest) => !underWay.has(digest))
    return new Set(rest.length === 0 ? shared : [...shared, ask(rest)])
  }

  function ask(digests: readonly string[]): Promise<Answer<Value>> {
    const [started, asOf] = [generation, monotonic()]
    const answer = answerAt(lookup(digests), asOf).finally(() => {
      for (const digest of digests) if (underWay.get(digest) === answer) underWay.delete(digest)
    })
    for (const digest of digests) underWay.set(digest, answer)
    return answer.then((got) => {
      if (started === generation) remember(entries, got)
      return got
    })
  }
}

async function answerAt<Value>(
  lookup: Promise<ReadonlyMap<string, Value>>,
  asOf: number,
): Promise<Answer<Value>> {
  return { values: await lookup, asOf }
}

function remember<Value>(
  entries: Map<string, Entry<Value>>,
  { values, asOf }: Answer<Value>,
): void {
  for (const [digest, value] of values) {
    entries.delete(digest)
    entries.set(digest, { value, asOf })
  }
  for (const oldest of entries.keys()) {
    if (entries.size <= ENTRIES_MAX) break
    entries.delete(oldest)
  }
}
