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
    `Refused by the policy gateway: ${refusal.what} (${refusal.code})`,
    because(refusal),
    `Decision ${refusal.decisionId}`,
    `To get access: ${refusal.access}`,
  ]
  return sentences.map((sentence) => `${sentence}.`).join(' ')
}

function because({ code, policies, errors, detail }: Refusal): string {
  if (code === 'no_permit') return 'No policy permits it'
  if (code === 'policy_error') return `A policy could not be evaluated: ${errors.join(', ')}`
  if (policies.length === 0) return capitalised(detail)
  const forbidden = `Forbidden by ${policies.join(', ')}`
  return detail === '' ? forbidden : `${forbidden}: ${detail}`
}

function capitalised(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`
}
