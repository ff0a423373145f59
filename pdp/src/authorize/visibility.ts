// Owns what of a policy can be decided before a call exists, so that a list shows what some call could be allowed.
// Pure: Cedar's JSON policy in, a weaker permit or the same forbid out. May over-show; never hides a permitted tool.
//
// Known at list time: principal, action, resource, and of the context `agent`, `grant`, `scopes` and `request`
// without `request.method`. Everything else (`args`, `argsMeta`, `tool`, later `usage` and `approval`, and `context` as a
// whole) belongs to a call.
import type { PolicyJson } from '../../../schemas/cedar.ts'
import { contextPaths } from './context-paths.ts'

const LISTED = new Set(['agent', 'grant', 'request', 'scopes'])

/**
 * A permit without the conditions that need a call: each `when` is split at its top-level `&&`, each `unless` at its
 * top-level `||`, and only the parts that read call-time context go. A forbid that needs a call is null: it cannot
 * hide anything. Sound because a policy that fails to evaluate permits nothing, here as there.
 */
export function listingPolicy(policy: PolicyJson): PolicyJson | null {
  if (policy.effect === 'forbid') return readsCall(policy.conditions) ? null : policy
  const conditions = policy.conditions.flatMap(({ kind, body }) => {
    const operator = kind === 'when' ? '&&' : '||'
    const kept = parts(body, operator).filter((part) => !readsCall(part))
    if (kept.length === 0) return []
    const joined = kept.reduce((left, right) => ({ [operator]: { left, right } }))
    return [{ kind, body: joined }]
  })
  return { ...policy, conditions }
}

/** The operands of a chain of one operator, in order. */
export function parts(expression: unknown, operator: '&&' | '||'): unknown[] {
  const operands = isObject(expression) ? expression[operator] : undefined
  if (!isObject(operands)) return [expression]
  return [...parts(operands['left'], operator), ...parts(operands['right'], operator)]
}

/** Whether the expression reads context beyond what a list knows. */
function readsCall(expression: unknown): boolean {
  return contextPaths(expression).some(({ attributes }) => !isListed(attributes))
}

function isListed([attribute, inner]: readonly string[]): boolean {
  if (attribute === undefined || !LISTED.has(attribute)) return false
  return attribute !== 'request' || (inner !== undefined && inner !== 'method')
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
