// Owns the way of one HTTP request to something that can be decided: each check once, in this order, none skipped.
// Asks whose token it is, before a byte of the body is read, and nothing else. Nothing it refuses is decided or recorded.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { type Era, META } from '../../../schemas/mcp.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { GatewayError } from '../gateway-error.ts'
import { isRepeated } from './authenticate.ts'
import type { Bindings } from './bindings.ts'
import type { Authenticated, Callers } from './callers.ts'
import { type AddressRules, checkHost, checkOrigin } from './check-origin.ts'
import { metaOf, readEra, readHeaderEra } from './era.ts'
import { encodeHeader } from './header-value.ts'
import { openBound } from './open-bound.ts'
import { checkParamHeaders, type ParamHeader } from './param-headers.ts'
import { type Message, parseMessage, type RpcId } from './parse.ts'
import { checkAccept, checkMediaTypes, readBody } from './read-body.ts'
import type { Shares } from './shares.ts'

/** One request of a client, read and checked; undecided. */
export type Inbound = {
  readonly requestId: string
  readonly server: string
  /** Whose message it is: a client's, or what a server wants of this client. */
  readonly from: 'client' | 'server'
  /** Whose it is: what lasts belongs to the grant. Null for the PEP's own discovery, as are the next three. */
  readonly grant: string | null
  /** SHA-256 of the token that it came with, which decides it. */
  readonly token: string | null
  /** That token where it is a JWT: for the PDP alone, as long as something is to be decided by it. */
  readonly jwt: string | null
  /** When that JWT ends, in milliseconds since 1970. */
  readonly expiresAt: number | null
  readonly era: Era
  /** A method of MCP, or `response`, `http:get`, `http:delete`. */
  readonly method: string
  readonly kind: Message['kind'] | 'stream' | 'end'
  readonly id: RpcId | undefined
  readonly tool: string | undefined
  /** Of a client's request or notification, what was read of it; the text is what counts. */
  readonly params: JsonObject | undefined
  /** The text that is decided on and forwarded; empty without a body. */
  readonly text: string
  /** The upstream's own session id. */
  readonly session: string | undefined
  /** Headers that go on to the server, besides those the PEP makes. */
  readonly headers: Readonly<Record<string, string>>
  readonly client: { readonly name: string; readonly version: string } | null
  readonly sourceIp: string | null
}

/** Whose message failed, as far as it was read: a refusal is worded by it. */
export type Envelope = Pick<Inbound, 'kind' | 'method' | 'id' | 'era'>
/** The same, and whose it is. */
export type Addressed = Envelope & Pick<Inbound, 'server' | 'grant'>

export type ReceivePorts = {
  readonly bindings: Bindings
  /** Headers that the reviewed definition of a tool asks for. */
  readonly paramHeadersOf: (server: string, tool: string) => readonly ParamHeader[]
  readonly rules: AddressRules
  readonly callerOf: Callers
  /** What this request takes is given back by whoever called. */
  readonly shares: Shares
}
export type Address = { readonly server: string; readonly requestId: string }

/**
 * Headers of which node:http keeps the first and drops the rest: a second one is refused for what
 * the first would say. Of Authorization, callers.ts does.
 */
const SINGLE = { 'content-type': 'wrong_content_type', host: 'foreign_host' } as const

function checkSingle({ rawHeaders }: IncomingMessage): void {
  for (const [name, code] of Object.entries(SINGLE))
    if (isRepeated(rawHeaders, name)) throw new GatewayError(code, `there are two ${name} headers`)
}

/** Refuses an address from elsewhere, before anything else of the request is looked at. */
export function checkAddress(incoming: IncomingMessage, rules: AddressRules): void {
  checkSingle(incoming)
  checkHost(incoming.headers.host, rules)
  checkOrigin(incoming.headers.origin, incoming.socket.localPort, rules)
}

/**
 * Reads one `POST`, `GET` or `DELETE` of an MCP endpoint. Throws GatewayError with the first thing
 * that is wrong.
 */
export async function receive(
  ports: ReceivePorts,
  incoming: IncomingMessage,
  address: Address,
): Promise<Inbound> {
  const { headers } = incoming
  checkAddress(incoming, ports.rules)
  const caller = await ports.callerOf(incoming)
  if (incoming.method !== 'POST') return receiveBodiless(ports, incoming, address, caller)
  checkMediaTypes(headers)
  // What was only announced takes no share: a slow client would hold it.
  const body = await readBody(incoming, (bytes) =>
    ports.shares.take(address.requestId, caller.grant, bytes),
  )
  const sent = parseMessage(body)
  try {
    return readMessage(ports, incoming, address, { caller, sent })
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    const { code, message, cause, data } = error
    // A refusal before the call is established is worded alike in both eras.
    throw new GatewayError(code, message, { cause, data, of: { ...sent, era: 'legacy' } })
  }
}

