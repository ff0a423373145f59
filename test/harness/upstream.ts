// Owns an MCP server for tests: plain node:http that keeps all that reaches it and answers as it is
// told. Never checks anything: what a gateway lets through is what it shows.
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ToolDefinition } from '../../schemas/bundle.ts'

export type Reached = {
  readonly method: string
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly body: string
}

export type TestUpstream = {
  /** Origin. Every path is the same server. */
  readonly url: string
  /** Requests of clients that came through. */
  readonly reached: Reached[]
  /** The gateway's own looks at the tools. */
  readonly looks: Reached[]
  /** What `tools/list` answers. */
  tools: readonly ToolDefinition[]
  /** Answers a client's request; by default as a well-behaved server. */
  answer: (request: Reached, response: ServerResponse) => void
  /** Back to how it was opened, with nothing reached. */
  readonly reset: () => void
  readonly close: () => Promise<void>
}

/** The session of the gateway's own looks. */
const LOOK = 'gateway-look'

/**
 * Listens on a free loopback port. Legacy sessions are named `session-1`, `session-2`… and not
 * checked.
 */
export async function openTestUpstream(tools: readonly ToolDefinition[]): Promise<TestUpstream> {
  let sessions = 0
  const behave = (request: Reached, response: ServerResponse): void => {
    if (messageOf(request).method === 'initialize') sessions++
    answerWell(upstream.tools, request, response, `session-${sessions}`)
  }
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const { method = '', headers, rawHeaders } = incoming
      const one = { method, headers, rawHeaders, body: Buffer.concat(chunks).toString() }
      if (isLook(one)) {
        upstream.looks.push(one)
        answerWell(upstream.tools, one, response, LOOK)
      } else {
        upstream.reached.push(one)
        upstream.answer(one, response)
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const upstream: TestUpstream = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    reached: [],
    looks: [],
    tools,
    answer: behave,
    reset() {
      upstream.reached.length = 0
      upstream.looks.length = 0
      upstream.tools = tools
      upstream.answer = behave
    },
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return upstream
}

type Message = {
  readonly id?: string | number
  readonly method?: string
  readonly params?: { readonly [name: string]: unknown }
}

/** The JSON-RPC message of a request; empty where there is none. */
export function messageOf({ body }: Reached): Message {
  return body === '' ? {} : (JSON.parse(body) as Message)
}

/** A JSON answer with a length, as most servers send. */
export function answerJson(
  response: ServerResponse,
  message: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  const body = Buffer.from(JSON.stringify(message))
  const own = { 'content-type': 'application/json', 'content-length': String(body.length) }
  response.writeHead(200, { ...own, ...headers }).end(body)
}

function isLook(request: Reached): boolean {
  if (request.headers['mcp-session-id'] === LOOK) return true
  const { method, params } = messageOf(request)
  const info = params?.['clientInfo'] as { readonly name?: string } | undefined
  return method === 'initialize' && info?.name === 'cedargate'
}

function answerWell(
  tools: readonly ToolDefinition[],
  request: Reached,
  response: ServerResponse,
  session: string,
): void {
  const { id, method, params } = messageOf(request)
  if (id === undefined) {
    response.writeHead(request.method === 'GET' ? 405 : 202).end()
    return
  }
  const headers: Record<string, string> =
    method === 'initialize' ? { 'mcp-session-id': session } : {}
  answerJson(response, { jsonrpc: '2.0', id, result: resultOf(tools, method, params) }, headers)
}

function resultOf(
  tools: readonly ToolDefinition[],
  method: string | undefined,
  params: Message['params'],
): object {
  if (method === 'tools/list') return { tools }
  if (method === 'tools/call') {
    return { content: [{ type: 'text', text: JSON.stringify(params?.['arguments'] ?? null) }] }
  }
  if (method !== 'initialize') return {}
  const serverInfo = { name: 'test', version: '1' }
  return { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo }
}
