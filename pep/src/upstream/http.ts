// Owns calls to a server over Streamable HTTP: which headers cross, which answers are usable, and
// streaming them back. Never follows a redirect, never sends what the client authenticated with.
import type { Readable } from 'node:stream'
import { type Dispatcher, Pool } from 'undici'
import type { RefusalCode } from '../../../schemas/codes.ts'
import type { Answer } from '../answer.ts'
import { GatewayError } from '../gateway-error.ts'
import type { Inbound } from '../inbound/receive.ts'
import type { Sessions } from '../inbound/session.ts'
import {
  ABANDONED_ANSWER_MS_MAX,
  ANSWER_BUFFER_BYTES_MAX,
  LIST_BYTES_MAX,
  UPSTREAM_BODY_TIMEOUT_MS,
  UPSTREAM_CONNECT_TIMEOUT_MS,
  UPSTREAM_CONNECTIONS_MAX,
  UPSTREAM_HEADERS_TIMEOUT_MS,
} from '../limits.ts'
import { filterEvents, filterText, type ListFilter, listFilterOf, withholdLists } from '../list.ts'
import type { Monotonic } from '../ports.ts'
import type { RecordedCall } from '../record/record.ts'
import type { ShowTools } from '../reviewed.ts'
import type { Streams } from '../streams.ts'
import { connectHttp } from './connect-http.ts'
import { hearsToolsChanged, isErrorText, watchEvents } from './inspect.ts'
import type { Sending, UpstreamServer } from './upstream.ts'

export type HttpPorts = {
  readonly showTools: ShowTools
  /** The server said on any stream that its tools changed. */
  readonly onToolsChanged: (id: string) => void
  readonly monotonic: Monotonic
  readonly sessions: Sessions
  readonly streams: Streams
}

/** A call on its way back: what to send the client, and how it came to be allowed. */
type Exchange = {
  readonly inbound: Inbound
  readonly call: RecordedCall
  readonly sending: Sending
  readonly response: Dispatcher.ResponseData
}

/** `url` is absolute, http or https. Connections are opened as they are needed. */
export function openHttpServer(id: string, url: URL, ports: HttpPorts): UpstreamServer {
  const pool = new Pool(url.origin, {
    connections: UPSTREAM_CONNECTIONS_MAX,
    pipelining: 1,
    connect: { timeout: UPSTREAM_CONNECT_TIMEOUT_MS },
    headersTimeout: UPSTREAM_HEADERS_TIMEOUT_MS,
  })
  const path = `${url.pathname}${url.search}`
  return {
    id,
    async forward(call, sending) {
      const filter = listFilterOf(call.of, call.verdict, ports.showTools)
      const { response, inbound } = await send(pool, path, call, sending, ports)
      try {
        return await shape({ inbound, call, sending, response }, filter, ports)
      } catch (error) {
        response.body.destroy()
        sending.onEnded({ result: 'failed', status: response.statusCode, isError: true, bytes: 0 })
        if (error instanceof GatewayError) throw error
        throw new GatewayError(faultOf(error), 'the answer of the server broke off', {
          cause: error,
        })
      }
    },
    connect: (call) => connectHttp(pool, path, call.open(ports.monotonic())),
    revoke: () => undefined,
    stop: () => pool.destroy(),
  }
}

async function send(
  pool: Pool,
  path: string,
  call: RecordedCall,
  { signal, onEnded }: Sending,
  { monotonic }: HttpPorts,
): Promise<{ response: Dispatcher.ResponseData; inbound: Inbound }> {
  const inbound = call.open(monotonic())
  const isPost = inbound.text !== ''
  try {
    const response = await pool.request({
      method: isPost ? 'POST' : inbound.kind === 'stream' ? 'GET' : 'DELETE',
      path,
      headers: requestHeaders(inbound, isPost),
      body: isPost ? inbound.text : null,
      bodyTimeout: isPost ? UPSTREAM_BODY_TIMEOUT_MS : 0,
      ...(signal === undefined ? {} : { signal }),
    })
    // Whoever reads it hears of an error; until then it must not end the process.
    response.body.on('error', () => undefined)
    return { response, inbound }
  } catch (cause) {
    onEnded({ result: signal?.aborted ? 'unknown' : 'failed', status: 0, isError: true, bytes: 0 })
    throw new GatewayError(faultOf(cause), 'the server gave no answer', { cause })
  }
}

function requestHeaders(inbound: Inbound, isPost: boolean): Record<string, string> {
  const headers: Record<string, string> = { ...inbound.headers }
  if (isPost) headers['content-type'] = 'application/json'
  if (inbound.session !== undefined) headers['mcp-session-id'] = inbound.session
  return headers
}

function faultOf(cause: unknown): RefusalCode {
  const code = cause instanceof Error && 'code' in cause ? cause.code : ''
  const late = code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT'
  return late ? 'upstream_timeout' : 'upstream_unavailable'
}

