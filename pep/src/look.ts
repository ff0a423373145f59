// Owns one look of the PEP's own at a server's tools: decided and recorded like any caller's, all
// pages, each definition's fingerprint. Keeps nothing.
import type { VerdictCode } from '../../schemas/codes.ts'
import type { JsonObject } from '../../schemas/strict-json.ts'
import { pairOf, readDefinition } from './definition.ts'
import type { Permitted } from './enforce.ts'
import { GatewayError, reasonOf } from './gateway-error.ts'
import type { Inbound } from './inbound/receive.ts'
import { DISCOVERY_PAGES_MAX, DISCOVERY_TOOLS_MAX } from './limits.ts'
import type { Log, Uuid } from './ports.ts'
import type { Gathering } from './tell.ts'
import type { Connection, UpstreamServer } from './upstream/upstream.ts'

export type LookPorts = {
  readonly permit: (inbound: Inbound) => Promise<Permitted>
  readonly serverOf: (id: string) => UpstreamServer | undefined
  readonly uuid: Uuid
  readonly log: Log
}

export type Look = {
  /** Fingerprint by name; a tool listed in two ways has that of the pair. */
  readonly definitions: ReadonlyMap<string, string>
  /** Shortest `ttlMs` of the pages; undefined where none has one. */
  readonly ttlMs: number | undefined
}

/**
 * What the server serves to the gateway, or to the caller of `as`; or why the PDP denies even looking. `gathering` gets
 * every definition. Throws GatewayError.
 */
export async function lookAt(
  ports: LookPorts,
  id: string,
  gathering: Gathering,
  as: Looking = NOBODY,
): Promise<Look | VerdictCode> {
  const server = ports.serverOf(id)
  if (server === undefined)
    throw new GatewayError('upstream_unavailable', 'this PEP does not serve it')
  const { verdict, call } = await ports.permit(ownInitialize(id, ports.uuid(), as))
  if (call === undefined) return verdict.code
  const connection = await server.connect(call)
  try {
    await connection.notify('notifications/initialized')
    return await listAll(connection, gathering)
  } finally {
    await connection
      .close()
      .catch((error: unknown) => ports.log.debug({ server: id, why: reasonOf(error) }, 'closing'))
  }
}

async function listAll(connection: Connection, gathering: Gathering): Promise<Look> {
  const definitions = new Map<string, string>()
  let cursor: unknown
  let ttlMs: number | undefined
  for (let page = 0; page < DISCOVERY_PAGES_MAX; page += 1) {
    const params: JsonObject = typeof cursor === 'string' ? { cursor } : {}
    const result = await connection.request('tools/list', params)
    const { tools, nextCursor, ttlMs: ttl } = result
    if (!Array.isArray(tools))
      throw new GatewayError('upstream_invalid', 'the server lists no tools')
    for (const tool of tools) note(tool, definitions, gathering)
    if (gathering.sights().length > DISCOVERY_TOOLS_MAX) throw tooMany()
    if (typeof ttl === 'number' && ttl >= 0) ttlMs = Math.min(ttl, ttlMs ?? ttl)
    if (typeof nextCursor !== 'string' || nextCursor === '') return { definitions, ttlMs }
    cursor = nextCursor
  }
  throw new GatewayError(
    'upstream_invalid',
    `the list of tools has more than ${DISCOVERY_PAGES_MAX} pages`,
  )
}

function note(tool: unknown, definitions: Map<string, string>, gathering: Gathering): void {
  const name = typeof tool === 'object' && tool !== null && 'name' in tool ? tool.name : undefined
  if (typeof name !== 'string') return
  const definition = readDefinition(tool)
  gathering.add(name, definition)
  const before = definitions.get(name)
  if (before === undefined || before === definition.sha256) {
    definitions.set(name, definition.sha256)
    return
  }
  const pair = pairOf(before, definition.sha256)
  gathering.add(name, pair)
  definitions.set(name, pair.sha256)
}

function tooMany(): GatewayError {
  const message = `the server lists more than ${DISCOVERY_TOOLS_MAX} definitions`
  return new GatewayError('upstream_invalid', message)
}

/** Whose look it is; the gateway's own has no token. */
type Looking = Pick<Inbound, 'grant' | 'token' | 'jwt' | 'expiresAt' | 'sourceIp'>
const NOBODY: Looking = { grant: null, token: null, jwt: null, expiresAt: null, sourceIp: null }

/**
 * The gateway's own handshake: it says it can do everything, so that no tool is held back from it.
 */
function ownInitialize(server: string, requestId: string, as: Looking): Inbound {
  const { grant, token, jwt, expiresAt, sourceIp } = as
  const params = {
    protocolVersion: '2025-11-25',
    capabilities: { roots: {}, sampling: {}, elicitation: {} },
    clientInfo: { name: 'cedargate', version: '0' },
  }
  return {
    requestId,
    server,
    from: 'client',
    grant,
    token,
    jwt,
    expiresAt,
    era: 'legacy',
    method: 'initialize',
    kind: 'request',
    id: 'cedargate-0',
    tool: undefined,
    params: undefined,
    text: JSON.stringify({ jsonrpc: '2.0', id: 'cedargate-0', method: 'initialize', params }),
    session: undefined,
    headers: {},
    client: params.clientInfo,
    sourceIp,
  }
}
