// Owns the generated Cedar schema: one action per tool, typed `context.args`, the groups above it. Pure.
// The full schema is what policies are validated against and what the digest is of; each action also gets a schema
// of its own, because the engine copies the schema on every call.
import type { CedarAttribute } from '../../../schemas/cedar.ts'
import {
  COMMON_TYPES,
  ENTITY_TYPES,
  LISTING_CONTEXT,
  NAMESPACE,
  optional,
  RISK_GROUPS,
  record,
  serverGroup,
} from '../../../schemas/cedar.ts'
import type { ItemAction } from '../../../schemas/mcp.ts'
import { CONNECT_ACTION } from '../../../schemas/mcp.ts'
import type { ContextReads } from '../authorize/context-paths.ts'

type Attributes = readonly (readonly [string, CedarAttribute])[]

/** An action a request can name. `groups`: those it is directly in. `context`: all that a call gives policies. */
export type ActionType = {
  readonly id: string
  readonly groups: readonly string[]
  readonly context: Attributes
}

const STRING = { type: 'String' } as const
const TEXT: CedarAttribute = STRING
const MAYBE = optional(STRING)

/** `context.args` of the actions on named things, and of what servers ask of clients (authorize/item-arguments.ts). */
const ITEM_ARGUMENTS: { readonly [action in ItemAction]: Attributes } = {
  'resources/read': [['uri', TEXT]],
  'prompts/get': [['name', TEXT]],
  'completion/complete': [
    ['ref', TEXT],
    ['name', MAYBE],
    ['uri', MAYBE],
    ['argument', TEXT],
  ],
  'sampling/createMessage': [
    ['maxTokens', optional({ type: 'Long' })],
    ['tools', { type: 'Boolean' }],
    ['includeContext', TEXT],
  ],
  'elicitation/create': [
    ['mode', TEXT],
    ['url', MAYBE],
    ['url_host', MAYBE],
    ['fields', { type: 'Set', element: STRING }],
    ['asksSecret', { type: 'Boolean' }],
  ],
  'roots/list': [],
}

/** The actions that every server has, whatever its tools. */
export const SERVER_ACTIONS: readonly ActionType[] = [
  { id: CONNECT_ACTION, groups: [], context: LISTING_CONTEXT },
  ...Object.entries(ITEM_ARGUMENTS).map(([id, args]) => ({
    id,
    groups: [],
    context: [
      ...LISTING_CONTEXT,
      ['args', record(args)],
      ['argsMeta', { type: 'ArgsMeta' }],
    ] as const,
  })),
]

/** What a call of a tool gives policies. */
export function toolContext(args: Attributes): Attributes {
  return [
    ...LISTING_CONTEXT,
    ['args', record(args)],
    ['argsMeta', { type: 'ArgsMeta' }],
    ['tool', { type: 'Tool' }],
  ]
}

/** Every group with the groups it is in, for a bundle that has these servers. */
export function actionGroups(servers: Iterable<string>): ReadonlyMap<string, readonly string[]> {
  const ofServers = [...servers].map((id) => [serverGroup(id), ['all']] as const)
  return new Map<string, readonly string[]>([...Object.entries(RISK_GROUPS), ...ofServers])
}

/** `groups` and everything above them. */
export function withAncestors(
  groups: readonly string[],
  all: ReadonlyMap<string, readonly string[]>,
): ReadonlySet<string> {
  const found = new Set<string>(groups)
  for (const group of found) for (const above of all.get(group) ?? []) found.add(above)
  return found
}

/** A schema in Cedar's JSON form, of these actions and exactly these groups. */
export function cedarSchema(
  actions: readonly ActionType[],
  groups: ReadonlyMap<string, readonly string[]>,
): object {
  return { [NAMESPACE]: namespace(actions, groups) }
}

function namespace(
  actions: readonly ActionType[],
  groups: ReadonlyMap<string, readonly string[]>,
): object {
  const entries = [
    ...[...groups].map(([id, memberOf]) => [id, { memberOf: memberOf.map(member) }] as const),
    ...actions.map((action) => [action.id, actionEntry(action)] as const),
  ]
  return {
    commonTypes: COMMON_TYPES,
    entityTypes: ENTITY_TYPES,
    actions: Object.fromEntries<object>(entries),
  }
}

/**
 * The schema of one action alone, with the groups it is in, and of its context only what `reads` names. A request
 * that holds no more than that is validated as strictly as by the whole schema.
 */
export function actionSchema(
  action: ActionType,
  all: ReadonlyMap<string, readonly string[]>,
  reads: ContextReads = 'all',
): object {
  const reached = withAncestors(action.groups, all)
  const context = action.context.flatMap(([name, attribute]) => {
    const read = reads === 'all' ? 'all' : reads.get(name)
    return read === undefined ? [] : [[name, partOf(attribute, read)] as const]
  })
  const groups = new Map([...all].filter(([group]) => reached.has(group)))
  return { [NAMESPACE]: { ...namespace([{ ...action, context }], groups), commonTypes: {} } }
}

/** Common types are written out: the engine copies the schema on every call. */
function partOf(attribute: CedarAttribute, read: 'all' | ReadonlySet<string>): CedarAttribute {
  const { required = true } = attribute
  const type = isCommon(attribute.type) ? COMMON_TYPES[attribute.type] : attribute
  if (type.type !== 'Record' || !('attributes' in type)) return attribute
  const inner = Object.entries(type.attributes).filter(([name]) => read === 'all' || read.has(name))
  return { ...record(inner), required }
}

function isCommon(type: string): type is keyof typeof COMMON_TYPES {
  return Object.hasOwn(COMMON_TYPES, type)
}

function actionEntry({ groups, context }: ActionType): object {
  return {
    memberOf: groups.map(member),
    appliesTo: {
      principalTypes: ['User', 'Agent'],
      resourceTypes: ['Server'],
      context: record(context),
    },
  }
}

function member(id: string): object {
  return { id }
}