async function shape(
  exchange: Exchange,
  filter: ListFilter | undefined,
  ports: HttpPorts,
): Promise<Answer> {
  const { statusCode, headers, body } = exchange.response
  const type = mediaType(headers['content-type'])
  checkUsable(statusCode, headers)
  const answer = { status: statusCode, headers: responseHeaders(exchange, ports.sessions) }
  if (statusCode === 204 || statusCode === 202 || statusCode === 304) {
    await body.dump()
    return finish(exchange, answer, null)
  }
  if (type === 'text/event-stream') return streamEvents(exchange, answer, filter, ports)
  if (filter !== undefined) {
    if (type !== 'application/json') return withoutBody(exchange, answer)
    return finish(exchange, answer, filterText(await readText(body, LIST_BYTES_MAX), filter))
  }
  const length = Number(headers['content-length'] ?? Number.NaN)
  if (type === 'application/json' && length <= ANSWER_BUFFER_BYTES_MAX) {
    return finish(exchange, answer, await body.text())
  }
  return streamPlain(exchange, answer, length)
}

/**
 * A server must answer by itself, in plain bytes; and what it wants of *our* credentials is not the
 * client's business.
 */
function checkUsable(status: number, headers: Dispatcher.ResponseData['headers']): void {
  if (status >= 300 && status < 400 && status !== 304) throw invalid('it redirects')
  if (status === 401 || status === 407) throw invalid('it asks for credentials')
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') throw invalid('it is encoded')
}

const PASSED = ['content-type', 'cache-control', 'retry-after', 'allow'] as const

/** An allow-list, as with requests: never set-cookie, never a challenge. */
function responseHeaders(
  { response, inbound, call }: Exchange,
  sessions: Sessions,
): Record<string, string> {
  const headers: Record<string, string> = { 'cedargate-decision': call.verdict.decisionId }
  for (const name of PASSED) {
    const value = response.headers[name]
    if (typeof value === 'string' && /^[\t\x20-\x7e]*$/.test(value)) headers[name] = value
  }
  const session = response.headers['mcp-session-id']
  if (typeof session === 'string' && inbound.era === 'legacy' && inbound.token !== null) {
    headers['mcp-session-id'] = sessions.wrap(inbound.token, inbound.server, session)
  }
  return headers
}

type Head = Pick<Answer, 'status' | 'headers'>

function finish({ sending }: Exchange, head: Head, text: string | null): Answer {
  sending.onEnded({
    result: 'forwarded',
    status: head.status,
    isError: text !== null && isErrorText(text),
    bytes: text === null ? 0 : Buffer.byteLength(text),
  })
  return { ...head, body: text }
}

/**
 * A list answer that is neither JSON nor events: an error's status may pass, its body may not, a
 * success is unusable.
 */
async function withoutBody(exchange: Exchange, head: Head): Promise<Answer> {
  if (head.status < 400) throw invalid('a list that is neither JSON nor events')
  await exchange.response.body.dump()
  const { 'content-type': _, ...headers } = head.headers
  return finish(exchange, { status: head.status, headers }, null)
}

function streamEvents(
  exchange: Exchange,
  head: Head,
  filter: ListFilter | undefined,
  { streams, onToolsChanged }: HttpPorts,
): Answer {
  const { inbound, sending, response } = exchange
  const isGet = inbound.kind === 'stream'
  const stream = response.body
  const mapChunk = filter !== undefined ? filterEvents(filter) : isGet ? withholdLists() : undefined
  const watch = watchEvents()
  const hears = hearsToolsChanged()
  const release = streams.add(inbound.token, isGet, () => stream.destroy())
  return {
    status: head.status,
    headers: {
      'cache-control': 'no-cache, no-transform',
      ...head.headers,
      'x-accel-buffering': 'no',
    },
    body: {
      stream,
      whenGone: isGet || inbound.era === 'modern' ? 'cancel' : { drainMs: ABANDONED_ANSWER_MS_MAX },
      onChunk(chunk) {
        if (hears(chunk)) onToolsChanged(inbound.server)
        const shown = mapChunk === undefined ? chunk : mapChunk(chunk)
        watch.see(shown)
        return shown
      },
      onEnd(complete) {
        release()
        sending.onEnded({
          result: complete ? 'forwarded' : 'unknown',
          status: head.status,
          isError: watch.isError(),
          bytes: watch.bytes(),
        })
      },
    },
  }
}

function streamPlain({ inbound, sending, response }: Exchange, head: Head, length: number): Answer {
  let bytes = 0
  return {
    status: head.status,
    headers: Number.isSafeInteger(length)
      ? { ...head.headers, 'content-length': String(length) }
      : head.headers,
    body: {
      stream: response.body,
      whenGone: inbound.era === 'modern' ? 'cancel' : { drainMs: ABANDONED_ANSWER_MS_MAX },
      onChunk: (chunk) => {
        bytes += chunk.length
        return chunk
      },
      onEnd: (complete) =>
        sending.onEnded({
          result: complete ? 'forwarded' : 'unknown',
          status: head.status,
          isError: false,
          bytes,
        }),
    },
  }
}

async function readText(body: Readable, bytesMax: number): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > bytesMax) throw invalid('it is too long')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function mediaType(header: string | string[] | undefined): string {
  const [type = ''] = String(header ?? '').split(';')
  return type.trim().toLowerCase()
}

function invalid(why: string): GatewayError {
  return new GatewayError('upstream_invalid', `the answer of the server is not usable: ${why}`)
}
