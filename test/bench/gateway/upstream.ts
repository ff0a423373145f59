// Owns the MCP server that the benchmark puts behind everything: one tool, a small JSON answer, node:http, no session.
// A process of its own. Never does more per call than reading the message: what is measured is what stands before it.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { serveUntilParentEnds } from './child-process.ts'
import { ANSWER_TEXT, TOOL } from './workload.ts'

type Message = { readonly id?: number | string; readonly method: string }

const revision = '2025-11-25'
let calls = 0

function resultOf(method: string): object {
  switch (method) {
    case 'initialize':
      return {
        protocolVersion: revision,
        capabilities: { tools: {} },
        serverInfo: { name: 'bench', version: '1.0.0' },
      }
    case 'tools/list':
      return { tools: [TOOL] }
    case 'tools/call':
      calls++
      return { content: [{ type: 'text', text: ANSWER_TEXT }] }
    default:
      return {}
  }
}

function answer(body: Buffer, response: ServerResponse): void {
  const message = JSON.parse(body.toString()) as Message
  if (message.id === undefined) {
    response.writeHead(202).end()
    return
  }
  const text =
    message.method === 'server/discover'
      ? JSON.stringify({
          jsonrpc: '2.0',
          id: message.id,
          error: { code: -32601, message: 'Method not found' },
        })
      : JSON.stringify({ jsonrpc: '2.0', id: message.id, result: resultOf(message.method) })
  response.writeHead(200, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  })
  response.end(text)
}

function onRequest(request: IncomingMessage, response: ServerResponse): void {
  if (request.method === 'GET' && request.url === '/calls') {
    response.end(String(calls))
    return
  }
  if (request.method !== 'POST') {
    response.writeHead(405).end()
    return
  }
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => answer(Buffer.concat(chunks), response))
}

serveUntilParentEnds(createServer(onRequest))
