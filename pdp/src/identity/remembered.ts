// Owns remembering what the database said of a credential for as long as nothing of it changed. Never remembers that a
// credential is unknown: a new one must work at once.
import { GRANTS_REMEMBERED_MAX } from '../../../schemas/limits.ts'
import type { ChangeFeed } from './change-feed.ts'
import type { Origin } from './changes.ts'

/** Answers for those keys that exist, whatever their state. */
export type Lookup<Value> = (keys: readonly string[]) => Promise<ReadonlyMap<string, Value>>

/**
 * By key, as it stood in the database no longer than GRANT_AGE_MS_MAX ago; absent where there is none. Throws when the
 * database does not answer in time, or answers what is overtaken again and again.
 */
export type Remembered<Value> = (keys: readonly string[]) => Promise<ReadonlyMap<string, Value>>

export type RememberedPorts<Value> = {
  readonly feed: Pick<ChangeFeed, 'position' | 'isChanged' | 'isFresh' | 'refresh'>
  readonly lookup: Lookup<Value>
  /** All that an answer was read from: when one of them changes, it is looked up anew. */
  readonly originsOf: (value: Value) => readonly Origin[]
  /** The oldest go first. Default GRANTS_REMEMBERED_MAX. */
  readonly max?: number
}

/** A look-up that was overtaken is repeated this often in all. */
const ATTEMPTS_MAX = 3

/** `since`: the position of the feed when its look-up began. */
type Entry<Value> = { readonly value: Value; readonly since: number }
type Answer<Value> = {
  readonly since: number
  readonly found: Promise<ReadonlyMap<string, Entry<Value>>>
}

/** Look-ups of the same key under way are shared while nothing changes. */
export function remembered<Value>(ports: RememberedPorts<Value>): Remembered<Value> {
  const { feed, lookup, originsOf, max = GRANTS_REMEMBERED_MAX } = ports
  const entries = new Map<string, Entry<Value>>()
  const underWay = new Map<string, Answer<Value>>()
  const isCurrent = ({ value, since }: Entry<Value>): boolean =>
    !feed.isChanged(originsOf(value), since)

  return async function get(keys) {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      if (!feed.isFresh()) await feed.refresh()
      const found = new Map<string, Entry<Value>>()
      const missing = keys.filter((key) => !find(key, found))
      if (missing.length > 0) await gather(missing, found)
      if (missing.length === 0 || (feed.isFresh() && [...found.values()].every(isCurrent)))
        return valuesOf(found)
    }
    throw new Error('credentials change faster than they can be looked up')
  }

  function find(key: string, found: Map<string, Entry<Value>>): boolean {
    const entry = entries.get(key)
    if (entry === undefined) return false
    if (isCurrent(entry)) found.set(key, entry)
    else entries.delete(key)
    return found.has(key)
  }

  async function gather(missing: readonly string[], found: Map<string, Entry<Value>>) {
    const answers = new Set<Answer<Value>>()
    const rest = new Set<string>()
    for (const key of missing) {
      const answer = underWay.get(key)
      // An older one may not know yet of what there is now.
      if (answer?.since === feed.position()) answers.add(answer)
      else rest.add(key)
    }
    if (rest.size > 0) answers.add(ask([...rest]))
    for (const values of await Promise.all([...answers].map((answer) => answer.found)))
      for (const key of missing) {
        const entry = values.get(key)
        if (entry !== undefined) found.set(key, entry)
      }
  }

  function ask(keys: readonly string[]): Answer<Value> {
    const answer = { since: feed.position(), found: lookupAt(feed.position(), keys) }
    for (const key of keys) underWay.set(key, answer)
    const over = (): void => {
      for (const key of keys) if (underWay.get(key) === answer) underWay.delete(key)
    }
    answer.found.then(over, over)
    return answer
  }

  async function lookupAt(since: number, keys: readonly string[]) {
    const values = await lookup(keys)
    const found = new Map<string, Entry<Value>>()
    for (const [key, value] of values) {
      const entry = { value, since }
      found.set(key, entry)
      if (isCurrent(entry)) keep(key, entry)
    }
    return found
  }

  function keep(key: string, entry: Entry<Value>): void {
    entries.delete(key)
    entries.set(key, entry)
    if (entries.size <= max) return
    const [oldest] = entries.keys()
    if (oldest !== undefined) entries.delete(oldest)
  }
}

function valuesOf<Value>(found: ReadonlyMap<string, Entry<Value>>): Map<string, Value> {
  const values = new Map<string, Value>()
  for (const [key, { value }] of found) values.set(key, value)
  return values
}