function readMessage(
  ports: ReceivePorts,
  { headers }: IncomingMessage,
  address: Address,
  { caller, sent }: { readonly caller: Authenticated; readonly sent: Message },
): Inbound {
  const era = readEra(headers, sent)
  const message = openBound(
    sent,
    era,
    { server: address.server, grant: caller.grant },
    ports.bindings,
  )
  const called = message.method === 'tools/call' ? message.params?.['name'] : undefined
  const tool = typeof called === 'string' ? called : undefined
  if (era === 'modern' && tool !== undefined)
    checkParamHeaders(ports.paramHeadersOf(address.server, tool), message.params, headers)
  return {
    ...address,
    ...caller,
    from: 'client',
    era,
    method: message.method,
    kind: message.kind,
    id: message.id,
    tool,
    params: message.params,
    text: message.text,
    session: sessionOf(ports, headers, address.server, caller.grant, era),
    headers: headersOf(headers, message),
    client: clientOf(message),
  }
}

function receiveBodiless(
  ports: ReceivePorts,
  incoming: IncomingMessage,
  address: Address,
  caller: Authenticated,
): Inbound {
  const { headers, method } = incoming
  const era = readHeaderEra(headers)
  if (era === 'modern' || (method !== 'GET' && method !== 'DELETE')) {
    throw new GatewayError('method_not_allowed', `${method} is not for this endpoint`)
  }
  if (method === 'GET') checkAccept(headers, ['text/event-stream'])
  const session = sessionOf(ports, headers, address.server, caller.grant, era)
  const { 'last-event-id': resumed, ...rest } = forwardable(headers)
  return {
    ...address,
    ...caller,
    from: 'client',
    era,
    method: method === 'GET' ? 'http:get' : 'http:delete',
    kind: method === 'GET' ? 'stream' : 'end',
    id: undefined,
    tool: undefined,
    params: undefined,
    text: '',
    session,
    // INVARIANT: an event id is only good within the session it was seen in.
    headers:
      session === undefined || resumed === undefined ? rest : { ...rest, 'last-event-id': resumed },
    client: null,
  }
}

/** The modern era has no sessions and ignores the header. */
function sessionOf(
  { bindings }: ReceivePorts,
  headers: IncomingHttpHeaders,
  server: string,
  grant: string,
  era: Era,
): string | undefined {
  const wrapped = headers['mcp-session-id']
  if (era === 'modern' || wrapped === undefined) return undefined
  return bindings.open('session', { server, grant }, String(wrapped))
}

/** A task is named to the server as the server knows it; streams are resumed by GET alone. */
function headersOf(headers: IncomingHttpHeaders, message: Message): Record<string, string> {
  const { 'last-event-id': _, ...kept } = forwardable(headers)
  const taskId = message.method.startsWith('tasks/') ? message.params?.['taskId'] : undefined
  if (typeof taskId !== 'string' || kept['mcp-name'] === undefined) return kept
  return { ...kept, 'mcp-name': encodeHeader(taskId) }
}

const FORWARDED: ReadonlySet<string> = new Set([
  'accept',
  'last-event-id',
  'traceparent',
  'tracestate',
])

/**
 * An allow-list: what is not named here (Authorization, Cookie, Forwarded…) never reaches a server.
 */
function forwardable(headers: IncomingHttpHeaders): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const name in headers) {
    const value = headers[name]
    if (typeof value !== 'string') continue
    const isMcp = name.startsWith('mcp-') && name !== 'mcp-session-id'
    if (isMcp || FORWARDED.has(name)) kept[name] = value
  }
  return kept
}

/**
 * What the client calls itself: in `_meta`, or in a legacy `initialize`. Unchecked, for the record
 * alone.
 */
function clientOf({ method, params }: Message): Inbound['client'] {
  const info =
    metaOf(params)?.[META.clientInfo] ??
    (method === 'initialize' ? params?.['clientInfo'] : undefined)
  if (typeof info !== 'object' || info === null || Array.isArray(info)) return null
  const { name, version } = info
  if (typeof name !== 'string' || typeof version !== 'string') return null
  return { name: name.slice(0, 256).toWellFormed(), version: version.slice(0, 256).toWellFormed() }
}
