// Owns the strict walk of each epoch: one leaf per number, each naming the one before it. No I/O.
// Cannot see that the last leaves of an epoch without a closing leaf are missing: nothing after
// them says so.
import type { Leaf } from '../../../schemas/leaf.ts'
import type { Report } from './fsck-row.ts'

/** A hole before a leaf younger than this may still be filled by its PDP (ms). */
export const SETTLED_MS = 30_000

type Last = {
  readonly epoch: string
  readonly seq: number
  readonly hash: string
  readonly closed: boolean
}

export type ChainWalk = (leaf: Leaf, hash: string, report: Report) => void

/** Takes authentic leaves in the order of (epoch, seq). `now` in ms since 1970. */
export function walkChain(now: number): ChainWalk {
  let last: Last | undefined
  return function step(leaf, hash, report) {
    const before = last?.epoch === leaf.ep ? last : undefined
    const expected = before === undefined ? 0 : before.seq + 1
    if (leaf.sq < expected) {
      report('chain', `a second leaf has number ${leaf.sq} of epoch ${leaf.ep}`)
      return
    }
    if (leaf.sq > expected) {
      if (now - leaf.t >= SETTLED_MS) report('chain', missing(expected, leaf))
    } else if (leaf.pv !== (before?.hash ?? '')) {
      report(
        'chain',
        `leaf ${leaf.sq} of epoch ${leaf.ep} follows another leaf than the one before it`,
      )
    }
    if (before?.closed === true) report('chain', `epoch ${leaf.ep} goes on after it was closed`)
    if (leaf.sq === 0 && leaf.k !== 'pdp-open')
      report('chain', `epoch ${leaf.ep} does not begin with its announcement`)
    if (leaf.k === 'pdp-close' && leaf.n !== leaf.sq) {
      report('chain', `epoch ${leaf.ep} closed with a count of ${leaf.n} at number ${leaf.sq}`)
    }
    last = { epoch: leaf.ep, seq: leaf.sq, hash, closed: leaf.k === 'pdp-close' }
  }
}

function missing(expected: number, leaf: Leaf): string {
  const range =
    expected === leaf.sq - 1 ? `leaf ${expected} is` : `leaves ${expected} to ${leaf.sq - 1} are`
  return `${range} missing from epoch ${leaf.ep}; the last of them has the hash ${leaf.pv}`
}
