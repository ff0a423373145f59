// Owns what of a server was reviewed: which definitions of which tools, and how one that was seen
// stands to them. Pure.
import type { ToolsLock } from '../../../schemas/bundle.ts'
import type { ReviewedResponse, ToolState } from '../../../schemas/pep-api.ts'

/** What of a bundle is read here. */
export type ReviewedBundle = {
  readonly id: string
  readonly servers: ReadonlyMap<string, ReviewedServer>
}

type ReviewedServer = {
  readonly lock: ToolsLock
  readonly tools: ReadonlyMap<string, { readonly variants: ReadonlyMap<string, unknown> }>
}

/** `unknown`: no tool of that name was reviewed; `changed`: one was, in other definitions. */
export function stateOf(
  { servers }: ReviewedBundle,
  server: string,
  tool: string,
  sha256: string,
): ToolState {
  const reviewed = servers.get(server)?.tools.get(tool)
  if (reviewed === undefined) return 'unknown'
  return reviewed.variants.has(sha256) ? 'reviewed' : 'changed'
}

/** Fingerprints that were reviewed, in the order of the lock: the last is the latest. */
export function reviewedOf({ servers }: ReviewedBundle, server: string, tool: string): string[] {
  return [...(servers.get(server)?.tools.get(tool)?.variants.keys() ?? [])]
}

/** Every reviewed definition of a server, in the order of its lock; undefined for one that is not in the bundle. */
export function reviewedDefinitions(
  { id, servers }: ReviewedBundle,
  server: string,
): ReviewedResponse | undefined {
  const lock = servers.get(server)?.lock
  if (lock === undefined) return undefined
  const byName = Map.groupBy(lock.tools, ({ definition }) => definition.name)
  const tools = [...byName].map(([name, variants]) => ({
    name,
    variants: variants.map(({ sha256, definition }) => ({ sha256, definition })),
  }))
  return { bundle: id, tools }
}
