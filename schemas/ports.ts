// Owns what a room is given instead of reaching for it: time and randomness. Types only.

export type Clock = {
  /** Milliseconds since 1970; may step. For what people read and for expiry. */
  readonly now: () => number
  /** Milliseconds from an arbitrary start; never steps back. For ages and timeouts. */
  readonly monotonic: () => number
}

/** That many bytes from a cryptographic generator. */
export type Random = (bytes: number) => Uint8Array
