// Owns what a client gets of a session over a channel: the answer of the SDK's transport, as one of ours.
import { Readable } from 'node:stream'
import type { Answer } from '../answer.ts'
import { GatewayError } from '../gateway-error.ts'
import type { Bindings } from '../inbound/bindings.ts'
import type { Inbound } from '../inbound/receive.ts'
import { eventOf } from '../passage/events.ts'
import { toolsChangedFor } from '../passage/tools-changed.ts'
import type { RecordedCall } from '../record/record.ts'
import { oneReadingOf } from '../sse.ts'
import type { Streams } from '../streams.ts'
import type { Handled } from './channel-session.ts'
import { addOrDestroy, isLasting } from './stream-answer.ts'
import type { Sending } from './upstream.ts'

export type AnswerPorts = { readonly bindings: Bindings; readonly streams: Streams }

export type Exchange = {
  readonly inbound: Inbound
  readonly call: RecordedCall
  readonly sending: Sending
}

/**
 * The outcome of a request comes with the server's own answer; of the rest, what is not sent is refused. Throws
 * not_a_message for a request that the transport refuses, and what `Streams.add` throws.
 */
export async function answerOfSession(
  { response, isSent }: Handled,
  { inbound, call, sending }: Exchange,
  ports: AnswerPorts,
): Promise<Answer> {
  const headers = headersOf(response, inbound, call, ports.bindings)
  const { status, body } = response
  if (body === null || !(headers['content-type'] ?? '').startsWith('text/event-stream')) {
    const text = await response.text()
    const isError = status >= 400
    const result = isSent && !isError ? 'forwarded' : 'refused'
    sending.onEnded({ result, status, isError, bytes: text.length })
    if (status === 400 && inbound.kind === 'request') {
      throw new GatewayError('not_a_message', `the transport of the server refused it: ${text}`)
    }
    return { status, headers, body: text === '' ? null : text }
  }
  const stream = Readable.fromWeb(body)
  const lasting = isLasting(inbound)
  const changed = toolsChangedFor(inbound)
  let write: ((bytes: Buffer) => void) | undefined
  const release = addOrDestroy(ports.streams, stream, {
    server: inbound.server,
    grant: inbound.grant,
    expiresAt: inbound.expiresAt,
    lasting,
    close: (why) => stream.destroy(why),
    sayToolsChanged: () => {
      if (changed !== undefined) write?.(eventOf(changed))
    },
  })
  const onEnd = (complete: boolean): undefined => {
    release()
    const result = complete ? 'forwarded' : 'unknown'
    if (lasting) sending.onEnded({ result, status, isError: false, bytes: 0 })
  }
  return {
    status,
    headers: { ...headers, 'x-accel-buffering': 'no' },
    body: {
      stream,
      whenGone: 'cancel',
      onChunk: oneReadingOf,
      onEnd,
      onOpen(writeNow) {
        write = writeNow
      },
    },
  }
}

const PASSED = ['content-type', 'cache-control', 'allow'] as const

function headersOf(
  response: Response,
  { grant, server }: Inbound,
  { verdict }: RecordedCall,
  bindings: Bindings,
): Record<string, string> {
  const headers: Record<string, string> = { 'cedargate-decision': verdict.decisionId }
  for (const name of PASSED) {
    const value = response.headers.get(name)
    if (value !== null) headers[name] = value
  }
  const sessionId = response.headers.get('mcp-session-id')
  if (sessionId !== null && grant !== null) {
    headers['mcp-session-id'] = bindings.bind('session', { server, grant }, sessionId)
  }
  return headers
}
