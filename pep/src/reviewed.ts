// Owns the reviewed definitions of each server as the PDP's bundle has them, and what a client is
// shown of a list: those, and nothing that a server says of a tool itself. Decides no call.
import { type ReviewedResponse, reviewedResponse } from '../../schemas/pep-api.ts'
import type { JsonObject } from '../../schemas/strict-json.ts'
import { createFingerprints, type Fingerprints, pairOf } from './definition.ts'
import { type ParamHeader, paramHeadersOf } from './inbound/param-headers.ts'
import { DISCOVERY_COOLDOWN_MS, PDP_TIMEOUT_MS } from './limits.ts'
import type { Log, Monotonic, PdpPort } from './ports.ts'

/** Tools that one answer listed, by name, with their fingerprint; one listed in two ways has that of the pair. */
export type Shown = ReadonlyMap<
  string,
  { readonly sha256: string; readonly items: readonly unknown[] }
>

export type ReviewedPorts = {
  readonly pdp: PdpPort
  readonly monotonic: Monotonic
  readonly log: Log
  /** Told of every list that was shown, tools that were reviewed alone. */
  readonly onShown: (caller: Caller, shown: Shown) => void
}

export type Caller = { readonly server: string; readonly grant: string | null }

/**
 * What a client is shown in place of the tools of one answer, in their order and each name once: the
 * reviewed variant that the server listed, else the latest reviewed one. What was never reviewed
 * is left out; all of it while the reviewed definitions of the server are not known. Does NOT check
 * what a policy lets the caller see.
 */
export type ShowTools = (caller: Caller, tools: readonly JsonObject[]) => JsonObject[]

export type Reviewed = {
  /**
   * Asks the PDP. Never rejects: a failure is logged, and until the next success no tool of the
   * server is listed.
   */
  readonly load: (server: string) => Promise<void>
  /** Loads what is not known; again only DISCOVERY_COOLDOWN_MS after a failure. */
  readonly ensure: (server: string) => Promise<void>
  readonly isReviewed: (server: string, tool: string, sha256: string) => boolean
  readonly show: ShowTools
  /** Headers that the latest reviewed definition of a tool asks for. */
  readonly paramHeadersOf: (server: string, tool: string) => readonly ParamHeader[]
  /** Another text whenever what is shown of these tools is another. */
  readonly stateOf: (server: string, tools: readonly string[]) => string
  readonly forget: (server: string) => void
}

type Tool = {
  readonly latest: JsonObject
  readonly paramHeaders: readonly ParamHeader[]
  readonly variants: ReadonlyMap<string, JsonObject>
}

type Known = {
  tools: ReadonlyMap<string, Tool> | undefined
  readonly fingerprintOf: Fingerprints
  triedAt: number
  /** Counts loads: only the last one begun is kept. */
  loads: number
}

export function createReviewed(ports: ReviewedPorts): Reviewed {
  const { pdp, monotonic, log, onShown } = ports
  const servers = new Map<string, Known>()
  const knownOf = (server: string): Known => {
    const found = servers.get(server)
    if (found !== undefined) return found
    const known = {
      tools: undefined,
      fingerprintOf: createFingerprints(),
      triedAt: Number.NEGATIVE_INFINITY,
      loads: 0,
    }
    servers.set(server, known)
    return known
  }
  const load = async (server: string): Promise<void> => {
    const known = knownOf(server)
    known.triedAt = monotonic()
    known.loads += 1
    const own = known.loads
    try {
      const tools = await ask(pdp, server)
      if (own === known.loads) known.tools = tools
    } catch (error) {
      if (own === known.loads) known.tools = undefined
      log.warn(
        { server, err: error },
        'the reviewed definitions of a server are not known: no tool of it is listed',
      )
    }
  }
  const ensure = async (server: string): Promise<void> => {
    const { tools, triedAt } = knownOf(server)
    if (tools === undefined && monotonic() - triedAt >= DISCOVERY_COOLDOWN_MS) await load(server)
  }
  return {
    load,
    ensure,
    isReviewed: (server, tool, sha256) =>
      servers.get(server)?.tools?.get(tool)?.variants.has(sha256) === true,
    show(caller, items) {
      const { tools, fingerprintOf } = knownOf(caller.server)
      if (tools === undefined) {
        void ensure(caller.server)
        return []
      }
      const { definitions, shown } = review(tools, fingerprintOf, items)
      onShown(caller, shown)
      return definitions
    },
    paramHeadersOf: (server, tool) => servers.get(server)?.tools?.get(tool)?.paramHeaders ?? [],
    stateOf(server, tools) {
      const known = servers.get(server)?.tools
      const shown = tools.map((tool) => [tool, ...(known?.get(tool)?.variants.keys() ?? [])])
      return JSON.stringify([known !== undefined, shown])
    },
    forget: (server) => void servers.delete(server),
  }
}

function review(
  tools: ReadonlyMap<string, Tool>,
  fingerprintOf: Fingerprints,
  items: readonly JsonObject[],
): { readonly definitions: JsonObject[]; readonly shown: Shown } {
  const shown = new Map<string, { sha256: string; items: unknown[] }>()
  const definitions: JsonObject[] = []
  for (const item of items) {
    const { name } = item
    const tool = typeof name === 'string' ? tools.get(name) : undefined
    if (typeof name !== 'string' || tool === undefined) continue
    const sha256 = fingerprintOf(item)
    const before = shown.get(name)
    if (before === undefined) {
      shown.set(name, { sha256, items: [item] })
      definitions.push(tool.variants.get(sha256) ?? tool.latest)
    } else if (before.sha256 !== sha256) {
      const pair = pairOf(before.sha256, sha256)
      shown.set(name, { sha256: pair.sha256, items: [...before.items, item] })
    }
  }
  return { definitions, shown }
}

async function ask(pdp: PdpPort, server: string): Promise<ReadonlyMap<string, Tool>> {
  const path = `/pep/v1/definitions?server=${encodeURIComponent(server)}`
  const { status, body } = await pdp.get(path, PDP_TIMEOUT_MS)
  if (status !== 200) throw new Error(`the PDP answered ${status} when asked for definitions`)
  const answer: unknown = JSON.parse(body)
  reviewedResponse.parse(answer)
  // As the PDP sent it, not as zod copied it.
  return new Map((answer as ReviewedResponse).tools.map(toolOf))
}

function toolOf({ name, variants }: ReviewedResponse['tools'][number]): [string, Tool] {
  const definitions = variants.map(({ sha256, definition }) => {
    return [sha256, definition as JsonObject] as const
  })
  const latest = definitions.at(-1)?.[1] ?? {}
  const paramHeaders = paramHeadersOf(latest)
  return [name, { latest, paramHeaders, variants: new Map(definitions) }]
}
