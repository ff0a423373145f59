// Owns a dialer for tests that only knows loopback: it opens what is https or stated, as the real one, and refuses the rest.
import type { Dialer } from '../../pdp/src/egress/dialer.ts'

export type Dialed = { readonly url: string; readonly origins: readonly string[] }

/** `dialed` gets every attempt, those that are refused too. */
export function loopbackDialer(dialed: Dialed[] = []): Dialer {
  return (origins) => async (url, init) => {
    dialed.push({ url, origins })
    const { origin, protocol } = new URL(url)
    if (protocol !== 'https:' && !origins.includes(origin))
      throw Object.assign(new Error('a private address'), { name: 'EgressRefused' })
    return await fetch(url, { ...init, redirect: 'manual' })
  }
}
