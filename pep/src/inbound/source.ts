// Owns where a request comes from: the peer of its socket, or what proxies that an operator trusts say of it. Headers of
// anybody else say nothing.
import type { IncomingMessage } from 'node:http'
import { all, compile } from '@fastify/proxy-addr'
import { ipText } from '../../../schemas/ip-text.ts'

/** An IP address as ipText spells it; null for a peer that has none. */
export type SourceOf = (incoming: IncomingMessage) => string | null

/**
 * `proxies`: addresses, CIDR ranges, `loopback`, `linklocal` or `uniquelocal`. `X-Forwarded-For` of such a peer is read from
 * the right, up to the first address that is none of them; where that is no address, the source is who said so. Whoever
 * is in such a range chooses their own source. Throws for a range that is none, or is every address.
 */
export function createSourceOf(proxies: readonly string[]): SourceOf {
  const isProxy = compile([...proxies])
  return (incoming) => {
    const { remoteAddress } = incoming.socket
    if (remoteAddress === undefined) return null
    const hops = proxies.length === 0 ? [remoteAddress] : all(incoming, isProxy)
    return hops.map(ipText).findLast((address) => address !== undefined) ?? null
  }
}
