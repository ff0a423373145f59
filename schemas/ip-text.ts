// Owns the one spelling of an IP address. Pure; asks no resolver.
import { isIP } from 'node:net'

const MAPPED = /^::ffff:([\da-f]+):([\da-f]+)$/

/**
 * Without a zone, IPv6 as WHATWG URL writes it, an IPv4 address mapped into IPv6 as that IPv4 address; undefined for what
 * is no address.
 */
export function ipText(text: string): string | undefined {
  const bare = text.replace(/%.*$/s, '')
  const family = isIP(bare)
  if (family !== 6) return family === 4 ? bare : undefined
  const plain = new URL(`http://[${bare}]`).hostname.slice(1, -1)
  const mapped = MAPPED.exec(plain)
  if (mapped === null) return plain
  const [high = 0, low = 0] = mapped.slice(1).map((group) => Number.parseInt(group, 16))
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.')
}
