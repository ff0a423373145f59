// Owns finding any of many texts in one, all at once: Wu and Manber's search, that looks at two bytes and mostly skips as
// many as the shortest of them is long; where one may begin, an automaton reads on. Pure. Never decodes.
import { ECHOES_MAX } from '../limits.ts'
import { type Automaton, createAutomaton } from './automaton.ts'

/** From `start` to before `end`. */
export type Range = { readonly start: number; readonly end: number }

/** Time is that of the text, whatever the forms and the text are. */
export type Finder = {
  readonly isIn: (bytes: Uint8Array) => boolean
  /**
   * All that any form covers, in order; what overlaps is one. Of more than ECHOES_MAX the one after them is all the rest
   * of the text.
   */
  readonly rangesIn: (bytes: Uint8Array) => Range[]
  /** Where the end of `bytes` begins a form; their length where it does not. */
  readonly begunAt: (bytes: Uint8Array) => number
  /** Of the longest form. */
  readonly length: number
}

const HASH_BITS = 12
/** Bytes of the beginning of a form that are looked at before all of it is. */
const WINDOW_MAX = 64
/** A form is at least as long. */
const HEAD = 4

/** Shorter `forms` than HEAD are not looked for. */
export function createFinder(all: readonly Uint8Array[]): Finder {
  const forms = all.filter(({ length }) => length >= HEAD)
  let automaton: Automaton | undefined
  // Not before it is wanted: mostly there is nothing to find.
  const automatonNow = () => (automaton ??= createAutomaton(forms))
  const search = createSearch(forms, automatonNow)
  return {
    isIn(bytes) {
      let isFound = false
      search(bytes, () => (isFound = true))
      return isFound
    },
    rangesIn(bytes) {
      const ranges: { start: number; end: number }[] = []
      search(bytes, (start, end) => {
        add(ranges, start, end)
        return ranges.length > ECHOES_MAX
      })
      const rest = ranges[ECHOES_MAX]
      if (rest !== undefined) ranges[ECHOES_MAX] = { start: rest.start, end: bytes.length }
      return ranges
    },
    begunAt(bytes) {
      const { next, begun } = automatonNow()
      const state = bytes.reduce(next, 0)
      return bytes.length - (begun[state] as number)
    },
    length: Math.max(0, ...forms.map(({ length }) => length)),
  }
}

/** `ranges` are in order and apart, and stay so. */
function add(ranges: { start: number; end: number }[], start: number, end: number): void {
  const open = ranges.at(-1)
  // As of a secret that repeats itself: no range for each of its ends.
  if (open !== undefined && open.start <= start && start < open.end) {
    open.end = end
    return
  }
  let first = start
  for (let last = ranges.at(-1); last !== undefined && last.end > start; last = ranges.at(-1)) {
    first = Math.min(first, last.start)
    ranges.pop()
  }
  ranges.push({ start: first, end })
}

/** Calls `onFound` with the longest form that ends at a place, in their order, until it answers true. */
type Search = (bytes: Uint8Array, onFound: (start: number, end: number) => boolean) => void

function createSearch(forms: readonly Uint8Array[], automatonNow: () => Automaton): Search {
  if (forms.length === 0) return () => undefined
  const window = Math.min(WINDOW_MAX, ...forms.map(({ length }) => length))
  const skips = skipsOf(forms, window)
  const heads = new Set(forms.map((form) => headAt(form, 0)))
  return (bytes, onFound) => {
    let at = window - 1
    while (at < bytes.length) {
      const skip = skips[hashAt(bytes, at)] as number
      if (skip > 0 || !heads.has(headAt(bytes, at - window + 1))) {
        at += Math.max(skip, 1)
        continue
      }
      const { next, ended } = automatonNow()
      let end = at - window + 1
      let state = 0
      do {
        state = next(state, bytes[end] as number)
        end += 1
        const length = ended[state] as number
        if (length > 0 && onFound(end - length, end)) return
      } while (state !== 0 && end < bytes.length)
      // No form has begun before `end` that does not end before it.
      at = end + window - 1
    }
  }
}

/** By the hash of two bytes: how far from there the window of any form may end. */
function skipsOf(forms: readonly Uint8Array[], window: number): Uint8Array {
  const skips = new Uint8Array(1 << HASH_BITS).fill(window - 1)
  for (const form of forms) {
    for (let at = 1; at < window; at += 1) {
      const hash = hashAt(form, at)
      skips[hash] = Math.min(skips[hash] as number, window - 1 - at)
    }
  }
  return skips
}

/** Of the byte there and the one before. */
function hashAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at - 1] as number) * 37 + (bytes[at] as number) * 11) & ((1 << HASH_BITS) - 1)
}

/** The first HEAD bytes there. */
function headAt(bytes: Uint8Array, at: number): number {
  const [first = 0, second = 0, third = 0, fourth = 0] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]] // biome-ignore format: long
  return (first << 24) | (second << 16) | (third << 8) | fourth
}
