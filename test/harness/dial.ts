// Owns the real dialer for tests, and what it was asked to dial.

import type { Dialer } from '../../pdp/src/egress/dialer.ts'
import { openDialer } from '../../pdp/src/egress/dialer.ts'

export type Dialed = { readonly url: string; readonly origins: readonly string[] }

/** `dialed` gets every attempt, those that are refused too. */
export function notingDialer(dialed: Dialed[] = []): Dialer {
  const dial = openDialer()
  return (origins) => (url, init) => {
    dialed.push({ url, origins })
    return dial(origins)(url, init)
  }
}
