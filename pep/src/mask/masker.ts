// Owns finding a credential in what a server says: its secrets as they are, and in the forms that servers write them in
// without meaning to hide them. Pure; never keeps a text it looked at. Does NOT find what somebody meant to hide.
import { createFinder, type Range } from './finder.ts'
import { type Forms, formsOf } from './forms.ts'
import { hasEscapes, lastEscapes, undone } from './undone.ts'
import { hasLines, unwrapped, wrappedAt } from './unwrapped.ts'

/** What stands in the place of a secret. */
export const MASK = '[credential masked by Cedargate]'

export type Masker = {
  /** As it stands, or however JSON, addresses and HTML escape it, and lines are wrapped. Bytes are UTF-8. */
  readonly isIn: (text: string | Buffer) => boolean
  /** Where it is: in order, none within another. At most a few times ECHOES_MAX: then the last one is all the rest. */
  readonly rangesIn: (bytes: Buffer) => readonly Range[]
  /** `text` with MASK in the place of every secret; the same text where there is none. */
  readonly mask: (text: string) => string
  /** Where the end of `bytes` may be the begin of a secret; their length where it is none. */
  readonly begunAt: (bytes: Buffer) => number
}

/** Characters that one of a secret may be escaped as where it ends a text that goes on. */
const ESCAPE_LENGTH_MAX = 64

export function createMasker(secrets: readonly string[]): Masker {
  return maskerOf([formsOf(secrets)])
}

/** Of all of them, searched for together. */
export function maskerOf(all: readonly Forms[]): Masker {
  const plain = createFinder(all.flatMap((forms) => forms.plain))
  const bare = createFinder(all.flatMap((forms) => forms.bare))
  const wrapped = createFinder(all.flatMap((forms) => forms.unwrapped))
  const lengthMax = Math.max(plain.length, bare.length, wrapped.length) * ESCAPE_LENGTH_MAX
  const wrappedIn = (bytes: Uint8Array) => {
    const ranges = wrapped.rangesIn(unwrapped(bytes))
    const places = wrappedAt(bytes, ranges.flatMap(({ start, end }) => [start, end - 1])) // biome-ignore format: long
    return ranges.map((_, index) => {
      return { start: places[index * 2] as number, end: (places[index * 2 + 1] as number) + 1 }
    })
  }
  const rangesIn = (bytes: Buffer): readonly Range[] => {
    const inPlain = plain.rangesIn(bytes)
    if (!hasEscapes(bytes))
      return hasLines(bytes) ? apart([...inPlain, ...wrappedIn(bytes)]) : inPlain
    const { bytes: undoneBytes, places } = undone(bytes, true)
    const inUndone = [...bare.rangesIn(undoneBytes), ...wrappedIn(undoneBytes)]
    const escaped = inUndone.map(({ start, end }) => {
      return { start: places[start] as number, end: places[end] as number }
    })
    return apart([...inPlain, ...escaped])
  }
  return {
    isIn(text) {
      const bytes = typeof text === 'string' ? Buffer.from(text) : text
      if (plain.isIn(bytes)) return true
      if (!hasEscapes(bytes)) return hasLines(bytes) && wrapped.isIn(unwrapped(bytes))
      const undoneBytes = undone(bytes).bytes
      return bare.isIn(undoneBytes) || wrapped.isIn(unwrapped(undoneBytes))
    },
    rangesIn,
    mask(text) {
      const bytes = Buffer.from(text)
      const ranges = rangesIn(bytes)
      return ranges.length === 0 ? text : withMasks(bytes, ranges).toString()
    },
    begunAt(bytes) {
      const from = Math.max(bytes.length - lengthMax, 0)
      const tail = bytes.subarray(from)
      const { bytes: undoneBytes, places } = undone(tail.subarray(0, lastEscapes(tail)), true)
      const [inWrapped = 0] = wrappedAt(undoneBytes, [wrapped.begunAt(unwrapped(undoneBytes))])
      const inUndone = Math.min(bare.begunAt(undoneBytes), inWrapped)
      return from + Math.min(plain.begunAt(tail), places[inUndone] as number)
    },
  }
}

/** In order; those that overlap are one. */
export function apart(ranges: readonly Range[]): Range[] {
  const all: Range[] = []
  for (const { start, end } of ranges.toSorted((one, other) => one.start - other.start)) {
    const last = all.at(-1)
    if (last === undefined || last.end <= start) all.push({ start, end })
    else all[all.length - 1] = { start: last.start, end: Math.max(last.end, end) }
  }
  return all
}

const MASK_BYTES = Buffer.from(MASK)

export function withMasks(bytes: Buffer, ranges: readonly Range[]): Buffer {
  const parts: Buffer[] = []
  let from = 0
  for (const { start, end } of ranges) {
    parts.push(bytes.subarray(from, start), MASK_BYTES)
    from = end
  }
  return Buffer.concat([...parts, bytes.subarray(from)])
}
