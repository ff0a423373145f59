// Owns what is seen of one grant while it is revoked: its last allow and its event, at each PDP. Never asks anybody.
import { grantId } from './stored.ts'

export type Watched = {
  readonly index: number
  /** Notes an answer of the PDP of that number. Throws when it is none that this grant can get. */
  readonly answered: (pdp: number, said: string, at: number) => void
  readonly told: (pdp: number, at: number) => void
  /** From now on it may be refused: its revocation is on its way. */
  readonly revoking: () => void
  readonly isAllowedEverywhere: () => boolean
  readonly isOverEverywhere: () => boolean
  /** Milliseconds from `answeredAt`, when the revocation was answered; 0 where it was before. */
  readonly figures: (answeredAt: number) => Revoked
}
export type Revoked = { readonly lastAllowMs: number; readonly eventMs: number }

export function watch(index: number, pdps: number): Watched {
  const lastAllow = new Map<number, number>()
  const refused = new Set<number>()
  const toldAt = new Map<number, number>()
  let isRevoking = false
  return {
    index,
    answered(pdp, said, at) {
      if (said === 'allow') lastAllow.set(pdp, Math.max(at, lastAllow.get(pdp) ?? 0))
      else if (said === 'unauthenticated' && isRevoking) refused.add(pdp)
      else throw new Error(`${grantId(index)} was answered ${said}`)
    },
    told(pdp, at) {
      if (!toldAt.has(pdp)) toldAt.set(pdp, at)
    },
    revoking() {
      isRevoking = true
    },
    isAllowedEverywhere: () => lastAllow.size === pdps,
    isOverEverywhere: () => refused.size === pdps && toldAt.size === pdps,
    figures(answeredAt) {
      const after = (times: Iterable<number>) => Math.max(0, Math.max(...times) - answeredAt)
      return { lastAllowMs: after(lastAllow.values()), eventMs: after(toldAt.values()) }
    },
  }
}
