// Owns turning reviewed servers and policies into what decides: the Cedar schemas, the slices of the policy set,
// and the types each tool's arguments are mapped by. Never reads a file.
import type { Risk, ToolDefinition } from '../../../schemas/bundle.ts'
import type { Generation } from '../../../schemas/cedar.ts'
import { LISTING_CONTEXT, serverGroup, toolAction } from '../../../schemas/cedar.ts'
import type { ToolArguments } from '../authorize/tool-arguments.ts'
import { opaqueArguments, toolArguments } from '../authorize/tool-arguments.ts'
import type { ActionKeys, EngineKeys } from '../authorize/types.ts'
import { listingPolicy } from '../authorize/visibility.ts'
import type { Candidate } from '../engine/candidate.ts'
import type { SourcePolicy } from './policies.ts'
import type { ActionType } from './schema.ts'
import {
  actionGroups,
  actionSchema,
  cedarSchema,
  SERVER_ACTIONS,
  toolContext,
  withAncestors,
} from './schema.ts'
import type { ReviewedServer } from './servers.ts'
import { mayApply } from './slices.ts'

/** One tool of one server, all its variants together. The riskiest variant decides its group. */
export type CompiledTool = {
  readonly server: string
  readonly name: string
  readonly risk: Risk
  /** Fingerprint of the variant that stands last in the lock. */
  readonly latest: string
  readonly arguments: ToolArguments
  /** Why Cedar does not take its argument types, which makes them all opaque; null when it does. */
  readonly problem: string | null
  readonly action: ActionType
}

export type CompiledSchema = {
  readonly tools: readonly CompiledTool[]
  readonly groups: ReadonlyMap<string, readonly string[]>
  /** The whole schema in Cedar's JSON form. */
  readonly schema: object
}

/** Types every tool by itself: one that Cedar cannot hold becomes opaque and leaves the others as they are. */
export async function compileSchema(
  servers: readonly ReviewedServer[],
  candidate: Candidate,
): Promise<CompiledSchema> {
  const groups = actionGroups(servers.map(({ id }) => id))
  const typed = servers.flatMap(compileTools)
  const schemas = typed.map(({ action }) => JSON.stringify(actionSchema(action, groups)))
  const problems = await candidate.check(schemas)
  const tools = typed.map((tool, index) => withProblem(tool, problems[index] ?? null))
  const actions = [...SERVER_ACTIONS, ...tools.map(({ action }) => action)]
  return { tools, groups, schema: cedarSchema(actions, groups) }
}

function compileTools({ id, lock, derived }: ReviewedServer): CompiledTool[] {
  const byName = Map.groupBy(lock.tools, ({ definition }) => definition.name)
  return [...byName].map(([name, variants]) => {
    const risk = riskiest(variants.map((variant) => variant.risk))
    const definitions = variants.map(({ sha256, definition }) => ({
      sha256,
      inputSchema: (definition as ToolDefinition).inputSchema,
    }))
    const mapped = toolArguments(definitions, derived)
    const action = {
      id: toolAction(id, name),
      groups: [risk, serverGroup(id)],
      context: toolContext(mapped.attributes),
    }
    const latest = definitions.at(-1)?.sha256 ?? ''
    return { server: id, name, risk, latest, arguments: mapped, problem: null, action }
  })
}

function riskiest(risks: readonly Risk[]): Risk {
  if (risks.includes('destructive')) return 'destructive'
  return risks.includes('write') ? 'write' : 'read'
}

function withProblem(tool: CompiledTool, problem: string | null): CompiledTool {
  if (problem === null) return tool
  const action = { ...tool.action, context: toolContext([]) }
  return { ...tool, arguments: opaqueArguments(tool.arguments), problem, action }
}

/** How one action on one server is decided and listed. */
export type CompiledAction = {
  readonly server: string
  readonly action: string
  readonly keys: ActionKeys
}

export type CompiledPolicies = {
  readonly actions: readonly CompiledAction[]
  readonly generation: Omit<Generation, 'id'>
}

/** `texts`: each policy as Cedar prints it, by id. */
export async function compilePolicies(
  { tools, groups }: CompiledSchema,
  servers: readonly ReviewedServer[],
  policies: readonly SourcePolicy[],
  texts: ReadonlyMap<string, string>,
  candidate: Candidate,
): Promise<CompiledPolicies> {
  const listing = await listingTexts(policies, candidate)
  const sets = new PolicySets()
  const targets = [
    ...servers.flatMap(({ id }) => SERVER_ACTIONS.map((action) => ({ server: id, action }))),
    ...tools.map(({ server, action }) => ({ server, action })),
  ]
  const actions = targets.map(({ server, action }): CompiledAction => {
    const target = { server, action: action.id, groups: withAncestors(action.groups, groups) }
    const ids = policies.filter(({ policy }) => mayApply(policy, target)).map(({ id }) => id)
    const call = { policySet: sets.key('call', ids, texts), schema: `call:${action.id}` }
    const list = { policySet: sets.key('list', ids, listing), schema: `list:${action.id}` }
    return { server, action: action.id, keys: { call, listing: list } }
  })
  const types = [...SERVER_ACTIONS, ...tools.map(({ action }) => action)]
  const schemas = types.flatMap((action) => [
    schemaEntry('call', action, groups),
    schemaEntry('list', { ...action, context: LISTING_CONTEXT }, groups),
  ])
  return { actions, generation: { policySets: sets.all(), schemas } }
}

function schemaEntry(
  use: 'call' | 'list',
  action: ActionType,
  groups: ReadonlyMap<string, readonly string[]>,
): Generation['schemas'][number] {
  const key: EngineKeys['schema'] = `${use}:${action.id}`
  return { key, schema: JSON.stringify(actionSchema(action, groups)) }
}

/** What of each policy decides visibility; a policy that cannot is left out. */
async function listingTexts(
  policies: readonly SourcePolicy[],
  candidate: Candidate,
): Promise<ReadonlyMap<string, string>> {
  const kept = policies.flatMap(({ id, policy }) => {
    const listed = listingPolicy(policy)
    return listed === null ? [] : [{ id, listed }]
  })
  const texts = await candidate.print(kept.map(({ listed }) => listed))
  return new Map(kept.map(({ id }, index) => [id, texts[index] ?? '']))
}

/** Policy sets by what is in them: tools with the same policies share one. */
class PolicySets {
  readonly #sets = new Map<string, Generation['policySets'][number]>()

  key(use: 'call' | 'list', ids: readonly string[], texts: ReadonlyMap<string, string>): string {
    const found = ids.filter((id) => texts.has(id)).toSorted()
    const content = JSON.stringify([use, found])
    const known = this.#sets.get(content)
    if (known !== undefined) return known.key
    const key = `${use}:${this.#sets.size}`
    const policies = Object.fromEntries(found.map((id) => [id, texts.get(id) ?? '']))
    this.#sets.set(content, { key, policies })
    return key
  }

  all(): Generation['policySets'] {
    return [...this.#sets.values()]
  }
}
