// Owns the PEP's own connection to a server over Streamable HTTP, for discovery: one exchange at a
// time, read whole. Never carries anything of a client.
import type { Pool } from 'undici'
import { META } from '../../../schemas/mcp.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { GatewayError } from '../gateway-error.ts'
import { createGathered } from '../gathered.ts'
import { DISCOVERY_TIMEOUT_MS, SERVER_MESSAGE_BYTES_MAX } from '../limits.ts'
import { type AnswerMask, answerMask } from '../mask/answer-mask.ts'
import type { Opened } from '../record/record.ts'
import { createSseReader } from '../sse.ts'
import type { Connection } from './upstream.ts'
import type { UsedCredentials } from './used-credentials.ts'

const MODERN = '2026-07-28'

export type Target = {
  readonly pool: Pool
  readonly path: string
  readonly used: UsedCredentials
  /** An answer held the credential; it was masked. */
  readonly onEchoed: () => void
}
type Exchange = (text: string, headers: Record<string, string>) => Promise<Reply>
type Reply = {
  readonly status: number
  readonly session: string | undefined
  readonly message: JsonObject | undefined
}

/**
 * Opens with `initialize`, or without a session where the server refuses that and answers the
 * modern era; every request is sent with the credential. Throws upstream_unavailable when it cannot
 * be reached, upstream_invalid on an answer that is none.
 */
export async function connectHttp(target: Target, opened: Opened): Promise<Connection> {
  const { pool, path } = target
  const { inbound, credential } = opened
  const { grant } = inbound
  const mask = answerMask(() => target.used.maskersFor(grant, credential), target.onEchoed)
  const exchange: Exchange = (text, headers) => {
    target.used.use(grant, credential)
    return post(target, text, { ...headers, ...credential?.headers() }, mask)
  }
  const { status, session, message } = await exchange(inbound.text, {})
  const initialized = resultOf(message)
  if (initialized === undefined && status >= 500) throw unusable(`it answered ${status}`)
  const version = initialized?.['protocolVersion']
  const headers: Record<string, string> = {
    ...(session === undefined ? {} : { 'mcp-session-id': session }),
    ...(typeof version === 'string' ? { 'mcp-protocol-version': version } : {}),
  }
  let lastId = 0
  return {
    initialized,
    async request(method, params) {
      lastId += 1
      const modern = initialized === undefined
      const text = requestText(lastId, method, modern ? { ...params, _meta: modernMeta() } : params)
      const reply = await exchange(
        text,
        modern ? { 'mcp-protocol-version': MODERN, 'mcp-method': method } : headers,
      )
      const result = resultOf(reply.message)
      if (result === undefined) throw unusable(`${method} has no result, HTTP ${reply.status}`)
      return result
    },
    async notify(method) {
      if (initialized !== undefined)
        await exchange(JSON.stringify({ jsonrpc: '2.0', method }), headers)
    },
    async close() {
      if (session === undefined) return
      const signal = AbortSignal.timeout(DISCOVERY_TIMEOUT_MS)
      const own = { ...headers, ...credential?.headers() }
      const { body } = await pool.request({ method: 'DELETE', path, headers: own, signal })
      await body.dump()
    },
  }
}

function requestText(id: number, method: string, params: JsonObject): string {
  return JSON.stringify({ jsonrpc: '2.0', id: `cedargate-${id}`, method, params })
}

function modernMeta(): JsonObject {
  return {
    [META.protocolVersion]: MODERN,
    [META.clientInfo]: { name: 'cedargate', version: '0' },
    [META.clientCapabilities]: { roots: {}, sampling: {}, elicitation: {} },
  }
}

async function post(
  { pool, path }: Target,
  body: string,
  own: Record<string, string>,
  mask: AnswerMask,
): Promise<Reply> {
  const headers = {
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    ...own,
  }
  try {
    const signal = AbortSignal.timeout(DISCOVERY_TIMEOUT_MS)
    const response = await pool.request({ method: 'POST', path, headers, body, signal })
    const session = response.headers['mcp-session-id']
    const type = String(response.headers['content-type'] ?? '')
    const chunks = response.body as AsyncIterable<Buffer>
    if (typeof session === 'string' && mask.isIn(session))
      throw unusable('its session id holds its credential')
    return {
      status: response.statusCode,
      session: typeof session === 'string' ? session : undefined,
      message: type.startsWith('text/event-stream')
        ? await readEvents(chunks, mask)
        : await readJson(chunks, mask),
    }
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause
    throw new GatewayError('upstream_unavailable', 'the server gave discovery no answer', { cause })
  }
}

/** The first response on the stream; what the server asks or tells before it is nobody's. */
async function readEvents(
  chunks: AsyncIterable<Buffer>,
  mask: AnswerMask,
): Promise<JsonObject | undefined> {
  const reader = createSseReader(SERVER_MESSAGE_BYTES_MAX)
  for await (const chunk of chunks) {
    for (const event of reader.push(chunk)) {
      const { data } = mask.event(event)
      const message = data === undefined || data === '' ? undefined : asObject(data)
      if (message !== undefined && ('result' in message || 'error' in message)) return message
    }
  }
  return undefined
}

async function readJson(
  chunks: AsyncIterable<Buffer>,
  mask: AnswerMask,
): Promise<JsonObject | undefined> {
  const gathered = createGathered()
  for await (const chunk of chunks) {
    gathered.add(chunk)
    if (gathered.length() > SERVER_MESSAGE_BYTES_MAX) throw unusable('it is too long')
  }
  const text = gathered.take().toString('utf8')
  return asObject(mask.message(text))
}

function asObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as JsonObject)
      : undefined
  } catch {
    return undefined // Not JSON: an answer without a message, which the caller reports.
  }
}

function resultOf(message: JsonObject | undefined): JsonObject | undefined {
  const result = message?.['result']
  return typeof result === 'object' && result !== null && !Array.isArray(result)
    ? result
    : undefined
}

function unusable(why: string): GatewayError {
  return new GatewayError(
    'upstream_invalid',
    `the answer of the server to discovery is not usable: ${why}`,
  )
}
