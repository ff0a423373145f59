// Owns calls to a server over Streamable HTTP: which headers cross, which answers are usable, and
// streaming them back. Never follows a redirect, never sends what the client authenticated with.
import { isUtf8 } from 'node:buffer'
import type { Readable } from 'node:stream'
import type { Dispatcher, Pool } from 'undici'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import type { Answer } from '../answer.ts'
import { GatewayError, reasonOf } from '../gateway-error.ts'
import { createGathered } from '../gathered.ts'
import type { Bindings } from '../inbound/bindings.ts'
import type { Inbound } from '../inbound/receive.ts'
import {
  SERVER_MESSAGE_BYTES_MAX,
  STREAM_CONNECTIONS_MAX,
  UPSTREAM_BODY_TIMEOUT_MS,
  UPSTREAM_CONNECTIONS_MAX,
  UPSTREAM_TELL_TIMEOUT_MS,
  UPSTREAM_TELLS_MAX,
} from '../limits.ts'
import { type AnswerMask, answerMask } from '../mask/answer-mask.ts'
import { checkOneReading, isErrorMessage, isObject } from '../passage/server-message.ts'
import type { Log, Monotonic } from '../ports.ts'
import type { Opened, RecordedCall } from '../record/record.ts'
import type { Streams } from '../streams.ts'
import { connectHttp } from './connect-http.ts'
import { type HttpTarget, openPool } from './open-pool.ts'
import { faultOf, isLasting, streamAnswer } from './stream-answer.ts'
import type { Sending, UpstreamServer } from './upstream.ts'
import { createUsedCredentials } from './used-credentials.ts'

export type HttpPorts = {
  readonly monotonic: Monotonic
  readonly bindings: Bindings
  readonly streams: Streams
  readonly log: Log
  /** An answer of this server to the gateway itself held its credential. */
  readonly onEchoed: (server: string) => void
}

/** A call on its way back: what to send the client, and how it came to be allowed. */
type Exchange = {
  readonly inbound: Inbound
  readonly call: RecordedCall
  readonly sending: Sending
  readonly response: Dispatcher.ResponseData
  /** Sends the server an answer to its own request. */
  readonly tellServer: (text: string) => void
  readonly mask: AnswerMask
}

/** Connections are opened as they are needed. */
export function openHttpServer(id: string, target: HttpTarget, ports: HttpPorts): UpstreamServer {
  const { url } = target
  const pool = openPool(target, UPSTREAM_CONNECTIONS_MAX)
  // What stays open has connections of its own: it never keeps a call waiting.
  const lasting = openPool(target, STREAM_CONNECTIONS_MAX)
  const path = `${url.pathname}${url.search}`
  const teller = createTeller(pool, path, ports.log)
  const used = createUsedCredentials()
  return {
    id,
    async forward(call, sending) {
      const opened = call.open(ports.monotonic())
      const { inbound, credential } = opened
      used.use(inbound.grant, credential)
      const response = await send({ pool, lasting }, path, opened, sending)
      const tellServer = (text: string) => {
        used.use(inbound.grant, credential)
        teller(opened, text)
      }
      const maskers = () => used.maskersFor(inbound.grant, credential)
      const mask = answerMask(maskers, sending.onEchoed)
      try {
        return await shape({ inbound, call, sending, response, tellServer, mask }, ports)
      } catch (error) {
        response.body.destroy()
        sending.onEnded({ result: 'failed', status: response.statusCode, isError: true, bytes: 0 })
        if (error instanceof GatewayError) throw error
        throw new GatewayError(faultOf(error), 'the answer of the server broke off', {
          cause: error,
        })
      }
    },
    connect: (call) =>
      connectHttp(
        { pool, path, used, onEchoed: () => ports.onEchoed(id) },
        call.open(ports.monotonic()),
      ),
    end: () => undefined,
    async stop() {
      await Promise.all([pool.destroy(), lasting.destroy()])
    },
  }
}

type Pools = { readonly pool: Pool; readonly lasting: Pool }

