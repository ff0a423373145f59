// Owns knowing what tools a server serves now: when the PEP looks for itself, and which fingerprint
// decides a call. What a caller was shown counts for that caller alone.
import { setTimeout as sleep } from 'node:timers/promises'
import type { VerdictCode } from '../../schemas/codes.ts'
import type { Upstream } from '../../schemas/pep-api.ts'
import { createDue, type Due } from './due.ts'
import type { Inbound } from './inbound/receive.ts'
import { DISCOVERY_COOLDOWN_MS, DISCOVERY_INTERVAL_MS, DISCOVERY_WAIT_MS } from './limits.ts'
import { type LookPorts, lookAt } from './look.ts'
import { type CallerLooks, createCallerLooks } from './look-as-caller.ts'
import type { Monotonic, PdpPort } from './ports.ts'
import type { Caller, Shown } from './reviewed.ts'
import { createTeller, type Sight, type Teller } from './tell.ts'
import { createVariants, type Variants } from './variants.ts'

export type DiscoverPorts = LookPorts & {
  readonly pdp: PdpPort
  readonly monotonic: Monotonic
  readonly isReviewed: (server: string, tool: string, sha256: string) => boolean
  readonly credentialOf: (server: string) => Upstream['credential']
}

export type Discovery = {
  /**
   * Lower-case hex SHA-256 of the RFC 8785 form of the definition that the caller's own list
   * showed, or else of what the PEP saw; null where none was seen. Looks first, for up to
   * DISCOVERY_WAIT_MS, if it never saw it; then as this caller, where people have credentials of
   * their own.
   */
  readonly definitionOf: (caller: Inbound, tool: string) => string | null | Promise<string | null>
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
  readonly callers: CallerLooks
  /** It was said that the gateway has no credential of its own. */
  isSaid: boolean
}

/** What all of it goes by. */
type Discovering = {
  readonly ports: DiscoverPorts
  readonly known: Map<string, Known>
  readonly teller: Teller
  isStopped: boolean
}

export function createDiscovery(ports: DiscoverPorts): Discovery {
  const { monotonic, isReviewed, credentialOf } = ports
  const known = new Map<string, Known>()
  const teller = createTeller(ports)
  const all: Discovering = { ports, known, teller, isStopped: false }
  return {
    look: (server) => join(all, server).then(() => known.get(server)?.told),
    changed(server) {
      known.get(server)?.callers.changed()
      lookAgain(known.get(server), monotonic())
    },
    shown(caller, shown) {
      const isPersonal = mayBePersonal(credentialOf(caller.server))
      if (isPersonal) known.get(caller.server)?.callers.shown(caller.grant)
      const news = noteShown(known.get(caller.server), caller, shown)
      for (const { tool, sha256, items } of news)
        if (!isReviewed(caller.server, tool, sha256)) teller.tellShown(caller.server, tool, items)
      if (news.length > 0) lookAgain(known.get(caller.server), monotonic())
    },
    forget(server) {
      known.get(server)?.next.clear()
      known.delete(server)
      teller.forget(server)
    },
    stop() {
      all.isStopped = true
      for (const { next } of known.values()) next.clear()
    },
    definitionOf: (caller, tool) => definitionOf(all, caller, tool),
  }
}

function definitionOf(
  all: Discovering,
  caller: Inbound,
  tool: string,
): string | null | Promise<string | null> {
  const { serverOf, monotonic, credentialOf } = all.ports
  const { server, grant } = caller
  if (serverOf(server) === undefined) return null
  const entry = knownOf(all, server)
  const find = () => definitionIn(entry, grant, tool)
  const isPersonal = mayBePersonal(credentialOf(server))
  if (find() !== null && !entry.callers.isStale(grant)) return find()
  if (!isPersonal && isCooling(entry, monotonic())) return find()
  const learn = async () => {
    if (find() === null && !isCooling(entry, monotonic())) await join(all, server)
    if (isPersonal && (find() === null || entry.callers.isStale(grant)))
      await entry.callers.look(caller)
  }
  const late = sleep(DISCOVERY_WAIT_MS, undefined, { ref: false })
  return Promise.race([learn(), late]).then(find)
}

