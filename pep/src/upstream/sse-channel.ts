// Owns a channel to a server of the HTTP+SSE transport (2024-11-05): messages come as events of one stream, and go by POST
// to the endpoint that its first event names. Never reconnects (another stream is another session), never follows a
// redirect, sends nothing of a client but the message.
import type { Dispatcher, Pool } from 'undici'
import type { Credential } from '../credential.ts'
import { GatewayError, type GatewayErrorOptions } from '../gateway-error.ts'
import {
  SERVER_MESSAGE_BYTES_MAX,
  SSE_OPEN_TIMEOUT_MS,
  UPSTREAM_CONNECTIONS_MAX,
} from '../limits.ts'
import { answerMask } from '../mask/answer-mask.ts'
import type { Log } from '../ports.ts'
import { createSseReader, type SseEvent } from '../sse.ts'
import type { Channel, ChannelKind, ChannelPorts } from './channel.ts'
import { readMasked } from './lines.ts'
import { type HttpTarget, openPool } from './open-pool.ts'
import { faultOf } from './stream-answer.ts'
import { createUsedCredentials, type UsedCredentials } from './used-credentials.ts'

/** `at` is the stream. */
export function sseChannels(server: string, at: HttpTarget, log: Log): ChannelKind {
  const { url } = at
  const pool = openPool(at, UPSTREAM_CONNECTIONS_MAX)
  const used = createUsedCredentials()
  return {
    isOwn: false,
    open: (ports) => openStream({ server, url, log, pool, used }, ports),
    stop: () => pool.destroy(),
  }
}

type Target = {
  readonly server: string
  readonly url: URL
  readonly log: Log
  readonly pool: Pool
  readonly used: UsedCredentials
}

async function openStream(
  target: Target,
  { onMessage, caller, credential: first }: ChannelPorts,
): Promise<Channel> {
  let last = first
  const use = (credential: Credential | undefined): void => {
    last = credential
    target.used.use(caller, credential)
  }
  use(first)
  const mask = answerMask(
    () => target.used.maskersFor(caller, last),
    () => undefined,
  )
  const closing = new AbortController()
  const endpoint = Promise.withResolvers<string>()
  const late = setTimeout(() => {
    const message = `the server named no endpoint within ${SSE_OPEN_TIMEOUT_MS} ms`
    endpoint.reject(new GatewayError('upstream_timeout', message))
  }, SSE_OPEN_TIMEOUT_MS)
  const take = ({ type, data }: SseEvent) => {
    if (type === 'endpoint') endpoint.resolve(endpointIn(data ?? '', target.url))
    const read = type === 'message' ? readMasked(data ?? '', mask) : undefined
    if (read !== undefined) onMessage(read.message, read.isMasked)
    else if (type === 'message') target.log.debug({ server: target.server }, 'not a message')
  }
  const gone = readStream(target, first, closing.signal, take).then(
    () => 'its stream ended',
    (error: Error) => {
      endpoint.reject(asGatewayError(error))
      return `its stream broke off: ${error.message}`
    },
  )
  void gone.then(() =>
    endpoint.reject(new GatewayError('upstream_unavailable', 'the stream of the server ended')),
  )
  const close = async () => {
    closing.abort()
    await gone
  }
  try {
    const path = await endpoint.promise
    const sendNow = (text: string) =>
      send({ pool: target.pool, path, signal: closing.signal }, text, last)
    return { gone, close, send: sendNow, use }
  } catch (error) {
    await close()
    throw error
  } finally {
    clearTimeout(late)
  }
}

/** Throws or rejects with what ended it before its time. */
async function readStream(
  { url, pool }: Target,
  credential: Credential | undefined,
  signal: AbortSignal,
  take: (event: SseEvent) => void,
): Promise<void> {
  const { statusCode, headers, body } = await pool.request({
    method: 'GET',
    path: `${url.pathname}${url.search}`,
    headers: { accept: 'text/event-stream', ...credential?.headers() },
    bodyTimeout: 0,
    signal,
  })
  try {
    checkStream(statusCode, headers)
    const reader = createSseReader(SERVER_MESSAGE_BYTES_MAX)
    for await (const chunk of body as AsyncIterable<Buffer>)
      for (const event of reader.push(chunk)) take(event)
  } finally {
    body.on('error', () => undefined).destroy()
  }
}

function checkStream(status: number, headers: Dispatcher.ResponseData['headers']): void {
  if (status !== 200) throw refusedBy(status)
  const type = String(headers['content-type'] ?? '')
    .split(';')[0]
    ?.trim()
    .toLowerCase()
  if (type !== 'text/event-stream') throw unusable('it is no event stream')
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') throw unusable('it is encoded')
}

/** Path and query on the origin of the stream. Throws upstream_invalid for any other. */
function endpointIn(data: string, url: URL): string {
  const named = URL.parse(data, url.href)
  if (named === null || data === '') throw unusable('its endpoint is no URL')
  if (named.origin !== url.origin) throw unusable('its endpoint is of another origin')
  return `${named.pathname}${named.search}`
}

type Endpoint = { readonly pool: Pool; readonly path: string; readonly signal: AbortSignal }

async function send(
  { pool, path, signal }: Endpoint,
  text: string,
  credential: Credential | undefined,
): Promise<void> {
  try {
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...credential?.headers(),
    }
    const response = await pool.request({ method: 'POST', path, headers, body: text, signal })
    // The answer comes on the stream; what this one says besides is nobody's.
    await response.body.dump()
    if (response.statusCode >= 300) throw refusedBy(response.statusCode)
  } catch (error) {
    throw asGatewayError(error)
  }
}

function refusedBy(status: number): GatewayError {
  if (status >= 300 && status < 400) return unusable('it redirects')
  const upstreamStatus = status
  if (status === 401 || status === 407)
    return unusable('it asks for credentials', { upstreamStatus })
  const code = status >= 500 ? 'upstream_unavailable' : 'upstream_invalid'
  const message = `the server refused a message of the session: HTTP ${status}`
  return new GatewayError(code, message, { upstreamStatus })
}

function unusable(why: string, options?: GatewayErrorOptions): GatewayError {
  const message = `the stream of the server is not usable: ${why}`
  return new GatewayError('upstream_invalid', message, options)
}

function asGatewayError(cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause
  if (cause instanceof RangeError) return unusable('an event is too long')
  return new GatewayError(faultOf(cause), 'the server could not be reached', { cause })
}
