// Owns what the clients, the upstream and the bundle of the benchmark `streams` say to each other. No I/O.
import { META } from '../../../schemas/mcp.ts'

/** The HTTP server and the two stdio servers: one alone may not have as many children as are wanted. */
export const HTTP_SERVER = 'open'
export const STDIO_SERVERS = ['first', 'second'] as const

const inputSchema = { type: 'object', properties: {} } as const

/** `lookup` answers at once, `follow` with a stream that does not end. */
export const HTTP_TOOLS = [
  { name: 'lookup', description: 'Answers', inputSchema },
  { name: 'follow', description: 'Tells how far it is, for ever', inputSchema },
] as const
/** Answers with the title of the process. */
export const CHILD_TOOL = { name: 'whoami', description: 'Answers', inputSchema } as const

/** On every server; no call asks for it. */
export const LATER_TOOL = { name: 'later', description: 'Permitted later', inputSchema } as const

export const LEGACY = '2025-11-25'
export const MODERN = '2026-07-28'

type Params = Readonly<Record<string, unknown>>

export function request(id: number, method: string, params: Params): string {
  return JSON.stringify({ jsonrpc: '2.0', id, method, params })
}

export function callOf(id: number, name: string): string {
  return request(id, 'tools/call', { name, arguments: {}, _meta: { progressToken: id } })
}

export function initializeOf(id: number): string {
  const clientInfo = { name: 'bench', version: '1' }
  return request(id, 'initialize', { protocolVersion: LEGACY, capabilities: {}, clientInfo })
}

export function listenOf(id: number): string {
  const notifications = { toolsListChanged: true, resourcesListChanged: true }
  const _meta = { [META.protocolVersion]: MODERN, [META.clientCapabilities]: {} }
  return request(id, 'subscriptions/listen', { notifications, _meta })
}

export function cancelOf(requestId: number): string {
  const params = { requestId }
  return JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params })
}

/** Milliseconds since 1970, with fractions: the same clock in every process of one machine. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now()
}

/** An event that says when it was sent. */
export function eventText(method: string, params: Params, meta: Params = {}): string {
  const said = { jsonrpc: '2.0', method, params: { ...params, _meta: { ...meta, at: nowMs() } } }
  return `event: message\ndata: ${JSON.stringify(said)}\n\n`
}

/** When an event was sent; undefined for one that does not say. */
export function sentAt(data: string): number | undefined {
  const at = /"at":([0-9.]+)/.exec(data)?.[1]
  return at === undefined ? undefined : Number(at)
}
