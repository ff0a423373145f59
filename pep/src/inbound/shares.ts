// Owns how much of this process one grant may keep busy at once, by the bytes of its messages as they arrive: reading a
// large one takes a good part of a second. Never looks into a message.
import { GatewayError } from '../gateway-error.ts'
import {
  KNOWN_TOKENS_MAX,
  REQUEST_BYTES_MAX,
  REQUEST_BYTES_PER_GRANT_MAX,
  REQUEST_BYTES_UNKNOWN_MAX,
} from '../limits.ts'

export type Shares = {
  /**
   * Counts `bytes` more for this request until `give(requestId)`. Throws too_many_requests beyond the share of its token,
   * of all tokens, or of all that the PDP has never known: whoever holds no grant can spell a token.
   */
  readonly take: (requestId: string, token: string, bytes: number) => void
  /** Does nothing for a request that took nothing. */
  readonly give: (requestId: string) => void
  /** The PDP decided on a message of this token. Beyond KNOWN_TOKENS_MAX the one known longest is forgotten. */
  readonly know: (token: string) => void
}

type Taken = { readonly token: string; readonly isKnown: boolean; bytes: number }

export function createShares(): Shares {
  const taken = new Map<string, Taken>()
  const byToken = new Map<string, number>()
  const known = new Set<string>()
  const all = { known: 0, unknown: 0 }
  return {
    take(requestId, token, bytes) {
      const found = taken.get(requestId) ?? { token, isKnown: known.has(token), bytes: 0 }
      const pool = found.isKnown ? 'known' : 'unknown'
      const most = found.isKnown ? REQUEST_BYTES_MAX : REQUEST_BYTES_UNKNOWN_MAX
      const own = byToken.get(token) ?? 0
      if (own + bytes > REQUEST_BYTES_PER_GRANT_MAX || all[pool] + bytes > most) {
        const message = 'too many bytes are under way; send large messages one after the other'
        throw new GatewayError('too_many_requests', message)
      }
      found.bytes += bytes
      taken.set(requestId, found)
      byToken.set(token, own + bytes)
      all[pool] += bytes
    },
    give(requestId) {
      const found = taken.get(requestId)
      if (found === undefined) return
      const { token, isKnown, bytes } = found
      const left = (byToken.get(token) ?? 0) - bytes
      taken.delete(requestId)
      if (left === 0) byToken.delete(token)
      else byToken.set(token, left)
      all[isKnown ? 'known' : 'unknown'] -= bytes
    },
    know(token) {
      if (known.has(token)) return
      known.add(token)
      const [oldest] = known
      if (known.size > KNOWN_TOKENS_MAX && oldest !== undefined) known.delete(oldest)
    },
  }
}
