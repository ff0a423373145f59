// Owns how much of this process one grant may keep busy at once, by the bytes of its messages as they arrive: reading a
// large one takes a good part of a second. Never looks into a message.
import { GatewayError } from '../gateway-error.ts'
import { REQUEST_BYTES_MAX, REQUEST_BYTES_PER_GRANT_MAX } from '../limits.ts'

export type Shares = {
  /**
   * Counts `bytes` more for this request until `give(requestId)`. Throws too_many_requests beyond the share of its grant,
   * or of all.
   */
  readonly take: (requestId: string, grant: string, bytes: number) => void
  /** Does nothing for a request that took nothing. */
  readonly give: (requestId: string) => void
}

type Taken = { readonly grant: string; bytes: number }

export function createShares(): Shares {
  const taken = new Map<string, Taken>()
  const byGrant = new Map<string, number>()
  let all = 0
  return {
    take(requestId, grant, bytes) {
      const own = byGrant.get(grant) ?? 0
      if (own + bytes > REQUEST_BYTES_PER_GRANT_MAX || all + bytes > REQUEST_BYTES_MAX) {
        const message = 'too many bytes are under way; send large messages one after the other'
        throw new GatewayError('too_many_requests', message)
      }
      const found = taken.get(requestId) ?? { grant, bytes: 0 }
      found.bytes += bytes
      taken.set(requestId, found)
      byGrant.set(grant, own + bytes)
      all += bytes
    },
    give(requestId) {
      const found = taken.get(requestId)
      if (found === undefined) return
      const { grant, bytes } = found
      const left = (byGrant.get(grant) ?? 0) - bytes
      taken.delete(requestId)
      if (left === 0) byGrant.delete(grant)
      else byGrant.set(grant, left)
      all -= bytes
    },
  }
}
