// Owns what is settled before Cedar is asked: which action a message is, and its typed arguments. Pure.
// A message that cannot be put to Cedar is refused here, with its code.
import { hash } from 'node:crypto'
import { digestText } from '../../../schemas/args-digest.ts'
import type { VerdictCode } from '../../../schemas/codes.ts'
import { MAPPED_ARGS_BYTES_MAX } from '../../../schemas/limits.ts'
import type { ItemAction, Listed } from '../../../schemas/mcp.ts'
import { CONNECT_ACTION, METHODS, senderOf } from '../../../schemas/mcp.ts'
import type { Json, JsonObject } from '../../../schemas/strict-json.ts'
import { argumentsMeta, mapArguments, NO_POINTERS } from './arguments.ts'
import { itemArguments } from './item-arguments.ts'
import { isObject, own } from './json.ts'
import type { CallContext } from './request.ts'
import type {
  ActionKeys,
  AuthorizationRequest,
  AuthorizerBundle,
  DecidedServer,
  DecidedTool,
} from './types.ts'

/** `tool` and `arguments` (text, or a digest: schemas/args-digest.ts) are of the message, whether or not it can be decided. */
export type Plan = {
  readonly tool: string | null
  readonly arguments: string
  /** The tool that a call turned out to be of, where the server conceals those a caller may not see. */
  readonly concealable: DecidedTool | null
} & (
  | {
      readonly kind: 'ask'
      readonly action: string
      readonly keys: ActionKeys
      readonly context: CallContext
      readonly filter: Listed | null
    }
  | { readonly kind: 'refuse'; readonly code: VerdictCode; readonly detail: string }
)

/** How one message is decided. Total: whatever `params` holds, the answer is a plan. */
export function plan(request: AuthorizationRequest, bundle: AuthorizerBundle): Plan {
  const said = messageParts(request)
  const settled = settle(request, bundle, said)
  return { tool: said.tool, arguments: keptArguments(said.text), concealable: null, ...settled }
}

/** What is recorded: the text, or its digest where it is longer than any that is decided on (it may fill the disk). */
function keptArguments(text: string): string {
  if (text.length <= MAPPED_ARGS_BYTES_MAX) return text
  return digestText({ sha256: hash('sha256', text.toWellFormed()), length: text.length })
}

type Said = {
  readonly tool: string | null
  readonly given: Json | undefined
  readonly text: string
}
type Refusal = { readonly kind: 'refuse'; readonly code: VerdictCode; readonly detail: string }
type Asked = Omit<Extract<Plan, { kind: 'ask' }>, 'tool' | 'arguments' | 'concealable'>
type Settled = (Asked | Refusal) & { readonly concealable?: DecidedTool }

/** The tool a message names, whether or not there is one. */
export function namedTool({ method, params }: AuthorizationRequest): string | null {
  const name = own(params, 'name')
  return method === 'tools/call' && typeof name === 'string' ? name : null
}

function messageParts(request: AuthorizationRequest): Said {
  const given = own(request.params, 'arguments')
  return { tool: namedTool(request), given, text: given === undefined ? '' : JSON.stringify(given) }
}

function settle(request: AuthorizationRequest, bundle: AuthorizerBundle, said: Said): Settled {
  const { method, era } = request
  const rule = METHODS.get(method)
  if (rule === undefined) return refuse('unknown_method', 'the gateway does not know this method')
  if (!rule.eras.includes(era)) {
    return refuse('unknown_method', `\`${method}\` does not exist in this protocol revision`)
  }
  if (request.from !== senderOf(method)) {
    return refuse('unknown_method', `\`${method}\` is nothing that a ${request.from} may send`)
  }
  if (rule.decide === 'held') {
    return refuse('unknown_method', `\`${method}\` is known, but never allowed`)
  }
  // INVARIANT: what is allowed is recorded whole; keptArguments keeps of these a digest only.
  if (said.text.length > MAPPED_ARGS_BYTES_MAX) {
    const detail = `the arguments are longer than ${MAPPED_ARGS_BYTES_MAX} bytes`
    return refuse('unrepresentable_argument', detail)
  }
  const server = bundle.servers.get(request.server)
  if (server === undefined) return unknownServer(request, said)
  if (rule.decide === 'tool') return settleTool(request, server, said)
  if (rule.decide === 'item') return settleItem(rule.action, request.params, server, said)
  return {
    kind: 'ask',
    action: CONNECT_ACTION,
    keys: server.actions.connect,
    context: {},
    filter: rule.filter ?? null,
  }
}

function unknownServer({ server }: AuthorizationRequest, { tool }: Said): Refusal {
  const code = tool === null ? 'invalid_request' : 'unknown_tool'
  return refuse(code, `no server \`${server}\` in the active bundle`)
}

function settleTool(request: AuthorizationRequest, server: DecidedServer, said: Said): Settled {
  if (said.tool === null) return refuse('invalid_request', '`params.name` must be a string')
  const tool = server.tools.get(said.tool)
  if (tool === undefined) return refuse('unknown_tool', NO_SUCH_TOOL)
  const settled = settleCall(request, tool, said)
  return server.concealment === 'unknown' ? { ...settled, concealable: tool } : settled
}

/** Why a call of a tool that does not exist is refused, and of one that is concealed. */
export const NO_SUCH_TOOL = 'no tool of this name has been reviewed'

function settleCall(request: AuthorizationRequest, tool: DecidedTool, said: Said): Asked | Refusal {
  const sha256 = variantOf(request, tool)
  const variant = tool.variants.get(sha256)
  if (sha256 === '') return refuse('unknown_tool', 'the server does not serve this tool now')
  if (variant === undefined) {
    return refuse('tool_changed', 'its definition is not one that has been reviewed')
  }
  const given = said.given === undefined ? {} : said.given
  if (!isObject(given)) return refuse('invalid_request', '`params.arguments` must be an object')
  const mapped = mapArguments(variant, given)
  if (!mapped.ok) return refuse(mapped.code, mapped.detail)
  const context: CallContext = {
    args: mapped.attributes,
    argsMeta: argumentsMeta(said.text, mapped.pointers),
    tool: new Map([
      ['sha256', JSON.stringify(sha256)],
      ['reviewed', 'true'],
    ]),
  }
  return { kind: 'ask', action: tool.action, keys: tool.keys, context, filter: null }
}

/** The fingerprint to decide by; '' when one is needed and none was seen. */
function variantOf(request: AuthorizationRequest, tool: DecidedTool): string {
  return request.definition ?? (request.definitionRequired ? '' : tool.latest)
}

function settleItem(
  action: ItemAction,
  params: JsonObject | undefined,
  server: DecidedServer,
  said: Said,
): Asked | Refusal {
  const named = itemArguments(action, params)
  if (!named.ok) return refuse(named.code, named.detail)
  const argsMeta = argumentsMeta(said.text, NO_POINTERS)
  const context: CallContext = { args: named.attributes, argsMeta }
  return { kind: 'ask', action, keys: server.actions[action], context, filter: null }
}

function refuse(code: VerdictCode, detail: string): Refusal {
  return { kind: 'refuse', code, detail }
}
