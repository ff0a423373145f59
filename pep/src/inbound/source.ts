// Owns where a request comes from: the peer of its socket, or what proxies that an operator trusts say of it. Headers of
// anybody else say nothing.
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { all, compile } from '@fastify/proxy-addr'

/** A textual IP address; null for a peer that has none. */
export type SourceOf = (incoming: IncomingMessage) => string | null

/**
 * `proxies`: addresses, CIDR ranges, `loopback`, `linklocal` or `uniquelocal`. `X-Forwarded-For` of such a peer is read from
 * the right, up to the first address that is none of them; where that is no address, the source is who said so. Throws for
 * a range that is none, and for one of every address: then each client would choose its own.
 */
export function createSourceOf(proxies: readonly string[]): SourceOf {
  const everybody = proxies.find((range) => /\/0+(\.0+){0,3}$/.test(range))
  if (everybody !== undefined) throw new Error(`${everybody} is every address`)
  const isProxy = compile([...proxies])
  return (incoming) => {
    const { remoteAddress } = incoming.socket
    if (proxies.length === 0 || remoteAddress === undefined) return remoteAddress ?? null
    const hops = all(incoming, isProxy)
    return hops.findLast((address) => isIP(address) !== 0) ?? null
  }
}
