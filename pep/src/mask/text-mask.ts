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
    const masked = masker.mask(held + text)
    const end = masker.begunAt(masked)
    held = masked.slice(end)
    return masked.slice(0, end)
  }
}
