// Owns what Cedar's answer means: the verdict, its code, the sorted policy ids. Pure.
// An allow needs all of: an answer, `allow`, no error, at least one determining policy. Everything else denies.
import type { EngineAnswer } from '../../../schemas/cedar.ts'
import type { VerdictCode } from '../../../schemas/codes.ts'
import type { Outcome } from './types.ts'

/**
 * Cedar skips a policy that fails to evaluate, so a failing forbid disappears and its request could be allowed:
 * any evaluation error denies. Ids are sorted, for Cedar's order differs between identical calls.
 */
export function interpret(answer: EngineAnswer): Outcome {
  if (answer.kind === 'fault') return deny('engine_fault', [], [])
  if (answer.kind === 'failure') return deny('invalid_request', [], [])
  const policies = answer.reason.toSorted()
  const errors = [...new Set(answer.errors)].toSorted()
  if (errors.length > 0) return deny('policy_error', errors, errors)
  if (answer.decision === 'allow' && policies.length > 0) {
    return { decision: 'allow', code: 'permit', policies, errors }
  }
  if (answer.decision === 'allow') return deny('engine_fault', [], [])
  return deny(policies.length > 0 ? 'forbid' : 'no_permit', policies, errors)
}

function deny(code: VerdictCode, policies: readonly string[], errors: readonly string[]): Outcome {
  return { decision: 'deny', code, policies, errors }
}
