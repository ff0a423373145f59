// Owns the answers that stay open, so that a revocation ends them. Never decides who may open one.
import { GatewayError } from './gateway-error.ts'
import { STREAMS_MAX } from './limits.ts'

export type Streams = {
  /**
   * Keeps `close` until the returned function is called. A long-lived stream (`lasting`: a GET, not an answer on its
   * way) counts against STREAMS_MAX: throws too_many_requests beyond.
   */
  add(token: string | null, lasting: boolean, close: () => void): () => void
  /** Closes everything of this token. */
  revoke(token: string): void
  /** Closes what lasts: revocations may have been missed, and whoever opens it again is decided anew. */
  closeLasting(): void
  closeAll(): void
}

type Open = { readonly token: string | null; readonly lasting: boolean; readonly close: () => void }

export function createStreams(): Streams {
  const open = new Set<Open>()
  let lasting = 0
  const closeWhere = (matches: (stream: Open) => boolean) => {
    for (const stream of [...open]) if (matches(stream)) stream.close()
  }
  return {
    add(token, lasts, close) {
      if (lasts && lasting >= STREAMS_MAX) {
        throw new GatewayError('too_many_requests', `${STREAMS_MAX} streams are open`)
      }
      const stream = { token, lasting: lasts, close }
      open.add(stream)
      if (lasts) lasting += 1
      return () => {
        if (open.delete(stream) && lasts) lasting -= 1
      }
    },
    revoke: (token) => closeWhere((stream) => stream.token === token),
    closeLasting: () => closeWhere((stream) => stream.lasting),
    closeAll: () => closeWhere(() => true),
  }
}
