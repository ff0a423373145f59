// Owns knowing what tools a server serves now: when the PEP looks for itself, and which fingerprint
// decides a call. What a caller was shown counts for that caller alone.
import { setTimeout as sleep } from 'node:timers/promises'
import { createDue, type Due } from './due.ts'
import { DISCOVERY_COOLDOWN_MS, DISCOVERY_INTERVAL_MS, DISCOVERY_WAIT_MS } from './limits.ts'
import { type LookPorts, lookAt } from './look.ts'
import type { Monotonic, PdpPort } from './ports.ts'
import type { Caller, Shown } from './reviewed.ts'
import { createTeller } from './tell.ts'
import { createVariants, type Variants } from './variants.ts'

export type DiscoverPorts = LookPorts & {
  readonly pdp: PdpPort
  readonly monotonic: Monotonic
  readonly isReviewed: (server: string, tool: string, sha256: string) => boolean
}

export type Discovery = {
  /**
   * Lower-case hex SHA-256 of the RFC 8785 form of the definition that the caller's own list
   * showed, or else of what the PEP saw; null where none was seen. Looks first, for up to
   * DISCOVERY_WAIT_MS, if it never saw it.
   */
  readonly definitionOf: (caller: Caller, tool: string) => string | null | Promise<string | null>
  /**
   * Looks now; joins a look that is under way. Resolves when the PDP was told too. Never rejects: a
   * failure is logged and what was known stays.
   */
  readonly look: (server: string) => Promise<void>
  /** A server says that its tools changed: looks, but not within DISCOVERY_COOLDOWN_MS of another look. */
  readonly changed: (server: string) => void
  /** What a caller's list showed of tools that were reviewed. */
  readonly shown: (caller: Caller, shown: Shown) => void
  readonly forget: (server: string) => void
  /** Looks no more; a look under way fails in silence. */
  readonly stop: () => void
}

type Known = {
  definitions: ReadonlyMap<string, string>
  readonly variants: Variants
  lookedAt: number
  looking: Promise<void> | undefined
  told: Promise<void>
  /** The next look that somebody asked for. */
  readonly next: Due
}

export function createDiscovery(ports: DiscoverPorts): Discovery {
  const { monotonic, log, serverOf, isReviewed } = ports
  const known = new Map<string, Known>()
  const teller = createTeller(ports)
  let isStopped = false
  const knownOf = (server: string): Known => {
    const found = known.get(server)
    if (found !== undefined) return found
    const next = createDue(monotonic, () => {
      // A look under way may have passed what changed: another follows it.
      if (entry.looking === undefined) void join(server)
      else next.within(DISCOVERY_COOLDOWN_MS)
    })
    const entry = nothingKnown(next)
    known.set(server, entry)
    return entry
  }
  const lookOnce = async (server: string, entry: Known): Promise<void> => {
    entry.next.clear()
    try {
      const gathering = teller.gather(server)
      const seen = await lookAt(ports, server, gathering)
      if (seen === undefined || known.get(server) !== entry) return
      entry.definitions = seen.definitions
      entry.variants.settle(seen.definitions, (tool, sha256) => isReviewed(server, tool, sha256))
      entry.told = teller.tellLook(server, gathering.sights())
      lookAgainAfter(entry, seen.ttlMs)
    } catch (error) {
      if (!isStopped) log.warn({ server, err: error }, 'the tools of a server could not be listed')
    } finally {
      entry.looking = undefined
      entry.lookedAt = monotonic()
    }
  }
  const join = (server: string): Promise<void> => {
    const entry = knownOf(server)
    entry.looking ??= lookOnce(server, entry)
    return entry.looking
  }
  const changed = (server: string): void => {
    lookAgain(known.get(server), monotonic())
  }
  return {
    look: (server) => join(server).then(() => known.get(server)?.told),
    changed,
    shown(caller, shown) {
      const news = noteShown(known.get(caller.server), caller, shown)
      for (const { tool, sha256, items } of news)
        if (!isReviewed(caller.server, tool, sha256)) teller.tellShown(caller.server, tool, items)
      if (news.length > 0) changed(caller.server)
    },
    forget(server) {
      known.get(server)?.next.clear()
      known.delete(server)
      teller.forget(server)
    },
    stop() {
      isStopped = true
      for (const { next } of known.values()) next.clear()
    },
    definitionOf({ server, grant }, tool) {
      if (serverOf(server) === undefined) return null
      const entry = knownOf(server)
      const seen = definitionIn(entry, grant, tool)
      if (seen !== null) return seen
      if (isCooling(entry, monotonic())) return null
      const late = sleep(DISCOVERY_WAIT_MS, undefined, { ref: false })
      return Promise.race([join(server), late]).then(() => definitionIn(entry, grant, tool))
    },
  }
}

/** Of a look under way what changed may have been passed already. */
function lookAgain(known: Known | undefined, now: number): void {
  if (known === undefined) return
  const { next, lookedAt, looking } = known
  const rest = DISCOVERY_COOLDOWN_MS - (now - lookedAt)
  next.within(looking === undefined ? Math.max(rest, 0) : DISCOVERY_COOLDOWN_MS)
}

function isCooling({ lookedAt, looking }: Known, now: number): boolean {
  return looking === undefined && now - lookedAt < DISCOVERY_COOLDOWN_MS
}

function lookAgainAfter({ next }: Known, ttlMs: number | undefined): void {
  if (ttlMs === undefined || ttlMs >= DISCOVERY_INTERVAL_MS) return
  next.within(Math.max(ttlMs, DISCOVERY_COOLDOWN_MS))
}

function definitionIn(
  { definitions, variants }: Known,
  grant: string | null,
  tool: string,
): string | null {
  const shown = grant === null ? undefined : variants.of(grant, tool)
  return shown ?? definitions.get(tool) ?? null
}

/** What this caller was shown otherwise than the gateway's own look, for the first time. */
function noteShown(known: Known | undefined, { grant }: Caller, shown: Shown) {
  if (known === undefined || grant === null) return []
  const { definitions, variants } = known
  const all = [...shown].map(([tool, listed]) => ({ tool, ...listed }))
  return all.filter(({ tool, sha256 }) => {
    return variants.show(grant, tool, sha256, definitions.get(tool) ?? null)
  })
}

function nothingKnown(next: Due): Known {
  return {
    definitions: new Map(),
    variants: createVariants(),
    lookedAt: Number.NEGATIVE_INFINITY,
    looking: undefined,
    told: Promise.resolve(),
    next,
  }
}
