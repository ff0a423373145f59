// Owns finding any of many texts in one, all at once: Wu and Manber's search, that looks at two bytes and mostly skips as
// many as the shortest of them is long. Pure. Never decodes.

/** From `start` to before `end`. */
export type Range = { readonly start: number; readonly end: number }

/** The first of them that begins at `from` or later; of those that begin at one place the longest. */
export type Finder = (bytes: Uint8Array, from: number) => Range | undefined

const HASH_BITS = 12
/** Bytes of the beginning of a form that are looked at before all of it is. */
const WINDOW_MAX = 64

/** Time is that of the text, not of how many `forms` there are. Forms of one byte are not looked for. */
export function createFinder(forms: readonly Uint8Array[]): Finder {
  const longestFirst = forms
    .filter(({ length }) => length > 1)
    .toSorted((one, other) => other.length - one.length)
  const shortest = longestFirst.at(-1)?.length
  if (shortest === undefined) return () => undefined
  const window = Math.min(shortest, WINDOW_MAX)
  const skips = new Uint8Array(1 << HASH_BITS).fill(window - 1)
  const ending = new Map<number, Uint8Array[]>()
  for (const form of longestFirst) {
    for (let at = 1; at < window; at += 1) {
      const hash = hashAt(form, at)
      skips[hash] = Math.min(skips[hash] as number, window - 1 - at)
    }
    const last = hashAt(form, window - 1)
    ending.set(last, [...(ending.get(last) ?? []), form])
  }
  return (bytes, from) => {
    let at = from + window - 1
    while (at < bytes.length) {
      const hash = hashAt(bytes, at)
      const skip = skips[hash] as number
      if (skip > 0) {
        at += skip
        continue
      }
      const start = at - window + 1
      for (const form of ending.get(hash) ?? [])
        if (startsWith(bytes, start, form)) return { start, end: start + form.length }
      at += 1
    }
    return undefined
  }
}

/** Whether `form` stands at `at`. */
export function startsWith(bytes: Uint8Array, at: number, form: Uint8Array): boolean {
  if (at + form.length > bytes.length) return false
  for (let index = 0; index < form.length; index += 1)
    if (bytes[at + index] !== form[index]) return false
  return true
}

/** Of the byte there and the one before. */
function hashAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at - 1] as number) * 37 + (bytes[at] as number) * 11) & ((1 << HASH_BITS) - 1)
}