function knownOf(all: Discovering, server: string): Known {
  const { known, ports } = all
  const found = known.get(server)
  if (found !== undefined) return found
  const next = createDue(ports.monotonic, () => {
    // A look under way may have passed what changed: another follows it.
    if (entry.looking === undefined) void join(all, server)
    else next.within(DISCOVERY_COOLDOWN_MS)
  })
  const callers = createCallerLooks(ports.monotonic, (as) => lookAs(all, as, entry))
  const entry = nothingKnown(next, callers)
  known.set(server, entry)
  return entry
}

function join(all: Discovering, server: string): Promise<void> {
  const entry = knownOf(all, server)
  if (ownLookIsFutile(all.ports.credentialOf(server))) {
    sayDenied(all.ports, server, entry, 'credential_unavailable')
    return Promise.resolve()
  }
  entry.looking ??= lookOnce(all, server, entry)
  return entry.looking
}

async function lookOnce(all: Discovering, server: string, entry: Known): Promise<void> {
  const { ports, known, teller } = all
  entry.next.clear()
  try {
    const gathering = teller.gather(server)
    const seen = await lookAt(ports, server, gathering)
    if (typeof seen === 'string') {
      sayDenied(ports, server, entry, seen)
      return
    }
    if (known.get(server) !== entry) return
    entry.definitions = seen.definitions
    entry.variants.settle(seen.definitions, (tool, sha256) =>
      ports.isReviewed(server, tool, sha256),
    )
    entry.told = teller.tellLook(server, gathering.sights())
    lookAgainAfter(entry, seen.ttlMs)
  } catch (error) {
    if (!all.isStopped)
      ports.log.warn({ server, err: error }, 'the tools of a server could not be listed')
  } finally {
    entry.looking = undefined
    entry.lookedAt = ports.monotonic()
  }
}

/** Whether it was allowed. */
async function lookAs(all: Discovering, as: Inbound, entry: Known): Promise<boolean> {
  const { ports, known, teller } = all
  const { server, grant } = as
  try {
    const gathering = teller.gather(server)
    const seen = await lookAt(ports, server, gathering, as)
    if (typeof seen === 'string') return false
    if (known.get(server) !== entry || grant === null) return true
    entry.variants.forget(grant)
    for (const [tool, sha256] of seen.definitions)
      entry.variants.show(grant, tool, sha256, entry.definitions.get(tool) ?? null)
    const isNew = ({ name, sha256 }: Sight) => !ports.isReviewed(server, name, sha256)
    teller.tellSights(server, gathering.sights().filter(isNew))
  } catch (error) {
    ports.log.debug({ server, err: error }, 'the tools of a server could not be listed as a caller')
  }
  return true
}

/** Nobody but a person can have a credential of this server. */
function ownLookIsFutile(credential: Upstream['credential']): boolean {
  return credential?.per === 'user' && credential.required
}

/** What a caller is shown of it may be shown to them alone. */
function mayBePersonal(credential: Upstream['credential']): boolean {
  return credential !== undefined && credential.per !== 'deployment'
}

function sayDenied(
  { log, credentialOf }: DiscoverPorts,
  server: string,
  entry: Known,
  code: VerdictCode,
): void {
  if (code !== 'credential_unavailable' || !mayBePersonal(credentialOf(server))) {
    log.warn({ server, code }, 'the gateway is denied to look at the tools of a server')
    return
  }
  if (!entry.isSaid)
    log.info({ server }, 'the tools of a server are looked at with the credentials of its callers')
  entry.isSaid = true
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

function nothingKnown(next: Due, callers: CallerLooks): Known {
  return {
    definitions: new Map(),
    variants: createVariants(),
    lookedAt: Number.NEGATIVE_INFINITY,
    looking: undefined,
    told: Promise.resolve(),
    next,
    callers,
    isSaid: false,
  }
}
