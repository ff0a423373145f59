// Owns cutting a policy set to what can apply to one action on one server. Pure, and sound: only scopes are looked
// at, a scope never fails to evaluate, and a policy whose scope does not match neither decides nor errs.
import type { EntityJson, PolicyJson, ScopeJson } from '../../../schemas/cedar.ts'
import { ENTITY } from '../../../schemas/cedar.ts'

export type Target = {
  readonly action: string
  /** Every group the action is in, at any distance. */
  readonly groups: ReadonlySet<string>
  readonly server: string
}

/** Whether the policy could apply to `target`. A kind of scope that is not known here counts as applying. */
export function mayApply(policy: PolicyJson, target: Target): boolean {
  return actionMatches(policy.action, target) && resourceMatches(policy.resource, target.server)
}

function actionMatches({ op, entity, entities }: ScopeJson, target: Target): boolean {
  const named = entity === undefined ? (entities ?? []) : [entity]
  if (!named.every(isPlain)) return true
  if (op === '==') return named.some(({ id }) => id === target.action)
  if (op === 'in') return named.some(({ id }) => id === target.action || target.groups.has(id))
  return true
}

/** A server is in nothing but itself. */
function resourceMatches({ op, entity }: ScopeJson, server: string): boolean {
  if ((op !== '==' && op !== 'in') || entity === undefined) return true
  return !isPlain(entity) || (entity.type === ENTITY.server && entity.id === server)
}

/** Cedar could spell an entity in another way; overlooking a forbid for that must be impossible. */
function isPlain(entity: unknown): boolean {
  const { type, id } = entity as Partial<EntityJson>
  return typeof type === 'string' && typeof id === 'string'
}
