// Owns how much of this process one grant may keep busy at once, by the bytes of its messages: reading a large one takes a
// good part of a second. Never looks into a message.
import { GatewayError } from '../gateway-error.ts'
import { REQUEST_BYTES_MAX, REQUEST_BYTES_PER_GRANT_MAX } from '../limits.ts'

export type Shares = {
  /** Counts `bytes` for `token` until `give(requestId)`. Throws too_many_requests beyond its share, or beyond that of all. */
  readonly take: (requestId: string, token: string, bytes: number) => void
  /** Does nothing for a request that took nothing. */
  readonly give: (requestId: string) => void
}

export function createShares(): Shares {
  const taken = new Map<string, { readonly token: string; readonly bytes: number }>()
  const byToken = new Map<string, number>()
  let all = 0
  return {
    take(requestId, token, bytes) {
      const own = byToken.get(token) ?? 0
      if (own + bytes > REQUEST_BYTES_PER_GRANT_MAX || all + bytes > REQUEST_BYTES_MAX) {
        const message = 'too many bytes are under way; send large messages one after the other'
        throw new GatewayError('too_many_requests', message)
      }
      taken.set(requestId, { token, bytes })
      byToken.set(token, own + bytes)
      all += bytes
    },
    give(requestId) {
      const found = taken.get(requestId)
      if (found === undefined) return
      const { token, bytes } = found
      const left = (byToken.get(token) ?? 0) - bytes
      taken.delete(requestId)
      if (left === 0) byToken.delete(token)
      else byToken.set(token, left)
      all -= bytes
    },
  }
}
