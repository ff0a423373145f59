// Owns how much the benchmark `credentials` does.
export type Plan = {
  /** Decisions that are timed, of each kind of server. */
  readonly decisions: number
  readonly warmUp: number
  /** Answers that are searched for a secret. */
  readonly answers: number
  readonly answerKiB: number
  /** Calls at once on one expired token, half of them at each of two PDPs; and how often. */
  readonly concurrent: number
  readonly rounds: number
  /** How long the authorization server takes. */
  readonly tokenDelayMs: number
}

export const FULL: Plan = {
  decisions: 20_000,
  warmUp: 2_000,
  answers: 2_000,
  answerKiB: 64,
  concurrent: 500,
  rounds: 5,
  tokenDelayMs: 50,
}
export const QUICK: Plan = { ...FULL, decisions: 1_000, warmUp: 200, answers: 200, rounds: 1 }
