// Owns saying when a tool becomes held and when it is no more, once each. Remembers in this process
// alone: one that starts anew says again what is held. Never decides.
import type { ToolState } from '../../../schemas/pep-api.ts'

export type SeenTool = {
  readonly name: string
  readonly sha256: string
  readonly state: ToolState
}

export type HeldPorts = {
  readonly log: {
    readonly warn: (fields: object, message: string) => void
    readonly info: (fields: object, message: string) => void
  }
}

/** Lines about single tools in one look; a server may change them all at once, for ever. */
export const HELD_LINES_MAX = 32

/** Takes every look at a server, whole. */
export type WatchHeld = (server: string, seen: readonly SeenTool[]) => void

export function watchHeld({ log }: HeldPorts): WatchHeld {
  const held = new Map<string, ReadonlySet<string>>()
  return (server, seen) => {
    const before = held.get(server) ?? new Set<string>()
    const now = new Map(
      seen.filter(({ state }) => state !== 'reviewed').map((tool) => [tool.name, tool]),
    )
    held.set(server, new Set(now.keys()))
    const came = [...now.values()].filter(({ name }) => !before.has(name))
    const went = [...before].filter((name) => !now.has(name))
    for (const { name, state, sha256 } of came.slice(0, HELD_LINES_MAX))
      log.warn({ server, tool: name, state, sha256 }, 'a tool is held: it is not as reviewed')
    for (const tool of went.slice(0, HELD_LINES_MAX))
      log.info({ server, tool }, 'a tool is no longer held')
    const unsaid = { held: more(came), released: more(went) }
    if (unsaid.held + unsaid.released > 0)
      log.warn({ server, ...unsaid }, 'more tools are held, or no longer')
  }
}

function more(of: readonly unknown[]): number {
  return Math.max(of.length - HELD_LINES_MAX, 0)
}
