// Owns masking a credential in text that comes in pieces, such as what a child says on stderr. Holds back what may be the
// begin of a secret, and nothing else.
import { CREDENTIAL_SECRET_LENGTH_MIN } from '../../../schemas/limits.ts'
import { MASK, type Masker } from './masker.ts'

export type TextMask = {
  /** What of the text so far can be said now. */
  readonly push: (text: string) => string
  /** The rest: what is too long to be there by chance is masked, though it is no whole secret. */
  readonly end: () => string
}

/** All of it is `masker.mask` of the whole text, but for a secret that is cut off at its end. */
export function createTextMask(masker: Masker | undefined): TextMask {
  if (masker === undefined) return { push: (text) => text, end: () => '' }
  let held = ''
  return {
    push(text) {
      const masked = masker.mask(held + text)
      const end = masker.begunAt(masked)
      held = masked.slice(end)
      return masked.slice(0, end)
    },
    end() {
      const rest = held
      held = ''
      return rest.length < CREDENTIAL_SECRET_LENGTH_MIN ? rest : MASK
    },
  }
}
