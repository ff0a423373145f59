// Owns taking out of a text what wraps lines, so that what somebody wrapped can be searched for. Pure. Never answers the text
// itself: letters are gone.

/** Not 0 for all but line ends, what is left of them when they were escaped, and spaces. */
const IN_LINE = Uint8Array.from({ length: 256 }, (_, code) =>
  Number(!'\r\nrn '.includes(String.fromCharCode(code))),
)

export function hasLines(source: Buffer): boolean {
  return source.includes('\n') || source.includes('\r')
}

/**
 * Without what wraps lines, escaped or not. The letters that an escaped line end leaves are taken out wherever they are, so
 * that what is searched for must be without them too.
 */
export function unwrapped(source: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(source.length)
  let length = 0
  for (let at = 0; at < source.length; at += 1) {
    const byte = source[at] as number
    bytes[length] = byte
    length += IN_LINE[byte] as number
  }
  return bytes.subarray(0, length)
}

/** Where in `source` the characters are that are at these places, in order, of what `unwrapped` made of it. */
export function wrappedAt(source: Uint8Array, places: readonly number[]): number[] {
  let [at, seen] = [0, 0]
  return places.map((place) => {
    for (; at < source.length; at += 1) {
      const isKept = IN_LINE[source[at] as number] !== 0
      if (isKept && seen === place) break
      seen += Number(isKept)
    }
    return at
  })
}