async function send(
  { pool, lasting }: Pools,
  path: string,
  opened: Opened,
  { signal, onEnded }: Sending,
): Promise<Dispatcher.ResponseData> {
  const { inbound } = opened
  const isPost = inbound.text !== ''
  try {
    const response = await (isLasting(inbound) ? lasting : pool).request({
      method: isPost ? 'POST' : inbound.kind === 'stream' ? 'GET' : 'DELETE',
      path,
      headers: requestHeaders(opened, isPost),
      body: isPost ? bytesOf(inbound.text) : null,
      bodyTimeout: isPost && !isLasting(inbound) ? UPSTREAM_BODY_TIMEOUT_MS : 0,
      ...(signal === undefined ? {} : { signal }),
    })
    // Whoever reads it hears of an error; until then it must not end the process.
    response.body.on('error', () => undefined)
    return response
  } catch (cause) {
    onEnded({ result: signal?.aborted ? 'unknown' : 'failed', status: 0, isError: true, bytes: 0 })
    throw new GatewayError(faultOf(cause), 'the server gave no answer', { cause })
  }
}

/** Bytes of their own: undici keeps a body while it is answered, and of a text it would keep a whole slab of a pool. */
function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** What the credential is sent in counts, whatever the client sent there. */
function requestHeaders({ inbound, credential }: Opened, isPost: boolean): Record<string, string> {
  const headers: Record<string, string> = { ...inbound.headers }
  if (isPost) headers['content-type'] = 'application/json'
  if (inbound.session !== undefined) headers['mcp-session-id'] = inbound.session
  return { ...headers, ...credential?.headers() }
}

/**
 * Answers requests of the server. Nobody waits for it: a server that cannot be told goes on waiting, and ends its request
 * by itself.
 */
function createTeller(pool: Pool, path: string, log: Log): (opened: Opened, text: string) => void {
  let underWay = 0
  return (opened, text) => {
    const { server } = opened.inbound
    if (underWay >= UPSTREAM_TELLS_MAX) {
      log.debug({ server }, 'not told: it asks faster than it listens')
      return
    }
    underWay += 1
    const { accept: _, 'last-event-id': __, ...headers } = requestHeaders(opened, true)
    pool
      .request({
        method: 'POST',
        path,
        headers: { ...headers, accept: 'application/json, text/event-stream' },
        body: text,
        signal: AbortSignal.timeout(UPSTREAM_TELL_TIMEOUT_MS),
      })
      .then(({ body }) => body.dump())
      .catch((error: unknown) => log.warn({ server, why: reasonOf(error) }, 'not told'))
      .finally(() => {
        underWay -= 1
      })
  }
}

async function shape(exchange: Exchange, ports: HttpPorts): Promise<Answer> {
  const { inbound, sending, response, tellServer, mask } = exchange
  const { statusCode: status, headers, body } = response
  checkUsable(status, headers)
  const answer = { status, headers: responseHeaders(exchange, ports.bindings) }
  const type = mediaType(headers['content-type'])
  if (type === 'text/event-stream') {
    const streamed = streamAnswer(
      { inbound, sending, status, stream: body, tellServer, mask },
      ports.streams,
    )
    const own = { 'cache-control': 'no-cache, no-transform', ...answer.headers }
    const headersOfEvents = { ...own, 'content-type': type, 'x-accel-buffering': 'no' }
    return { status, headers: headersOfEvents, body: streamed }
  }
  if (type === 'application/json') {
    const headersOfJson = { ...answer.headers, 'content-type': type }
    return shapeJson(exchange, { status, headers: headersOfJson }, ports.streams)
  }
  return withoutMessage(exchange, answer)
}

/** What is no message never passes: of an error and of what waits for no answer the status does. */
async function withoutMessage(exchange: Exchange, head: Head): Promise<Answer> {
  if (head.status < 400 && exchange.inbound.kind === 'request') throw invalid('it is no message')
  exchange.response.body.destroy()
  return finish(exchange, withoutType(head), null)
}

