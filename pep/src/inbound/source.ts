// Owns where a request comes from: the peer of its socket, or what proxies that an operator trusts say of it. Headers of
// anybody else say nothing.
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { all, compile } from '@fastify/proxy-addr'

/** An IP address in its one spelling, without a zone; null for a peer that has none. */
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
    return hops.map(spelled).findLast((address) => address !== null) ?? null
  }
}

/** Null for what is no address. An IPv4 address mapped into IPv6 is that IPv4 address. */
function spelled(text: string): string | null {
  const bare = text.replace(/%.*$/s, '').replace(/^::ffff:(?=\d+\.)/i, '')
  if (isIP(bare) === 4) return bare
  return isIP(bare) === 6 ? new URL(`http://[${bare}]`).hostname.slice(1, -1) : null
}
