// Owns how much the benchmark `grants` does.
export type Plan = {
  readonly grants: number
  /** PDPs, all of one database. */
  readonly pdps: number
  readonly perSecond: number
  readonly revocations: number
  /** Grants that are watched at a time, each asked about at every PDP over and over. */
  readonly watchedAtOnce: number
  /** Of ten decisions, those about watched grants; the rest is about any other. */
  readonly watchedOfTen: number
  /** How long a grant is still asked about after its revocation was answered. */
  readonly watchedMs: number
  /** Look-ups that are timed. */
  readonly lookups: number
}

export const FULL: Plan = {
  grants: 100_000,
  pdps: 4,
  perSecond: 1_000,
  revocations: 250,
  watchedAtOnce: 5,
  watchedOfTen: 7,
  watchedMs: 1_500,
  lookups: 50_000,
}
export const QUICK: Plan = { ...FULL, grants: 2_000, perSecond: 300, revocations: 20, lookups: 5_000 } // biome-ignore format: a plan
