// Owns the answers that stay open, so that a revocation ends them. Never decides who may open one.
import { GatewayError } from './gateway-error.ts'
import { REVOKED_TOKENS_MAX, STREAMS_MAX, STREAMS_PER_GRANT_MAX } from './limits.ts'

export type Stream = {
  readonly server: string
  /** Whose it is; null never is a client's. */
  readonly token: string | null
  /** It stays open for what may happen: a GET or `subscriptions/listen`, not an answer on its way. */
  readonly lasting: boolean
  readonly close: (why: GatewayError) => void
  /** Tells its client that the tools it may see changed; undefined where it did not ask to be told. */
  readonly sayToolsChanged?: () => void
}

export type Streams = {
  /**
   * Keeps the stream until the returned function is called. Throws unauthenticated for a revoked
   * token. A lasting one throws too_many_requests beyond STREAMS_MAX or STREAMS_PER_GRANT_MAX, and
   * pdp_unavailable while revocations cannot be heard.
   */
  readonly add: (stream: Stream) => () => void
  /** Those that last. */
  readonly lasting: () => readonly Stream[]
  readonly isRevoked: (token: string | null) => boolean
  /** Closes everything of this token, and what it might still open: a verdict may be on its way. */
  readonly revoke: (token: string) => void
  /** Whether revocations are heard. When they are not, what lasts is closed: some may be missed. */
  readonly watched: (heard: boolean) => void
  readonly closeAll: () => void
}

const REVOKED = new GatewayError('unauthenticated', 'the token was revoked')
const UNWATCHED = new GatewayError('pdp_unavailable', 'revocations cannot be heard')
const STOPPING = new GatewayError('upstream_unavailable', 'the PEP stops')

export function createStreams(): Streams {
  const open = new Set<Stream>()
  const revoked = new Set<string>()
  let lasting = 0
  let isWatched = false
  const closeWhere = (why: GatewayError, matches: (stream: Stream) => boolean) => {
    for (const stream of Array.from(open)) if (matches(stream)) stream.close(why)
  }
  const ownLasting = (token: string | null) =>
    Array.from(open).filter((stream) => stream.lasting && stream.token === token).length
  const check = (token: string | null, lasts: boolean) => {
    if (token !== null && revoked.has(token)) {
      throw new GatewayError('unauthenticated', 'the token was revoked meanwhile')
    }
    if (lasts && !isWatched) {
      throw new GatewayError(
        'pdp_unavailable',
        'revocations cannot be heard, so no stream may stay open',
      )
    }
    if (lasts && lasting >= STREAMS_MAX) {
      throw new GatewayError('too_many_requests', `${STREAMS_MAX} streams are open`)
    }
    if (lasts && ownLasting(token) >= STREAMS_PER_GRANT_MAX) {
      const message = `${STREAMS_PER_GRANT_MAX} streams are open for this token`
      throw new GatewayError('too_many_requests', message)
    }
  }
  return {
    add(stream) {
      check(stream.token, stream.lasting)
      open.add(stream)
      if (stream.lasting) lasting += 1
      return () => {
        if (open.delete(stream) && stream.lasting) lasting -= 1
      }
    },
    lasting: () => Array.from(open).filter((stream) => stream.lasting),
    isRevoked: (token) => token !== null && revoked.has(token),
    revoke(token) {
      const [oldest] = revoked
      if (revoked.size >= REVOKED_TOKENS_MAX && oldest !== undefined) revoked.delete(oldest)
      revoked.add(token)
      closeWhere(REVOKED, (stream) => stream.token === token)
    },
    watched(heard) {
      isWatched = heard
      if (!heard) closeWhere(UNWATCHED, (stream) => stream.lasting)
    },
    closeAll: () => closeWhere(STOPPING, () => true),
  }
}
