// Owns an event stream on its way from a server to a client: bounded in bytes and time, open to a word of the gateway's
// own, and never ended without an answer that its client could go on waiting for.
import type { Readable } from 'node:stream'
import type { Streamed } from '../answer.ts'
import { GatewayError } from '../gateway-error.ts'
import type { Inbound } from '../inbound/receive.ts'
import {
  ABANDONED_ANSWER_MS_MAX,
  ANSWER_CLOSE_MS,
  ANSWER_STREAM_BYTES_MAX,
  ANSWER_STREAM_MS_MAX,
} from '../limits.ts'
import type { AnswerMask } from '../mask/answer-mask.ts'
import { eventOf, passEvents } from '../passage/events.ts'
import type { TellServer } from '../passage/passage.ts'
import { toolsChangedFor } from '../passage/tools-changed.ts'
import type { Stream, Streams } from '../streams.ts'
import type { Sending } from './upstream.ts'

export type StreamOf = {
  readonly inbound: Inbound
  readonly sending: Sending
  readonly status: number
  readonly stream: Readable
  readonly tellServer: TellServer
  readonly mask: AnswerMask
}

/** Whether the client opened it to be told of what happens. */
export function isLasting({ kind, method }: Inbound): boolean {
  return kind === 'stream' || method === 'subscriptions/listen'
}

/** Throws what `Streams.add` throws, with the stream destroyed. */
export function streamAnswer(of: StreamOf, streams: Streams): Streamed {
  const { inbound, sending, status, stream, tellServer, mask } = of
  const { passage, onEnded } = sending
  const lasting = isLasting(inbound)
  const events = passEvents(passage, tellServer, mask)
  const bounds = lasting ? undefined : boundsOf(stream)
  let bytes = 0
  let write: ((bytes: Buffer) => void) | undefined
  const changed = toolsChangedFor(inbound)
  const sayToolsChanged = () => {
    // The first word on a subscription is the server's own.
    if (changed !== undefined && (bytes > 0 || inbound.era === 'legacy')) write?.(eventOf(changed))
  }
  const release = addOrDestroy(streams, stream, {
    server: inbound.server,
    grant: inbound.grant,
    expiresAt: inbound.expiresAt,
    lasting,
    close: (why) => stream.destroy(why),
    ...(changed === undefined ? {} : { sayToolsChanged }),
  })
  return {
    stream,
    whenGone: lasting || inbound.era === 'modern' ? 'cancel' : { drainMs: ABANDONED_ANSWER_MS_MAX },
    onChunk(chunk) {
      bytes += chunk.length
      bounds?.see(bytes)
      const shown = events.push(chunk)
      const settled = (passed: Buffer): Buffer => {
        if (passage.answered() !== undefined) bounds?.closeSoon()
        const failure = events.failure()
        if (failure !== undefined) stream.destroy(failure)
        return passed
      }
      return shown instanceof Promise ? shown.then(settled) : settled(shown)
    },
    onOpen(writeNow) {
      write = writeNow
    },
    onEnd(complete, error) {
      release()
      bounds?.clear()
      const answered = passage.answered()
      const isWhole = answered !== undefined || (lasting && complete)
      const result = isWhole ? 'forwarded' : 'unknown'
      onEnded({ result, status, isError: answered?.isError ?? false, bytes })
      const mayResume = inbound.era === 'legacy' && events.isResumable() && !isRefusal(error)
      if (answered !== undefined) return Buffer.alloc(0)
      if (lasting || mayResume) return undefined
      const refusal = passage.refuse(faultOf(error))
      return refusal === undefined ? undefined : eventOf(refusal)
    },
  }
}

/** Ends what does not end by itself. */
function boundsOf(stream: Readable) {
  const tooLong = new GatewayError('upstream_timeout', 'the answer of the server does not end')
  const timers = [setTimeout(() => stream.destroy(tooLong), ANSWER_STREAM_MS_MAX).unref()]
  return {
    see(bytes: number) {
      if (bytes > ANSWER_STREAM_BYTES_MAX)
        throw new GatewayError('upstream_invalid', 'the answer of the server is too long')
    },
    closeSoon() {
      if (timers.length === 1)
        timers.push(setTimeout(() => stream.destroy(), ANSWER_CLOSE_MS).unref())
    },
    clear: () => timers.forEach((timer) => clearTimeout(timer)),
  }
}

/** Answers what forgets it. Throws what `Streams.add` throws, with the stream destroyed. */
export function addOrDestroy(streams: Streams, stream: Readable, of: Stream): () => void {
  try {
    return streams.add(of)
  } catch (error) {
    stream.on('error', () => undefined).destroy()
    throw error
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof GatewayError
}

/** HTTP status that is why; 0 where it is another thing. */
export function statusOf(cause: unknown): number {
  return cause instanceof GatewayError ? cause.upstreamStatus : 0
}

/** Why an answer broke off. */
export function faultOf(cause: unknown): GatewayError['code'] {
  if (cause instanceof GatewayError) return cause.code
  const code = cause instanceof Error && 'code' in cause ? cause.code : ''
  const late = code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT'
  return late ? 'upstream_timeout' : 'upstream_unavailable'
}
