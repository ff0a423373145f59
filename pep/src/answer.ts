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
  /**
   * Sees every chunk, and answers what to write for it; the next chunk waits for a promise. A throw or rejection ends
   * the answer.
   */
  readonly onChunk?: (chunk: Buffer) => Buffer | Promise<Buffer>
  /**
   * Once: whether the body came to its own end, and if not, why. Answers what to write as the last; where there is
   * nothing to say of a body that broke off, the connection breaks off too.
   */
  readonly onEnd: (complete: boolean, error?: Error) => Buffer | undefined
  /** Gets what writes between two chunks of the body; does nothing once that is over. */
  readonly onOpen?: (write: (bytes: Buffer) => void) => void
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

function relay(
  { stream, whenGone, onChunk, onEnd, onOpen }: Streamed,
  outgoing: ServerResponse,
): void {
  let over = false
  let passing: Promise<void> | undefined
  const write = (bytes: Buffer) => {
    if (bytes.length > 0 && !outgoing.destroyed && !outgoing.write(bytes)) stream.pause()
  }
  const end = (complete: boolean, error?: Error) => {
    if (over) return
    over = true
    const last = onEnd(complete, error)
    if (outgoing.destroyed) return
    if (last !== undefined) outgoing.end(last)
    else if (complete) outgoing.end()
    else outgoing.destroy()
  }
  const endInTurn = (complete: boolean, error?: Error) => {
    if (passing === undefined) end(complete, error)
    else void passing.then(() => end(complete, error))
  }
  const pass = (chunk: Buffer) => {
    const shown = onChunk === undefined ? chunk : onChunk(chunk)
    if (!(shown instanceof Promise)) {
      write(shown)
      return
    }
    stream.pause()
    passing = shown
      .then(write, (error: Error) => void stream.destroy(error))
      .finally(() => {
        passing = undefined
        if (!outgoing.writableNeedDrain) stream.resume()
      })
  }
  stream.on('data', (chunk: Buffer) => {
    try {
      pass(chunk)
    } catch (error) {
      stream.destroy(error as Error)
    }
  })
  stream.once('end', () => endInTurn(true))
  stream.on('error', (error) => endInTurn(false, error))
  stream.once('close', () => endInTurn(false))
  outgoing.on('drain', () => {
    if (passing === undefined) stream.resume()
  })
  if (outgoing.destroyed) abandon(stream, whenGone)
  else outgoing.once('close', () => abandon(stream, whenGone))
  onOpen?.((bytes) => {
    const late = () => over || write(bytes)
    if (passing === undefined) late()
    else void passing.then(late)
  })
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
