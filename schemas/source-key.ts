// Owns whose failures are counted together: the source that a peer's address stands for. Pure; asks no resolver.

/** Of callers that have no address: over a Unix socket, or in this process. */
const LOCAL = 'local'

/**
 * An IPv4 address is a source; so is the /64 of an IPv6 address, in full: who has one address of it has all of them. An
 * IPv4 address mapped into IPv6 is that IPv4 address. What is no address, and undefined, is `local`.
 */
export function sourceKey(address: string | undefined): string {
  const bare = address?.replace(/%.*$/, '') ?? ''
  if (!bare.includes(':')) return /^\d{1,3}(\.\d{1,3}){3}$/.test(bare) ? bare : LOCAL
  if (!/^[\da-f:.]+$/i.test(bare) || !URL.canParse(`http://[${bare}]`)) return LOCAL
  const groups = groupsOf(new URL(`http://[${bare}]`).hostname.slice(1, -1))
  const [, , , , , mapped = 0, high = 0, low = 0] = groups
  if (mapped === 0xff_ff && groups.slice(0, 5).every((group) => group === 0)) {
    return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.')
  }
  return `${groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(':')}::/64`
}

/** The eight groups of an IPv6 address as WHATWG URL serialises it: hexadecimal, at most one `::`. */
function groupsOf(address: string): number[] {
  const [left = [], right] = address.split('::').map(partOf)
  if (right === undefined) return left
  return [...left, ...Array.from({ length: 8 - left.length - right.length }, () => 0), ...right]
}

function partOf(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
}
