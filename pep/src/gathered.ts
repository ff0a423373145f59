// Owns putting bytes together that come in pieces: in one buffer that grows, for a million pieces of one byte each would
// cost a hundred times what they hold. Knows nothing of what they say.

const CAPACITY_MIN = 1_024

export type Gathered = {
  readonly length: () => number
  readonly add: (bytes: Uint8Array) => void
  /** All of it, and nothing is held any more. */
  readonly take: () => Buffer
}

export function createGathered(): Gathered {
  let held = Buffer.alloc(0)
  let length = 0
  return {
    length: () => length,
    add(bytes) {
      const needed = length + bytes.length
      if (needed > held.length) {
        const grown = Buffer.allocUnsafeSlow(Math.max(needed, held.length * 2, CAPACITY_MIN))
        held.copy(grown, 0, 0, length)
        held = grown
      }
      held.set(bytes, length)
      length = needed
    },
    take() {
      const taken = held.subarray(0, length)
      held = Buffer.alloc(0)
      length = 0
      return taken
    },
  }
}
