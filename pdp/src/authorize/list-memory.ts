// Owns remembering what a list shows to whom: most policies ask nothing of it that differs from call to call. Never
// remembers what depends on the moment or on how a request came; a bundle that is replaced takes its memory with it.
import type { AuthorizationRequest, EngineKeys } from './types.ts'

/** Lists remembered; the one that was not used for longest goes first. */
const LISTS_MAX = 1_024

export type ListMemory = {
  readonly get: (key: string) => readonly string[] | undefined
  readonly set: (key: string, names: readonly string[]) => void
}

export function createListMemory(): ListMemory {
  const lists = new Map<string, readonly string[]>()
  return {
    get(key) {
      const found = lists.get(key)
      if (found === undefined) return undefined
      lists.delete(key)
      lists.set(key, found)
      return found
    },
    set(key, names) {
      lists.set(key, names)
      for (const oldest of lists.keys()) {
        if (lists.size <= LISTS_MAX) break
        lists.delete(oldest)
      }
    },
  }
}

/** Everything of a request that a policy can see when it does not look at `context.request`. */
export function listKey(filter: string, of: AuthorizationRequest): string {
  const { server, user, teams, agent, grant, scopes } = of
  return JSON.stringify([filter, server, user, teams.toSorted(), agent, grant, scopes])
}

/** Whether these policies can be answered from memory. */
export function isLasting({ reads }: EngineKeys): boolean {
  return reads !== 'all' && !reads.has('request')
}