/** One message, read whole: nothing of it passes before all of it was looked at. */
async function shapeJson(exchange: Exchange, head: Head, streams: Streams): Promise<Answer> {
  const { inbound, sending, response, tellServer, mask } = exchange
  const read = await readText(response.body, SERVER_MESSAGE_BYTES_MAX)
  const text = mask.message(read)
  // As `streams.add` refuses an event stream that begins when its grant is gone.
  if (streams.isRevoked(inbound.grant))
    throw new GatewayError('unauthenticated', 'the grant was revoked meanwhile')
  const message = parse(text)
  if (!isObject(message) || message['jsonrpc'] !== '2.0') return withoutMessage(exchange, head)
  checkOneReading(text)
  if (inbound.kind === 'request' && 'method' in message) throw invalid('it is no answer')
  const passed = await sending.passage.pass(message, tellServer)
  if (passed === null) throw invalid('it answers something else')
  return finish(exchange, head, passed === message ? text : JSON.stringify(passed), passed)
}

/**
 * A server must answer by itself, in plain bytes; and what it wants of *our* credentials is not the
 * client's business.
 */
function checkUsable(status: number, headers: Dispatcher.ResponseData['headers']): void {
  if (status < 200 || status > 599 || status === 205)
    throw invalid('its status is none of an answer')
  if (status >= 300 && status < 400 && status !== 304) throw invalid('it redirects')
  if (status === 401 || status === 407) throw invalid('it asks for credentials')
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') throw invalid('it is encoded')
}

const PASSED = ['cache-control', 'retry-after', 'allow'] as const

/** An allow-list, as with requests: never set-cookie, never a challenge. */
function responseHeaders(
  { response, inbound, call, mask }: Exchange,
  bindings: Bindings,
): Record<string, string> {
  const headers: Record<string, string> = { 'cedargate-decision': call.verdict.decisionId }
  for (const name of PASSED) {
    const value = response.headers[name]
    if (typeof value !== 'string' || !/^[\t\x20-\x7e]*$/.test(value)) continue
    if (!mask.isIn(value)) headers[name] = value
  }
  const cached = headers['cache-control']
  if (cached !== undefined && SHARING.test(cached)) headers['cache-control'] = 'no-store'
  const session = response.headers['mcp-session-id']
  if (typeof session === 'string' && inbound.era === 'legacy' && inbound.grant !== null) {
    if (mask.isIn(session)) throw invalid('its session id holds its credential')
    const { server, grant } = inbound
    headers['mcp-session-id'] = bindings.bind('session', { server, grant }, session)
  }
  return headers
}

/** What lets a cache keep an answer to one caller for others (RFC 9111 §3.5): each answer was decided for one. */
const SHARING = /(?:^|[\s,])(?:public|s-maxage|must-revalidate)(?:$|[\s,=])/i

type Head = Pick<Answer, 'status' | 'headers'>

function finish(
  { sending }: Exchange,
  head: Head,
  text: string | null,
  message?: JsonObject,
): Answer {
  sending.onEnded({
    result: 'forwarded',
    status: head.status,
    isError: message === undefined ? head.status >= 400 : isErrorMessage(message),
    bytes: text === null ? 0 : Buffer.byteLength(text),
  })
  return { ...head, body: text }
}

function withoutType({ status, headers }: Head): Head {
  const { 'content-type': _, ...rest } = headers
  return { status, headers: rest }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function readText(body: Readable, bytesMax: number): Promise<string> {
  const gathered = createGathered()
  for await (const chunk of body as AsyncIterable<Buffer>) {
    gathered.add(chunk)
    if (gathered.length() > bytesMax) throw invalid('it is too long')
  }
  const bytes = gathered.take()
  if (!isUtf8(bytes)) throw invalid('it is not UTF-8')
  return bytes.toString('utf8')
}

/** Without parameters. Throws upstream_invalid on a charset that a client could read the same bytes otherwise by. */
function mediaType(header: string | string[] | undefined): string {
  const [type = '', ...parameters] = String(header ?? '').split(';')
  const isPlain = parameters.every(
    (one) => !/charset/i.test(one) || /^\s*charset\s*=\s*"?utf-?8"?\s*$/i.test(one),
  )
  if (!isPlain) throw invalid('its charset is not UTF-8')
  return type.trim().toLowerCase()
}

function invalid(why: string): GatewayError {
  return new GatewayError('upstream_invalid', `the answer of the server is not usable: ${why}`)
}
