// Owns turning reviewed servers and policies into what decides: the Cedar schemas, the slices of the policy set,
// and the types each tool's arguments are mapped by. Never reads a file.
import type { Risk } from '../../../schemas/bundle.ts'
import type { Generation, PolicyJson } from '../../../schemas/cedar.ts'
import { LISTING_CONTEXT, serverGroup, toolAction } from '../../../schemas/cedar.ts'
import { contextReads, readsAction } from '../authorize/context-paths.ts'
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

/** Every tool typed. When Cedar cannot hold them, each is tried by itself: the culprits become opaque, the others stay. */
export async function compileSchema(
  servers: readonly ReviewedServer[],
  candidate: Candidate,
): Promise<CompiledSchema> {
  const groups = actionGroups(servers.map(({ id }) => id))
  const typed = servers.flatMap(compileTools)
  const schema = schemaOf(typed, groups)
  const [problem] = await candidate.check([JSON.stringify(schema)])
  if (problem === null) return { tools: typed, groups, schema }
  const schemas = typed.map(({ action }) => JSON.stringify(actionSchema(action, groups)))
  const problems = await candidate.check(schemas)
  const tools = typed.map((tool, index) => withProblem(tool, problems[index] ?? null))
  return { tools, groups, schema: schemaOf(tools, groups) }
}

function schemaOf(tools: readonly CompiledTool[], groups: CompiledSchema['groups']): object {
  return cedarSchema([...SERVER_ACTIONS, ...tools.map(({ action }) => action)], groups)
}

function compileTools({ id, file, lock, derived }: ReviewedServer): CompiledTool[] {
  const byName = Map.groupBy(lock.tools, ({ definition }) => definition.name)
  return [...byName].map(([name, variants]) => {
    const risk = riskiest(variants.map((variant) => variant.risk))
    const definitions = variants.map(({ sha256, definition }) => ({
      sha256,
      inputSchema: definition.inputSchema,
    }))
    const mapped = toolArguments(definitions, derived, file.allowUnknown.includes(name))
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
  const calls = policies.map(({ id, policy }) => ({ id, policy, text: texts.get(id) ?? '' }))
  const listings = await listingPolicies(policies, candidate)
  const generation = new GenerationKeys(groups)
  const targets = [
    ...servers.flatMap(({ id }) => SERVER_ACTIONS.map((action) => ({ server: id, action }))),
    ...tools.map(({ server, action }) => ({ server, action })),
  ]
  const actions = targets.map(({ server, action }): CompiledAction => {
    const target = { server, action: action.id, groups: withAncestors(action.groups, groups) }
    const applies = ({ policy }: EnginePolicy) => mayApply(policy, target)
    const listed = listings.filter(applies)
    const call = generation.keys(action, calls.filter(applies))
    const listing = generation.keys({ ...action, context: LISTING_CONTEXT }, listed)
    const alike = !listed.some(({ policy }) => readsAction(policy.conditions))
    const group = alike ? listing.policySet : action.id
    return { server, action: action.id, keys: { call, listing: { ...listing, group } } }
  })
  return { actions, generation: generation.all() }
}

/** A policy as the engine is given it. */
type EnginePolicy = { readonly id: string; readonly policy: PolicyJson; readonly text: string }

/** What of each policy decides visibility; a policy that cannot is left out. */
async function listingPolicies(
  policies: readonly SourcePolicy[],
  candidate: Candidate,
): Promise<EnginePolicy[]> {
  const kept = policies.flatMap(({ id, policy }) => {
    const listed = listingPolicy(policy)
    return listed === null ? [] : [{ id, policy: listed }]
  })
  const texts = await candidate.print(kept.map(({ policy }) => policy))
  return kept.map((one, index) => ({ ...one, text: texts[index] ?? '' }))
}

/** Policy sets and schemas by what is in them: actions that are decided alike share theirs. */
class GenerationKeys {
  readonly #groups: ReadonlyMap<string, readonly string[]>
  readonly #policySets = new Map<string, Generation['policySets'][number]>()
  readonly #schemas = new Map<string, Generation['schemas'][number]>()

  constructor(groups: ReadonlyMap<string, readonly string[]>) {
    this.#groups = groups
  }

  keys(action: ActionType, slice: readonly EnginePolicy[]): EngineKeys {
    const reads = contextReads(slice.map(({ policy }) => policy.conditions))
    const schema = JSON.stringify(actionSchema(action, this.#groups, reads))
    return { policySet: this.#policySet(slice), schema: this.#schema(schema), reads }
  }

  all(): Omit<Generation, 'id'> {
    return { policySets: [...this.#policySets.values()], schemas: [...this.#schemas.values()] }
  }

  #policySet(slice: readonly EnginePolicy[]): string {
    const policies = Object.fromEntries(slice.map(({ id, text }) => [id, text]))
    const content = JSON.stringify(policies)
    const found = this.#policySets.get(content) ?? { key: `set:${this.#policySets.size}`, policies }
    this.#policySets.set(content, found)
    return found.key
  }

  #schema(schema: string): string {
    const found = this.#schemas.get(schema) ?? { key: `schema:${this.#schemas.size}`, schema }
    this.#schemas.set(schema, found)
    return found.key
  }
}
