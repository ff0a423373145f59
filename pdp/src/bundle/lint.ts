// Owns what policies may be about: whose servers, and how much at once. Pure, over Cedar's JSON policies; looks at
// what a policy names, never at what it would decide.
import type { GatewayFile } from '../../../schemas/bundle.ts'
import type { EntityJson, PolicyJson, ScopeJson } from '../../../schemas/cedar.ts'
import { ENTITY, NAMESPACE, serverGroup } from '../../../schemas/cedar.ts'
import { ITEM_ACTIONS } from '../../../schemas/mcp.ts'
import type { Finding } from './findings.ts'
import type { SourcePolicy } from './policies.ts'
import { entitiesIn, findingIn } from './policies.ts'

/**
 * Errors for policies about servers that their prefix does not own, when gateway.yaml has `owners`; a warning for each
 * permit of everything to everybody, and for each other permit of every action, whoever owns it.
 */
export function lintPolicies(
  policies: readonly SourcePolicy[],
  { owners }: Pick<GatewayFile, 'owners'>,
): Finding[] {
  return policies.flatMap((source) => {
    const owned = owners === undefined ? [] : ownershipProblems(source, owners)
    return [
      ...owned.map((message) => findingIn(source, 0, message)),
      ...openness(source.policy).map((message) => findingIn(source, 0, message, 'warning')),
    ]
  })
}

const OPEN = 'this permits every action to everybody on every server; give it a scope'
/** `all` holds every tool, and nothing that a server may ask. */
const ASKED =
  'this permits servers to use the model of the client (`sampling/createMessage`) and to ask the person (`elicitation/create`) too; name the actions it means, such as `action in [MCP::Action::"connect", MCP::Action::"all"]`'

function openness(policy: PolicyJson): string[] {
  if (permitsEverything(policy)) return [OPEN]
  const { effect, principal, action, resource } = policy
  const asked = effect === 'permit' && action.op === 'All' && [principal, resource].every(isOfMcp)
  return asked ? [ASKED] : []
}

/** Whether a scope leaves room for a principal or resource of the gateway's own types. */
function isOfMcp(scope: ScopeJson): boolean {
  const types = scopeEntities(scope).map(({ type }) => type)
  const named = scope.entity_type === undefined ? types : [scope.entity_type]
  return named.length === 0 || named.some((type) => type.startsWith(`${NAMESPACE}::`))
}

function permitsEverything({ effect, principal, action, resource, conditions }: PolicyJson) {
  const scopes = [principal, action, resource]
  return effect === 'permit' && conditions.length === 0 && scopes.every(({ op }) => op === 'All')
}

function ownershipProblems(
  { id, policy }: SourcePolicy,
  owners: NonNullable<GatewayFile['owners']>,
): string[] {
  const prefix = id.slice(0, id.indexOf('/'))
  const owned = Object.hasOwn(owners, prefix) ? owners[prefix] : undefined
  if (owned === undefined) return [`gateway.yaml names no \`${prefix}\` in \`owners\``]
  if (owned === '*') return []
  const foreign = serversNamed(policy).filter((server) => !owned.includes(server))
  const problems = foreign.map((server) => `\`${prefix}\` does not own the server \`${server}\``)
  if (spansServers(policy)) {
    problems.push(`\`${prefix}\` does not own every server: name one as the resource`)
  }
  return problems
}

/** Servers that a policy names anywhere, by themselves or by their tools or groups. */
function serversNamed(policy: PolicyJson): string[] {
  const { principal, action, resource, conditions } = policy
  const servers = entitiesIn([principal, action, resource, conditions]).flatMap(({ type, id }) => {
    if (type === ENTITY.server) return [id]
    return type === ENTITY.action ? (serverOfAction(id) ?? []) : []
  })
  return [...new Set(servers)]
}

/** null: an action or group of every server. */
function serverOfAction(action: string): string | null {
  if (action.startsWith(serverGroup(''))) return action.slice(serverGroup('').length)
  const slash = action.indexOf('/')
  if (slash === -1 || ITEM_ACTIONS.some((item) => item === action)) return null
  return action.slice(0, slash)
}

/**
 * Whether neither the resource nor every action holds the policy to named servers. An action of the bundle's own types
 * is on no server.
 */
function spansServers({ action, resource }: PolicyJson): boolean {
  if (entitiesIn(resource).some(({ type }) => type === ENTITY.server)) return false
  const actions = scopeEntities(action)
  return (
    actions.length === 0 ||
    actions.some(({ type, id }) => type === ENTITY.action && serverOfAction(id) === null)
  )
}

function scopeEntities({ entity, entities }: ScopeJson): readonly EntityJson[] {
  return entity === undefined ? (entities ?? []) : [entity]
}
