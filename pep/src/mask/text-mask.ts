// Owns masking a credential in text that comes in pieces, such as what a child says on stderr. Holds back what may be the
// begin of a secret, and nothing else.
import type { Masker } from './masker.ts'

/**
 * Gets the next piece, and answers what of the text so far can be said now: all in all `masker.mask` of the whole, without
 * what may have been the begin of a secret where it ended.
 */
export type TextMask = (text: string) => string

export function createTextMask(masker: Masker): TextMask {
  let held = ''
  return (text) => {
    const all = held + text
    const whole = /[\ud800-\udbff]$/.test(all) ? all.length - 1 : all.length
    const masked = masker.mask(all.slice(0, whole))
    const end = masker.begunAt(masked)
    held = masked.slice(end) + all.slice(whole)
    return masked.slice(0, end)
  }
}
