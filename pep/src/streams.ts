// Owns the answers that stay open, so that a revocation ends them. Never decides who may open one.
import { GatewayError } from './gateway-error.ts'
import {
  REVOKED_GRANT_KEPT_MS,
  REVOKED_GRANTS_MAX,
  STREAMS_MAX,
  STREAMS_PER_GRANT_MAX,
} from './limits.ts'

export type Stream = {
  readonly server: string
  /** Whose it is; null never is a client's. */
  readonly grant: string | null
  /** It stays open for what may happen: a GET or `subscriptions/listen`, not an answer on its way. */
  readonly lasting: boolean
  /** When the JWT ends that it was opened with, in milliseconds since 1970: a lasting one ends then. */
  readonly expiresAt: number | null
  readonly close: (why: GatewayError) => void
  /** Tells its client that the tools it may see changed; undefined where it did not ask to be told. */
  readonly sayToolsChanged?: () => void
}

export type Streams = {
  /**
   * Keeps the stream until the returned function is called. Throws unauthenticated for a revoked
   * grant, and for a lasting one whose token has expired. A lasting one throws too_many_requests beyond STREAMS_MAX or STREAMS_PER_GRANT_MAX, and
   * pdp_unavailable while revocations cannot be heard.
   */
  readonly add: (stream: Stream) => () => void
  /** Those that last. */
  readonly lasting: () => readonly Stream[]
  readonly isRevoked: (grant: string | null) => boolean
  /** Closes everything of this grant, and what it might still open: a verdict may be on its way. */
  readonly revoke: (grant: string) => void
  /**
   * Closes what of this grant lasts; it is in force, and who still may opens it again. An answer on its way is of a call
   * that was allowed.
   */
  readonly end: (grant: string) => void
  /** The grant is in force, also after a `revoke`. */
  readonly reinstate: (grant: string) => void
  /** Whether revocations are heard. When they are not, what lasts is closed: some may be missed. */
  readonly watched: (heard: boolean) => void
  readonly closeAll: () => void
}

const REVOKED = new GatewayError('unauthenticated', 'the grant was revoked', { fault: 'revoked' })
const CHANGED = new GatewayError('unauthenticated', 'the grant was changed')
const EXPIRED = new GatewayError('unauthenticated', 'the token has expired', { fault: 'expired' })
const UNWATCHED = new GatewayError('pdp_unavailable', 'revocations cannot be heard')
const STOPPING = new GatewayError('upstream_unavailable', 'the PEP stops')

/** Beyond it timers fire at once. */
const TIMER_MS_MAX = 2 ** 31 - 1

/** `now`: milliseconds since 1970. */
export function createStreams(now: () => number): Streams {
  const open = new Set<Stream>()
  const revoked = new Map<string, NodeJS.Timeout>()
  let lasting = 0
  let isWatched = false
  const closeWhere = (why: GatewayError, matches: (stream: Stream) => boolean) => {
    for (const stream of Array.from(open)) if (matches(stream)) stream.close(why)
  }
  const reinstate = (grant: string): void => {
    clearTimeout(revoked.get(grant))
    revoked.delete(grant)
  }
  const ownLasting = (grant: string | null) =>
    Array.from(open).filter((stream) => stream.lasting && stream.grant === grant).length
  const check = ({ grant, lasting: lasts, expiresAt }: Stream) => {
    if (grant !== null && revoked.has(grant)) throw REVOKED
    if (lasts && expiresAt !== null && expiresAt <= now()) throw EXPIRED
    if (lasts && !isWatched) {
      throw new GatewayError(
        'pdp_unavailable',
        'revocations cannot be heard, so no stream may stay open',
      )
    }
    if (lasts && lasting >= STREAMS_MAX) {
      throw new GatewayError('too_many_requests', `${STREAMS_MAX} streams are open`)
    }
    if (lasts && ownLasting(grant) >= STREAMS_PER_GRANT_MAX) {
      const message = `${STREAMS_PER_GRANT_MAX} streams are open for this grant`
      throw new GatewayError('too_many_requests', message)
    }
  }
  return {
    add(stream) {
      check(stream)
      open.add(stream)
      if (!stream.lasting) return () => void open.delete(stream)
      lasting += 1
      const clear = whenExpired(stream, now(), () => stream.close(EXPIRED))
      return () => {
        clear()
        if (open.delete(stream)) lasting -= 1
      }
    },
    lasting: () => Array.from(open).filter((stream) => stream.lasting),
    isRevoked: (grant) => grant !== null && revoked.has(grant),
    revoke(grant) {
      reinstate(grant)
      const [oldest] = revoked.keys()
      if (revoked.size >= REVOKED_GRANTS_MAX && oldest !== undefined) reinstate(oldest)
      revoked.set(grant, setTimeout(() => revoked.delete(grant), REVOKED_GRANT_KEPT_MS).unref())
      closeWhere(REVOKED, (stream) => stream.grant === grant)
    },
    end(grant) {
      reinstate(grant)
      closeWhere(CHANGED, (stream) => stream.lasting && stream.grant === grant)
    },
    reinstate,
    watched(heard) {
      isWatched = heard
      if (!heard) closeWhere(UNWATCHED, (stream) => stream.lasting)
    },
    closeAll: () => closeWhere(STOPPING, () => true),
  }
}

/** Answers what forgets it. */
function whenExpired({ expiresAt }: Stream, now: number, end: () => void): () => void {
  if (expiresAt === null) return () => undefined
  const timer = setTimeout(end, Math.min(expiresAt - now, TIMER_MS_MAX)).unref()
  return () => clearTimeout(timer)
}
