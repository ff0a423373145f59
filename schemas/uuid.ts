// Owns the spelling of the ids we coin: UUIDv7 (RFC 9562), so that ids sort by the time of their
// making. Pure.

/**
 * `time` in milliseconds since 1970; `order` sorts ids of one millisecond (its low 12 bits);
 * `random` is 8 bytes from a cryptographic generator, of which 62 bits are used.
 */
export function uuidV7(time: number, order: number, random: Uint8Array): string {
  const head = time.toString(16).padStart(12, '0')
  const middle = (order & 0xfff).toString(16).padStart(3, '0')
  const variant = ((random[0] ?? 0) & 0x3f) | 0x80
  const tail = Buffer.from(random.buffer, random.byteOffset, 8).toString('hex')
  const [first, second] = [head.slice(0, 8), head.slice(8)]
  return `${first}-${second}-7${middle}-${variant.toString(16)}${tail.slice(2, 4)}-${tail.slice(4)}`
}
