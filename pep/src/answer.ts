// Owns writing an answer to the client's connection, and what becomes of an upstream whose client
// went away.
import type { ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'

export type Answer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | null | Streamed
}

/** A body that is written as it comes. */
export type Streamed = {
  readonly stream: Readable
  /**
   * What a client that went away means to the server: stop, or finish unread (legacy: disconnecting
   * is not cancelling).
   */
  readonly whenGone: 'cancel' | { readonly drainMs: number }
  /** Sees every chunk, and answers what to write for it. A throw ends the answer. */
  readonly onChunk?: (chunk: Buffer) => Buffer
  /** Once: whether the body came to its own end. */
  readonly onEnd: (complete: boolean) => void
}

/**
 * The response hono passes on. A stream is written to `outgoing` directly, chunk by chunk, never
 * gathered.
 */
export function respond(answer: Answer, outgoing: ServerResponse): Response {
  const { status, headers, body } = answer
  if (body === null || typeof body === 'string') return new Response(body, { status, headers })
  if (!outgoing.destroyed) outgoing.writeHead(status, headers).flushHeaders()
  relay(body, outgoing)
  return RESPONSE_ALREADY_SENT
}

function relay({ stream, whenGone, onChunk, onEnd }: Streamed, outgoing: ServerResponse): void {
  let over = false
  const end = (complete: boolean) => {
    if (over) return
    over = true
    onEnd(complete)
    if (complete) outgoing.end()
    else outgoing.destroy()
  }
  const pass = (chunk: Buffer) => {
    const shown = onChunk === undefined ? chunk : onChunk(chunk)
    if (shown.length > 0 && !outgoing.destroyed && !outgoing.write(shown)) stream.pause()
  }
  stream.on('data', (chunk: Buffer) => {
    try {
      pass(chunk)
    } catch (error) {
      stream.destroy(error as Error)
    }
  })
  stream.once('end', () => end(true))
  stream.on('error', () => end(false))
  stream.once('close', () => end(false))
  outgoing.on('drain', () => stream.resume())
  if (outgoing.destroyed) abandon(stream, whenGone)
  else outgoing.once('close', () => abandon(stream, whenGone))
}

function abandon(stream: Readable, whenGone: Streamed['whenGone']): void {
  if (stream.destroyed || stream.readableEnded) return
  if (whenGone === 'cancel') {
    stream.destroy()
    return
  }
  stream.resume()
  const timer = setTimeout(() => stream.destroy(), whenGone.drainMs)
  timer.unref()
  stream.once('close', () => clearTimeout(timer))
}
