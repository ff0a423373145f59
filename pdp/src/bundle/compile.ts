// Owns turning reviewed servers and policies into what decides: the Cedar schemas, the slices of the policy set,
// and the types each tool's arguments are mapped by. Never reads a file.
import type { Risk } from '../../../schemas/bundle.ts'
import type { Generation, PolicyJson } from '../../../schemas/cedar.ts'
import {
  ENTITY,
  entityKey,
  LISTING_CONTEXT,
  serverGroup,
  toolAction,
} from '../../../schemas/cedar.ts'
import { contextReads, readsAction } from '../authorize/context-paths.ts'
import type { ToolArguments } from '../authorize/tool-arguments.ts'
import { opaqueArguments, toolArguments } from '../authorize/tool-arguments.ts'
import type { ActionKeys, EngineKeys } from '../authorize/types.ts'
import { listingPolicy } from '../authorize/visibility.ts'
import type { Candidate } from '../engine/candidate.ts'
import type { OwnTypes } from './own-types.ts'
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
import { PolicyIndex } from './slices.ts'

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

/**
 * Every tool typed, beside the bundle's own types. When Cedar cannot hold them, each tool is tried by itself: the
 * culprits become opaque, the others stay. Does NOT find that the bundle's own types and ours exclude each other.
 */
export async function compileSchema(
  servers: readonly ReviewedServer[],
  own: OwnTypes,
  candidate: Candidate,
): Promise<CompiledSchema> {
  const groups = actionGroups(servers.map(({ id }) => id))
  const typed = servers.flatMap(compileTools)
  const schemaOf = (tools: readonly CompiledTool[]): object =>
    cedarSchema([...SERVER_ACTIONS, ...tools.map(({ action }) => action)], groups)
  const whole = (tools: readonly CompiledTool[]): object => ({ ...own.schema, ...schemaOf(tools) })
  const [problem] = await candidate.check([JSON.stringify(schemaOf(typed))])
  if (problem === null) return { tools: typed, groups, schema: whole(typed) }
  const schemas = typed.map(({ action }) => JSON.stringify(actionSchema(action, groups)))
  const problems = await candidate.check(schemas)
  const tools = typed.map((tool, index) => withProblem(tool, problems[index] ?? null))
  return { tools, groups, schema: whole(tools) }
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

/** How one action is decided and listed. `server` is null for an action of the bundle's own schema. */
export type CompiledAction = {
  readonly server: string | null
  /** `type::"id"`. */
  readonly action: string
  readonly keys: ActionKeys
}

export type CompiledPolicies = {
  readonly actions: readonly CompiledAction[]
  readonly generation: Omit<Generation, 'id'>
}

type PolicySources = {
  readonly servers: readonly ReviewedServer[]
  readonly own: OwnTypes
  readonly policies: readonly SourcePolicy[]
}

/** The slice of every action: what decides it, what would with the shadow policies, what lists it. */
export function compilePolicies(
  { tools, groups }: CompiledSchema,
  { servers, own, policies }: PolicySources,
): CompiledPolicies {
  const calls = new PolicyIndex<EnginePolicy>(policies)
  const listings = new PolicyIndex(listingPolicies(policies))
  const generation = new GenerationKeys(groups)
  const targets = [
    ...servers.flatMap(({ id }) => SERVER_ACTIONS.map((action) => ({ server: id, action }))),
    ...tools.map(({ server, action }) => ({ server, action })),
  ]
  const actions = targets.map(({ server, action }): CompiledAction => {
    const key = actionKey(action.id)
    const above = [...withAncestors(action.groups, groups)].map(actionKey)
    const target = { server, action: key, groups: new Set(above) }
    const listed = listings.matching(target)
    const listing = generation.keys({ ...action, context: LISTING_CONTEXT }, listed)
    const alike = !listed.some(({ policy }) => readsAction(policy.conditions))
    const group = alike ? listing.policySet : action.id
    const sliced = sliceKeys(calls.matching(target), (slice) => generation.keys(action, slice))
    return { server, action: key, keys: { ...sliced, listing: { ...listing, group } } }
  })
  return {
    actions: [...actions, ...ownActions(own, calls, generation)],
    generation: generation.all(),
  }
}

function actionKey(id: string): string {
  return entityKey({ type: ENTITY.action, id })
}

/** An action of the bundle's own schema is decided by its slice on the whole of that schema, and is in no list. */
function ownActions(
  { actions, schema }: OwnTypes,
  calls: PolicyIndex<EnginePolicy>,
  generation: GenerationKeys,
): CompiledAction[] {
  return actions.map((action) => {
    const key = entityKey(action)
    const slice = calls.matching({ action: key, groups: action.groups, server: null })
    const sliced = sliceKeys(slice, (some) => generation.ownKeys(schema, some))
    const listing = { ...sliced.call, group: key }
    return { server: null, action: key, keys: { ...sliced, listing } }
  })
}

/** A slice without its shadow policies, and with them where it has some. */
function sliceKeys(
  slice: readonly EnginePolicy[],
  keys: (slice: readonly EnginePolicy[]) => EngineKeys,
): Pick<ActionKeys, 'call' | 'shadow'> {
  const enforced = slice.filter(({ mode }) => mode === 'enforced')
  const call = keys(enforced)
  return { call, shadow: enforced.length === slice.length ? null : keys(slice) }
}

type EnginePolicy = Pick<SourcePolicy, 'id' | 'mode' | 'policy'> & {
  /** As written; absent for what only we have made. The engine copies a text faster than a tree on every call. */
  readonly text?: string
}

/** What of each enforced policy decides visibility; a policy that cannot is left out. */
function listingPolicies(policies: readonly SourcePolicy[]): EnginePolicy[] {
  return policies.flatMap(({ id, mode, policy }) => {
    const listed = mode === 'enforced' ? listingPolicy(policy) : null
    return listed === null ? [] : [{ id, mode, policy: listed }]
  })
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

  /** With the bundle's own schema, and all of a context. */
  ownKeys(schema: object, slice: readonly EnginePolicy[]): EngineKeys {
    const text = JSON.stringify(schema)
    return { policySet: this.#policySet(slice), schema: this.#schema(text), reads: 'all' }
  }

  all(): Omit<Generation, 'id'> {
    return { policySets: [...this.#policySets.values()], schemas: [...this.#schemas.values()] }
  }

  #policySet(slice: readonly EnginePolicy[]): string {
    const policies = Object.fromEntries(
      slice.map(({ id, policy, text }) => [id, text ?? bare(policy)]),
    )
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

/** Annotations are ours to read: the engine only carries them along on every call. */
function bare({ effect, principal, action, resource, conditions }: PolicyJson): PolicyJson {
  return { effect, principal, action, resource, conditions }
}
