// Owns the HTTP server behind the benchmark `streams`: of both eras, says something on every stream once a second, each
// stream at its own time. A process of its own.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { META } from '../../../schemas/mcp.ts'
import { serveUntilParentEnds } from '../gateway/child-process.ts'
import { eventText, HTTP_TOOLS, LATER_TOOL, LEGACY } from './words.ts'

type Message = {
  readonly id?: number
  readonly method: string
  readonly params?: {
    readonly name?: string
    readonly requestId?: number
    readonly _meta?: { readonly progressToken?: unknown }
  }
}

const EVENT_MS = 1_000
let sessions = 0
let open = 0
/** Calls that are answered with a stream, until they are cancelled: a legacy client that goes away cancels nothing. */
const followed = new Map<number, ServerResponse>()

/** Keeps saying `event()` until the other side goes away. */
function streamTo(response: ServerResponse, first: string, event: () => string): void {
  open++
  response.writeHead(200, { 'content-type': 'text/event-stream' }).write(first)
  const timer = setInterval(() => response.write(event()), EVENT_MS)
  response.once('close', () => {
    open--
    clearInterval(timer)
  })
}

function tick(): string {
  return eventText('notifications/message', { level: 'info', data: 'tick' })
}

function listen(id: number, response: ServerResponse): void {
  const meta = { [META.subscriptionId]: id }
  const notifications = { toolsListChanged: true, resourcesListChanged: true }
  streamTo(
    response,
    eventText('notifications/subscriptions/acknowledged', { notifications }, meta),
    () => eventText('notifications/resources/list_changed', {}, meta),
  )
}

function follow(id: number, progressToken: unknown, response: ServerResponse): void {
  followed.set(id, response)
  let progress = 0
  streamTo(response, ': \n\n', () => {
    progress++
    return eventText('notifications/progress', { progressToken, progress })
  })
}

function resultOf(method: string): object | undefined {
  switch (method) {
    case 'initialize':
      return {
        protocolVersion: LEGACY,
        capabilities: { tools: { listChanged: true }, resources: { listChanged: true } },
        serverInfo: { name: 'open', version: '1' },
      }
    case 'tools/list':
      return { tools: [...HTTP_TOOLS, LATER_TOOL] }
    case 'tools/call':
      return { content: [{ type: 'text', text: 'found' }] }
    case 'server/discover':
      return undefined
    default:
      return {}
  }
}

function answer({ id, method, params }: Message, response: ServerResponse): void {
  if (method === 'notifications/cancelled') followed.get(params?.requestId ?? 0)?.end()
  if (id === undefined) return void response.writeHead(202).end()
  if (method === 'subscriptions/listen') return listen(id, response)
  if (params?.name === 'follow') return follow(id, params._meta?.progressToken, response)
  const result = resultOf(method)
  const error = { code: -32601, message: 'Method not found' }
  const session = method === 'initialize' ? { 'mcp-session-id': `session-${++sessions}` } : {}
  response.writeHead(200, { 'content-type': 'application/json', ...session })
  response.end(JSON.stringify({ jsonrpc: '2.0', id, ...(result ? { result } : { error }) }))
}

function onRequest(request: IncomingMessage, response: ServerResponse): void {
  if (request.url === '/open') return void response.end(String(open))
  if (request.method === 'GET') {
    return streamTo(response, ': \n\n', tick)
  }
  if (request.method !== 'POST') return void response.writeHead(200).end()
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => answer(JSON.parse(Buffer.concat(chunks).toString()) as Message, response))
}

serveUntilParentEnds(createServer(onRequest))
