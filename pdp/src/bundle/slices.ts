// Owns cutting a policy set to what can apply to one action on one server. Pure, and sound: only scopes are looked
// at, a scope never fails to evaluate, and a policy whose scope does not match neither decides nor errs.
import type { EntityJson, PolicyJson, ScopeJson } from '../../../schemas/cedar.ts'
import { ENTITY, entityKey } from '../../../schemas/cedar.ts'

export type Target = {
  /** The action, and every group it is in at any distance, each as `type::"id"`. */
  readonly action: string
  readonly groups: ReadonlySet<string>
  /** null: the action is none of a server. */
  readonly server: string | null
}

/** Policies, found by what their scopes name: an action is compared with those that name it or one of its groups alone. */
export class PolicyIndex<Policy extends { readonly policy: PolicyJson }> {
  readonly #everywhere: number[] = []
  readonly #byAction = new Map<string, number[]>()
  readonly #policies: readonly Policy[]

  constructor(policies: readonly Policy[]) {
    this.#policies = policies
    for (const [index, { policy }] of policies.entries()) {
      const keys = scopeActions(policy.action)
      if (keys === undefined) this.#everywhere.push(index)
      else for (const key of keys) this.#under(key).push(index)
    }
  }

  /** What could apply to `target`, in the order given. A kind of scope that is not known here counts as applying. */
  matching(target: Target): Policy[] {
    const { action, groups, server } = target
    const named = [action, ...groups].flatMap((key) => this.#byAction.get(key) ?? [])
    const found = [...new Set([...this.#everywhere, ...named])].toSorted((a, b) => a - b)
    return found
      .flatMap((index) => this.#policies[index] ?? [])
      .filter(({ policy }) => mayApply(policy, target) && resourceMatches(policy.resource, server))
  }

  #under(key: string): number[] {
    const found = this.#byAction.get(key) ?? []
    this.#byAction.set(key, found)
    return found
  }
}

/** `==` is about the action itself: one that names a group matches no call. */
function mayApply({ action }: PolicyJson, target: Target): boolean {
  const { op, entity } = action
  if (op !== '==' || entity === undefined || !isPlain(entity)) return true
  return entityKey(entity) === target.action
}

/** The actions and groups a scope names; undefined when it may match any action. */
function scopeActions({ op, entity, entities }: ScopeJson): readonly string[] | undefined {
  if (op !== '==' && op !== 'in') return undefined
  const named = entity === undefined ? (entities ?? []) : [entity]
  return named.every(isPlain) ? named.map(entityKey) : undefined
}

/** A server is in nothing but itself. */
function resourceMatches({ op, entity }: ScopeJson, server: string | null): boolean {
  if (server === null) return true
  if ((op !== '==' && op !== 'in') || entity === undefined) return true
  return !isPlain(entity) || (entity.type === ENTITY.server && entity.id === server)
}

/** Cedar could spell an entity in another way; overlooking a forbid for that must be impossible. */
function isPlain(entity: unknown): boolean {
  const { type, id } = entity as Partial<EntityJson>
  return typeof type === 'string' && typeof id === 'string'
}
