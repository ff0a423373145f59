// Owns the yardstick: the least a Node proxy can do, request and answer streamed through undici's Pool. A process of
// its own; argument: the upstream's URL. Never reads a body.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Pool } from 'undici'
import { serveUntilParentEnds } from './child-process.ts'

const pool = new Pool(process.argv[2] ?? '', { connections: 256 })

async function forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { host: _host, connection: _connection, ...headers } = request.headers
  const answer = await pool.request({
    method: request.method ?? 'GET',
    path: request.url ?? '/',
    headers,
    body: request,
  })
  const { connection: _hop, 'keep-alive': _alive, ...answerHeaders } = answer.headers
  response.writeHead(answer.statusCode, answerHeaders)
  answer.body.pipe(response)
}

serveUntilParentEnds(
  createServer((request, response) => {
    forward(request, response).catch(() => response.writeHead(502).end())
  }),
)
