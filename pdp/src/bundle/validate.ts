// Owns strict validation of the policies of a bundle. Each is validated against those actions its scope can match, which
// finds the same as the whole schema does (the validator looks at no other), in a fraction of the time.
import type { EntityJson, PolicyJson } from '../../../schemas/cedar.ts'
import { ENTITY, serverGroup, toolAction } from '../../../schemas/cedar.ts'
import type { Candidate } from '../engine/candidate.ts'
import type { CompiledSchema } from './compile.ts'
import type { Finding } from './findings.ts'
import type { SourcePolicy } from './policies.ts'
import { entitiesIn, findingIn } from './policies.ts'
import { cedarSchema, SERVER_ACTIONS } from './schema.ts'

/** Errors and warnings of Cedar's validator, each where the policy is written. */
export async function validatePolicies(
  compiled: CompiledSchema,
  policies: readonly SourcePolicy[],
  candidate: Candidate,
): Promise<Finding[]> {
  const owners = serversOfActions(compiled)
  const parts = Map.groupBy(policies, ({ policy }) => partOf(policy, owners))
  const findings: Finding[] = []
  for (const [part, members] of parts) {
    const schema = part === WHOLE ? compiled.schema : serverSchema(compiled, part)
    findings.push(...(await validate(schema, members, candidate)))
  }
  return findings
}

const WHOLE = ''

/** Which server each tool's action, and each server's group, belongs to. */
function serversOfActions({ tools, groups }: CompiledSchema): ReadonlyMap<string, string> {
  const own = new Map(tools.map(({ server, name }) => [toolAction(server, name), server]))
  for (const group of groups.keys()) {
    const server = /^server:(.*)$/.exec(group)?.[1]
    if (server !== undefined && serverGroup(server) === group) own.set(group, server)
  }
  return own
}

/** The one server whose actions are all that the policy can match and all that it names; else WHOLE. */
function partOf(policy: PolicyJson, owners: ReadonlyMap<string, string>): string {
  const { op } = policy.action
  if (op !== '==' && op !== 'in') return WHOLE
  const named = entitiesIn(policy)
  if (named.some(({ type }) => !TYPES.has(type))) return WHOLE
  const actions = named.filter(({ type }) => type === ENTITY.action)
  const servers = new Set(actions.map(({ id }: EntityJson) => owners.get(id) ?? WHOLE))
  const [server = WHOLE] = servers
  return servers.size === 1 ? server : WHOLE
}

/** A type that is none of the gateway's may be of the bundle's own schema. */
const TYPES: ReadonlySet<string> = new Set(Object.values(ENTITY))

function serverSchema({ tools, groups }: CompiledSchema, server: string): object {
  const own = tools.filter((tool) => tool.server === server).map(({ action }) => action)
  return cedarSchema([...SERVER_ACTIONS, ...own], groups)
}

async function validate(
  schema: object,
  policies: readonly SourcePolicy[],
  candidate: Candidate,
): Promise<Finding[]> {
  const byId = new Map(policies.map((policy) => [policy.id, policy]))
  const texts = Object.fromEntries(policies.map(({ id, text }) => [id, text]))
  const problems = await candidate.validate(JSON.stringify(schema), texts)
  return problems.flatMap(({ policy, severity, message, start }) => {
    const source = byId.get(policy)
    return source === undefined ? [] : [findingIn(source, start, message, severity)]
  })
}
