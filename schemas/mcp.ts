// Owns what the gateway knows of MCP: every method, in which era it exists, and how it is decided. No I/O.
// A method that is not in the table is denied with `unknown_method`.

/** Legacy: revisions up to 2025-11-25 (handshake, sessions). Modern: 2026-07-28 and later (per-request metadata). */
export type Era = 'legacy' | 'modern'
export const MODERN_REVISIONS: ReadonlySet<string> = new Set(['2026-07-28'])
export const LEGACY_REVISIONS: ReadonlySet<string> = new Set([
  '2024-10-07', '2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25',
]) // biome-ignore format: a list

/** What a list answer carries, and so what is filtered out of it. */
export type Listed = 'tools' | 'resources' | 'resourceTemplates' | 'prompts'

/**
 * How a message is decided. `connect`: may this grant speak to this server at all. `tool`: the tool's own action.
 * `item`: an action of its own on a named thing. `held`: known, never allowed. `from`: a request of the server to the
 * client, which no client may send; all others are the client's.
 */
export type MethodRule =
  | { readonly decide: 'connect'; readonly filter?: Listed; readonly eras: readonly Era[] }
  | { readonly decide: 'tool'; readonly eras: readonly Era[] }
  | {
      readonly decide: 'item'
      readonly action: ItemAction
      readonly from?: 'server'
      readonly eras: readonly Era[]
    }
  | { readonly decide: 'held'; readonly eras: readonly Era[] }

/** What a server may ask of its client: in the legacy era a request, in the modern one inside of a result. */
export const SERVER_REQUESTS = [
  'sampling/createMessage',
  'elicitation/create',
  'roots/list',
] as const
export type ServerRequest = (typeof SERVER_REQUESTS)[number]
export const ITEM_ACTIONS = [
  'resources/read',
  'prompts/get',
  'completion/complete',
  ...SERVER_REQUESTS,
] as const
export type ItemAction = (typeof ITEM_ACTIONS)[number]
/** The Cedar action of everything that needs only access to the server. */
export const CONNECT_ACTION = 'connect'

const BOTH: readonly Era[] = ['legacy', 'modern']
const LEGACY: readonly Era[] = ['legacy']
const MODERN: readonly Era[] = ['modern']

/**
 * facts: MCP method table of both eras. `http:*` and `response` are our names for what carries no
 * method, `listen:resource` that for one resource of a `subscriptions/listen`: each is decided by itself.
 */
export const METHODS: ReadonlyMap<string, MethodRule> = new Map<string, MethodRule>([
  ['initialize', { decide: 'connect', eras: LEGACY }],
  ['ping', { decide: 'connect', eras: LEGACY }],
  ['logging/setLevel', { decide: 'connect', eras: LEGACY }],
  ['server/discover', { decide: 'connect', eras: MODERN }],
  ['tools/list', { decide: 'connect', filter: 'tools', eras: BOTH }],
  ['resources/list', { decide: 'connect', filter: 'resources', eras: BOTH }],
  ['resources/templates/list', { decide: 'connect', filter: 'resourceTemplates', eras: BOTH }],
  ['prompts/list', { decide: 'connect', filter: 'prompts', eras: BOTH }],
  ['tools/call', { decide: 'tool', eras: BOTH }],
  ['resources/read', { decide: 'item', action: 'resources/read', eras: BOTH }],
  ['resources/subscribe', { decide: 'item', action: 'resources/read', eras: LEGACY }],
  ['resources/unsubscribe', { decide: 'item', action: 'resources/read', eras: LEGACY }],
  ['prompts/get', { decide: 'item', action: 'prompts/get', eras: BOTH }],
  ['completion/complete', { decide: 'item', action: 'completion/complete', eras: BOTH }],
  ...SERVER_REQUESTS.map((action): [string, MethodRule] => {
    return [action, { decide: 'item', action, from: 'server', eras: BOTH }]
  }),
  ['subscriptions/listen', { decide: 'connect', eras: MODERN }],
  ['listen:resource', { decide: 'item', action: 'resources/read', eras: MODERN }],
  // A task id is bound to the grant that its call was allowed for; a list of tasks names those of others.
  ['tasks/get', { decide: 'connect', eras: BOTH }],
  ['tasks/result', { decide: 'connect', eras: LEGACY }],
  ['tasks/list', { decide: 'held', eras: LEGACY }],
  ['tasks/cancel', { decide: 'connect', eras: BOTH }],
  ['tasks/update', { decide: 'connect', eras: MODERN }],
  ['notifications/initialized', { decide: 'connect', eras: LEGACY }],
  ['notifications/cancelled', { decide: 'connect', eras: BOTH }],
  ['notifications/progress', { decide: 'connect', eras: LEGACY }],
  ['notifications/roots/list_changed', { decide: 'connect', eras: LEGACY }],
  ['notifications/elicitation/complete', { decide: 'connect', eras: LEGACY }],
  ['response', { decide: 'connect', eras: LEGACY }],
  ['http:get', { decide: 'connect', eras: LEGACY }],
  ['http:delete', { decide: 'connect', eras: LEGACY }],
])

export type Sender = 'client' | 'server'

/** Who may send `method`. A method that is not in the table is nobody's; it counts as the client's. */
export function senderOf(method: string): Sender {
  const rule = METHODS.get(method)
  return rule?.decide === 'item' && rule.from === 'server' ? 'server' : 'client'
}

/**
 * What the gateway declares as a client of its own, when it looks at a server to learn its tools: everything, so that
 * no tool is held back. What is reviewed (`tools lock`) and what is seen at run time are the same then.
 */
export const EVERY_CAPABILITY = {
  roots: { listChanged: true },
  sampling: { context: {}, tools: {} },
  elicitation: { form: {}, url: {} },
  tasks: {
    list: {},
    cancel: {},
    requests: { sampling: { createMessage: {} }, elicitation: { create: {} } },
  },
}

/** The tasks of 2026-07-28 (SEP-2663): an extension that a client declares in each request. */
export const TASKS_EXTENSION = 'io.modelcontextprotocol/tasks'

/** Keys of `_meta`. Ours is reverse-DNS; the specification reserves a second label `mcp` or `modelcontextprotocol`. */
export const META = {
  protocolVersion: 'io.modelcontextprotocol/protocolVersion',
  clientInfo: 'io.modelcontextprotocol/clientInfo',
  clientCapabilities: 'io.modelcontextprotocol/clientCapabilities',
  relatedTask: 'io.modelcontextprotocol/related-task',
  serverInfo: 'io.modelcontextprotocol/serverInfo',
  subscriptionId: 'io.modelcontextprotocol/subscriptionId',
  decision: 'dev.cedargate/decision',
} as const
