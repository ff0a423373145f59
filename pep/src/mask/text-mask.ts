// Owns masking a credential in text that comes in pieces, such as what a child says on stderr. Holds back what may be the
// begin of a secret.
import { apart, MASK, type Masker } from './masker.ts'

/**
 * Gets the next piece, and answers what of the text so far can be said now: all in all `masker.mask` of the whole, without
 * what may have been the begin of a secret where it ended.
 */
export type TextMask = (text: string) => string

export function createTextMask(masker: Masker): TextMask {
  /** As it came: what is found in it may go on. */
  let held: Buffer = Buffer.alloc(0)
  /** So much of it is of a secret that was masked already. */
  let masked = 0
  let half = ''
  return (text) => {
    const whole = half + text
    half = /[\ud800-\udbff]$/.exec(whole)?.[0] ?? ''
    const bytes = Buffer.concat([held, Buffer.from(whole.slice(0, whole.length - half.length))])
    const before = masked === 0 ? [] : [{ start: 0, end: masked }]
    const ranges = apart([...before, ...masker.rangesIn(bytes)])
    const end = masker.begunAt(bytes)
    let [said, from] = ['', 0]
    for (const range of ranges.filter(({ start }) => start < end)) {
      said += bytes.subarray(from, range.start).toString()
      if (range.start > 0 || masked === 0) said += MASK
      from = range.end
    }
    if (from < end) said += bytes.subarray(from, end).toString()
    masked = Math.max(from - end, masked - end, 0)
    held = bytes.subarray(end)
    return said
  }
}
