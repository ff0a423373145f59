// Owns what is answered when Cedar was not asked, or did not answer: always a deny.
import type { EngineAnswer, Evaluation } from '../../../schemas/cedar.ts'
import type { VerdictCode } from '../../../schemas/codes.ts'
import type { Authorization, Evaluator } from './types.ts'

type Why = {
  readonly code: VerdictCode
  readonly detail: string
  readonly tool?: string | null
  readonly arguments?: string
}

/** A deny by no policy. */
export function denied({ code, detail, tool = null, arguments: text = '' }: Why): Authorization {
  return {
    ...UNDECIDED,
    code,
    detail,
    tool,
    arguments: text,
    shadow: null,
    concealed: false,
    visible: null,
    cedar: { request: '', context: '', entities: '' },
  }
}

export const UNDECIDED = {
  decision: 'deny',
  code: 'engine_fault',
  policies: [],
  errors: [],
} as const

export const NO_ANSWER: EngineAnswer = { kind: 'fault', cause: 'the engine did not answer' }

/** An engine that throws has decided nothing: every one of these evaluations is a fault. */
export async function ask(
  engine: Evaluator,
  evaluations: readonly Evaluation[],
): Promise<readonly EngineAnswer[]> {
  if (evaluations.length === 0) return []
  try {
    return await engine.evaluate(evaluations)
  } catch {
    // Whatever it threw, the answer is the same: a fault denies.
    return evaluations.map(() => NO_ANSWER)
  }
}
