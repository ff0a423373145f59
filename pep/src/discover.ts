// Owns knowing what tools a server serves now: the PEP looks for itself, and keeps a fingerprint of
// each definition. Never learns from what a client was shown: a list may differ by caller.
import { hash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import canonicalize from 'canonicalize'
import type { JsonObject } from '../../schemas/strict-json.ts'
import type { Permitted } from './enforce.ts'
import { GatewayError } from './gateway-error.ts'
import type { Inbound } from './inbound/receive.ts'
import {
  DISCOVERY_COOLDOWN_MS,
  DISCOVERY_PAGES_MAX,
  DISCOVERY_TOOLS_MAX,
  DISCOVERY_WAIT_MS,
  PDP_TIMEOUT_MS,
} from './limits.ts'
import type { Log, Monotonic, PdpPort, Uuid } from './ports.ts'
import type { Connection, UpstreamServer } from './upstream/upstream.ts'

export type DiscoverPorts = {
  readonly pdp: PdpPort
  readonly permit: (inbound: Inbound) => Promise<Permitted>
  readonly serverOf: (id: string) => UpstreamServer | undefined
  readonly monotonic: Monotonic
  readonly uuid: Uuid
  readonly log: Log
}

export type Discovery = {
  /**
   * Lower-case hex SHA-256 of the RFC 8785 form of the definition; null where none was seen. Looks
   * first, for up to DISCOVERY_WAIT_MS, if it never saw it.
   */
  readonly definitionOf: (server: string, tool: string) => string | null | Promise<string | null>
  /**
   * Looks now; joins a look that is under way. Never rejects: a failure is logged and what was
   * known stays.
   */
  readonly look: (server: string) => Promise<void>
  readonly forget: (server: string) => void
}

type Known = {
  definitions: ReadonlyMap<string, string>
  lookedAt: number
  looking: Promise<void> | undefined
}

export function createDiscovery(ports: DiscoverPorts): Discovery {
  const known = new Map<string, Known>()
  const knownOf = (server: string): Known => {
    const found = known.get(server)
    if (found !== undefined) return found
    const fresh = {
      definitions: new Map<string, string>(),
      lookedAt: Number.NEGATIVE_INFINITY,
      looking: undefined,
    }
    known.set(server, fresh)
    return fresh
  }
  const look = (server: string): Promise<void> => {
    const entry = knownOf(server)
    entry.looking ??= lookAt(ports, server)
      .then((definitions) => {
        if (definitions !== undefined) entry.definitions = definitions
      })
      .catch((error: unknown) =>
        ports.log.warn({ server, err: error }, 'the tools of a server could not be listed'),
      )
      .finally(() => {
        entry.looking = undefined
        entry.lookedAt = ports.monotonic()
      })
    return entry.looking
  }
  return {
    look,
    forget: (server) => void known.delete(server),
    definitionOf(server, tool) {
      if (ports.serverOf(server) === undefined) return null
      const entry = knownOf(server)
      const seen = entry.definitions.get(tool)
      if (seen !== undefined) return seen
      const cooling = ports.monotonic() - entry.lookedAt < DISCOVERY_COOLDOWN_MS
      if (cooling && entry.looking === undefined) return null
      return Promise.race([look(server), sleep(DISCOVERY_WAIT_MS, undefined, { ref: false })]).then(
        () => entry.definitions.get(tool) ?? null,
      )
    },
  }
}

/** What the server serves, or undefined when the PDP denies even looking. */
async function lookAt(
  ports: DiscoverPorts,
  id: string,
): Promise<ReadonlyMap<string, string> | undefined> {
  const server = ports.serverOf(id)
  if (server === undefined)
    throw new GatewayError('upstream_unavailable', 'this PEP does not serve it')
  const permitted = await ports.permit(ownInitialize(id, ports.uuid()))
  if ('answer' in permitted) {
    ports.log.warn({ server: id }, 'the policy denies the gateway to look at the tools of a server')
    return undefined
  }
  const connection = await server.connect(permitted.call)
  try {
    await connection.notify('notifications/initialized')
    const definitions = await listAll(connection)
    await tell(ports.pdp, id, definitions)
    return definitions
  } finally {
    await connection
      .close()
      .catch((error: unknown) => ports.log.debug({ server: id, err: error }, 'closing'))
  }
}

async function listAll(connection: Connection): Promise<ReadonlyMap<string, string>> {
  const definitions = new Map<string, string>()
  let cursor: unknown
  for (let page = 0; page < DISCOVERY_PAGES_MAX; page += 1) {
    const params: JsonObject = typeof cursor === 'string' ? { cursor } : {}
    const { tools, nextCursor } = await connection.request('tools/list', params)
    if (!Array.isArray(tools))
      throw new GatewayError('upstream_invalid', 'the server lists no tools')
    for (const tool of tools) {
      const name =
        typeof tool === 'object' && tool !== null && !Array.isArray(tool) ? tool['name'] : undefined
      if (typeof name === 'string') definitions.set(name, distinct(definitions.get(name), tool))
    }
    if (definitions.size > DISCOVERY_TOOLS_MAX) {
      throw new GatewayError(
        'upstream_invalid',
        `the server lists more than ${DISCOVERY_TOOLS_MAX} tools`,
      )
    }
    if (typeof nextCursor !== 'string' || nextCursor === '') return definitions
    cursor = nextCursor
  }
  throw new GatewayError(
    'upstream_invalid',
    `the list of tools has more than ${DISCOVERY_PAGES_MAX} pages`,
  )
}

/** A tool listed with two definitions has one of its own that nobody reviewed: either may be what a client shows. */
function distinct(before: string | undefined, definition: unknown): string {
  const sha256 = fingerprint(definition)
  return before === undefined || before === sha256 ? sha256 : fingerprint([before, sha256])
}

/** Of a definition exactly as the server gave it. */
export function fingerprint(definition: unknown): string {
  const text = canonicalize(definition)
  if (text === undefined)
    throw new GatewayError('upstream_invalid', 'a definition has no canonical form')
  return hash('sha256', text)
}

async function tell(
  pdp: PdpPort,
  server: string,
  definitions: ReadonlyMap<string, string>,
): Promise<void> {
  const tools = [...definitions].map(([name, sha256]) => ({ name, sha256 }))
  const { status } = await pdp.post(
    '/pep/v1/definitions',
    JSON.stringify({ server, tools }),
    PDP_TIMEOUT_MS,
  )
  if (status >= 300)
    throw new GatewayError('pdp_unavailable', `the PDP answered ${status} to definitions`)
}

/**
 * The gateway's own handshake: it says it can do everything, so that no tool is held back from it.
 */
function ownInitialize(server: string, requestId: string): Inbound {
  const params = {
    protocolVersion: '2025-11-25',
    capabilities: { roots: {}, sampling: {}, elicitation: {} },
    clientInfo: { name: 'cedargate', version: '0' },
  }
  return {
    requestId,
    server,
    token: null,
    era: 'legacy',
    method: 'initialize',
    kind: 'request',
    id: 'cedargate-0',
    tool: undefined,
    text: JSON.stringify({ jsonrpc: '2.0', id: 'cedargate-0', method: 'initialize', params }),
    session: undefined,
    headers: {},
    client: params.clientInfo,
    sourceIp: null,
  }
}
