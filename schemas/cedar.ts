// Owns the Cedar vocabulary: names, base types, and the words between authorize and the engine. No I/O, no Cedar.
// Every name here can stand in a platform team's policies, so it changes only with a new bundle format.

import { SCOPES, type Scope } from './scopes.ts'

/** The namespace of every entity type and action. */
export const NAMESPACE = 'MCP'
export const ENTITY = {
  user: `${NAMESPACE}::User`,
  team: `${NAMESPACE}::Team`,
  agent: `${NAMESPACE}::Agent`,
  server: `${NAMESPACE}::Server`,
  action: `${NAMESPACE}::Action`,
} as const

/** Keys that Cedar's JSON reads as escapes instead of data. No value of ours may hold one, at any depth. */
export const CEDAR_ESCAPES: ReadonlySet<string> = new Set(['__entity', '__extn', '__expr'])

/** A Cedar type in the JSON form of a schema, as far as the gateway writes it. */
export type CedarType =
  | { readonly type: 'String' | 'Long' | 'Boolean' }
  | { readonly type: 'Extension'; readonly name: 'datetime' | 'decimal' | 'ipaddr' }
  | { readonly type: 'Entity'; readonly name: string }
  | { readonly type: 'Set'; readonly element: CedarType }
  | CedarRecord
  | { readonly type: CommonType }
export type CedarAttribute = CedarType & { readonly required?: boolean }
export type CedarRecord = {
  readonly type: 'Record'
  readonly attributes: { readonly [name: string]: CedarAttribute }
}
type CommonType = 'ArgsMeta' | 'Grant' | 'Request' | 'Scopes' | 'Tool'

const STRING = { type: 'String' } as const
const DATETIME = { type: 'Extension', name: 'datetime' } as const
const STRINGS = { type: 'Set', element: STRING } as const

/** `attribute`, optional. */
export function optional(attribute: CedarType): CedarAttribute {
  return { ...attribute, required: false }
}

/** A closed record. `Object.fromEntries` keeps a name such as `__proto__` an ordinary attribute. */
export function record(attributes: Iterable<readonly [string, CedarAttribute]>): CedarRecord {
  return { type: 'Record', attributes: Object.fromEntries(attributes) }
}

const HOLDERS = ['user', 'agent', 'grant'].map((of) => [of, { type: 'Boolean' }] as const)

export const COMMON_TYPES: { readonly [name in CommonType]: CedarRecord } = {
  /** Of `params.arguments` as one JSON text. The sets hold JSON pointers of what is not in `args`, and why. */
  ArgsMeta: record([
    ['sha256', STRING],
    ['bytes', { type: 'Long' }],
    ['nulls', STRINGS],
    ['opaque', STRINGS],
    ['unknown', STRINGS],
  ]),
  Grant: record([
    ['id', STRING],
    ['expiresAt', DATETIME],
  ]),
  Request: record([
    ['time', DATETIME],
    ['method', STRING],
    ['era', STRING],
    ['sourceIp', optional({ type: 'Extension', name: 'ipaddr' })],
  ]),
  /** Of each scope, whether user, agent and grant have it. Booleans: a set of strings costs the engine four times as much. */
  Scopes: record(SCOPES.map((scope) => [scopeAttribute(scope), record(HOLDERS)])),
  Tool: record([
    ['sha256', STRING],
    ['reviewed', { type: 'Boolean' }],
  ]),
}

export const ENTITY_TYPES = {
  Agent: {},
  Server: {},
  Team: {},
  User: { memberOfTypes: ['Team'] },
} as const

/** What `scope` is called in `context.scopes`, and in the id of its base policy: `mcp:read` is `read`. */
export function scopeAttribute(scope: Scope): string {
  return scope.slice(scope.indexOf(':') + 1)
}

/** What every context holds, also when a list is filtered. */
export const LISTING_CONTEXT: readonly (readonly [string, CedarAttribute])[] = [
  ['agent', { type: 'Entity', name: 'Agent' }],
  ['grant', optional({ type: 'Grant' })],
  ['request', { type: 'Request' }],
  ['scopes', { type: 'Scopes' }],
]

/** Groups of tools, each with the groups it is in; `server:<id>` is in `all` too. */
export const RISK_GROUPS = {
  all: [],
  read: ['all'],
  write: ['all'],
  destructive: ['write'],
} as const

/** The Cedar action of one tool. Ids are free strings: a tool name is never mangled. */
export function toolAction(server: string, tool: string): string {
  return `${server}/${tool}`
}

/** The group that holds every tool of one server. */
export function serverGroup(server: string): string {
  return `server:${server}`
}

/** A policy in Cedar's JSON form, as far as the gateway reads it. */
export type PolicyJson = {
  readonly effect: 'permit' | 'forbid'
  readonly principal: ScopeJson
  readonly action: ScopeJson
  readonly resource: ScopeJson
  readonly conditions: readonly { readonly kind: 'when' | 'unless'; readonly body: unknown }[]
  readonly annotations?: { readonly [name: string]: string | null }
}
export type ScopeJson = {
  readonly op: string
  readonly entity?: EntityJson
  readonly entities?: readonly EntityJson[]
  /** Of `is`. */
  readonly entity_type?: string
}
export type EntityJson = { readonly type: string; readonly id: string }

/** `type::"id"`: one spelling of an entity, to compare and to look up by. */
export function entityKey({ type, id }: EntityJson): string {
  return `${type}::${JSON.stringify(id)}`
}

/** Everything one activation of a bundle gives the engine. Keys are ours, fixed per generation. */
export type Generation = {
  readonly id: string
  /** Policy id → policy, as text or in Cedar's JSON form; the id is what Cedar reports. */
  readonly policySets: readonly {
    readonly key: string
    readonly policies: Readonly<Record<string, string | PolicyJson>>
  }[]
  /** Schemas as JSON text. */
  readonly schemas: readonly { readonly key: string; readonly schema: string }[]
}

/**
 * A generation as bytes that threads share: thousands of policies would hold up whoever copies them from thread to
 * thread, and only the engine's threads read them.
 */
export type PackedGeneration = { readonly id: string; readonly bytes: Uint8Array }

export function packGeneration(generation: Generation): PackedGeneration {
  const text = new TextEncoder().encode(JSON.stringify(generation))
  const bytes = new Uint8Array(new SharedArrayBuffer(text.length))
  bytes.set(text)
  return { id: generation.id, bytes }
}

export function unpackGeneration({ bytes }: PackedGeneration): Generation {
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes))) as Generation
}

/** The JSON texts of one Cedar call: {principal, action, resource}, context, entities. */
export type CedarTexts = {
  readonly request: string
  readonly context: string
  readonly entities: string
}

/** One Cedar call. Always evaluated with its schema and with request validation. */
export type Evaluation = {
  readonly generation: string
  readonly policySet: string
  readonly schema: string
  readonly texts: CedarTexts
}

/**
 * What Cedar said. `failure`: the request does not fit the schema. `fault`: no answer could be had; `cause` is for
 * our log. `reason` and `errors` are policy ids in Cedar's own order, which differs from call to call.
 */
export type EngineAnswer =
  | {
      readonly kind: 'success'
      readonly decision: 'allow' | 'deny'
      readonly reason: readonly string[]
      readonly errors: readonly string[]
    }
  | { readonly kind: 'failure'; readonly message: string }
  | { readonly kind: 'fault'; readonly cause: string }
