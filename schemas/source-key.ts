// Owns whose failures are counted together: the source that a peer's address stands for. Pure; asks no resolver.
import { ipText } from './ip-text.ts'

/** Of callers that have no address: over a Unix socket, or in this process. */
const LOCAL = 'local'

/**
 * An IPv4 address is a source; so is the /64 of an IPv6 address, in full: who has one address of it has all of them. What
 * is no address, and undefined, is `local`.
 */
export function sourceKey(address: string | undefined): string {
  const plain = ipText(address ?? '')
  if (plain === undefined) return LOCAL
  if (!plain.includes(':')) return plain
  const network = groupsOf(plain).slice(0, 4)
  return `${network.map((group) => group.toString(16)).join(':')}::/64`
}

/** The eight groups of an IPv6 address as ipText spells it: hexadecimal, at most one `::`. */
function groupsOf(address: string): number[] {
  const [left = [], right] = address.split('::').map(partOf)
  if (right === undefined) return left
  return [...left, ...Array.from({ length: 8 - left.length - right.length }, () => 0), ...right]
}

function partOf(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
}
