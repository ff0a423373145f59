// Owns the sentence a person reads when a call was refused. Pure; names policies and ids, never an argument value.
import type { Authorization } from '../authorize/types.ts'

type Refusal = Pick<Authorization, 'code' | 'policies' | 'errors' | 'detail'> & {
  readonly what: string
  readonly decisionId: string
  /** gateway.yaml `access`: how to get access. */
  readonly access: string
}

/** One paragraph: what was refused, by which policy (or that none permits it), the decision id, how to get access. */
export function explainRefusal(refusal: Refusal): string {
  const sentences = [
    `Refused by policy gateway: ${refusal.what} (${refusal.code}).`,
    because(refusal),
    refusal.detail === '' ? '' : `${refusal.detail}.`,
    `Decision ${refusal.decisionId}.`,
    `To get access: ${refusal.access}.`,
  ]
  return sentences.filter((sentence) => sentence !== '').join(' ')
}

function because({ code, policies, errors }: Refusal): string {
  if (code === 'policy_error') return `A policy could not be evaluated: ${errors.join(', ')}.`
  if (policies.length > 0) return `Forbidden by ${policies.join(', ')}.`
  return code === 'no_permit' ? 'No policy permits it.' : ''
}
