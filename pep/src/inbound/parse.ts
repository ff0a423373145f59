// Owns reading one JSON-RPC message from bytes, so strictly that no other reader can see something
// else in it. Knows no method: what a message may do is the PDP's to decide.
import { isUtf8 } from 'node:buffer'
import { type JsonObject, parseStrictJson } from '../../../schemas/strict-json.ts'
import { GatewayError } from '../gateway-error.ts'
import { METHOD_LENGTH_MAX } from '../limits.ts'

export type RpcId = string | number

export type Message = {
  readonly kind: 'request' | 'notification' | 'response'
  /** `response` for a message without a method. */
  readonly method: string
  readonly id: RpcId | undefined
  readonly params: JsonObject | undefined
  /**
   * What is decided on and forwarded: the parsed value, written again. Never the bytes that came.
   */
  readonly text: string
}

/** Members of each kind of JSON-RPC message, whoever sends it. */
export const MEMBERS = {
  request: new Set(['jsonrpc', 'id', 'method', 'params']),
  notification: new Set(['jsonrpc', 'method', 'params']),
  response: new Set(['jsonrpc', 'id', 'result', 'error']),
} as const

/**
 * The message in `bytes`. Throws malformed_text (not UTF-8), the faults of strict JSON,
 * batch_not_supported, or not_a_message for anything that is not one JSON-RPC 2.0 request,
 * notification or response with named parameters.
 */
export function parseMessage(bytes: Buffer): Message {
  if (!isUtf8(bytes)) throw new GatewayError('malformed_text', 'the body is not UTF-8')
  const json = parseStrictJson(bytes.toString('utf8'))
  if (!json.ok) throw new GatewayError(json.fault, `${json.message}, at ${json.at}`)
  const { value } = json
  if (Array.isArray(value)) throw new GatewayError('batch_not_supported', 'the body is an array')
  if (!isObject(value)) throw notAMessage('the body is not an object')
  const kind = kindOf(value)
  for (const key of Object.keys(value)) {
    if (!MEMBERS[kind].has(key))
      throw notAMessage(`a ${kind} has no member \`${key.slice(0, 64)}\``)
  }
  return { ...readMembers(value, kind), kind, text: JSON.stringify(value) }
}

function kindOf(value: JsonObject): Message['kind'] {
  if (value['jsonrpc'] !== '2.0') throw notAMessage('`jsonrpc` is not 2.0')
  if (!('method' in value)) return 'response'
  return 'id' in value ? 'request' : 'notification'
}

function readMembers(
  value: JsonObject,
  kind: Message['kind'],
): Pick<Message, 'method' | 'id' | 'params'> {
  const id = kind === 'notification' ? undefined : readId(value['id'])
  if (kind === 'response') {
    if ('result' in value === 'error' in value)
      throw notAMessage('a response has `result` or `error`')
    return { method: 'response', id, params: undefined }
  }
  const { method, params } = value
  if (typeof method !== 'string' || method.length > METHOD_LENGTH_MAX || method === '') {
    throw notAMessage('`method` is not a short string')
  }
  if (params === undefined) return { method, id, params: undefined }
  if (!isObject(params)) throw notAMessage('`params` is not an object')
  checkSpelling(params, SPELLED)
  for (const [name, members] of INNER) {
    const inner = params[name]
    if (isObject(inner)) checkSpelling(inner, members)
  }
  return { method, id, params }
}

function readId(id: unknown): RpcId {
  if (typeof id === 'string' || Number.isSafeInteger(id)) return id as RpcId
  throw notAMessage('`id` is neither a string nor an integer')
}

/**
 * Some readers take `Name` for `name`: two members that differ only by case would be two messages
 * in one.
 */
function checkSpelling(of: JsonObject, members: ReadonlyMap<string, string>): void {
  const keys = Object.keys(of)
  const folded = new Set<string>()
  for (const key of keys) {
    const fold = key.toUpperCase().toLowerCase()
    if (folded.has(fold)) throw notAMessage('two members differ only by case')
    const right = members.get(fold)
    if (right !== undefined && right !== key) throw notAMessage(`\`${right}\` is spelled otherwise`)
    folded.add(fold)
  }
}

/** What decides where a message goes, as the specification spells it. */
const SPELLED = spelling(
  'name', 'arguments', 'uri', 'ref', 'argument', '_meta', 'taskId', 'requestState', 'inputResponses', 'notifications',
) // biome-ignore format: a list

/** The same within parameters that are decided on by what stands in them. */
const INNER: readonly (readonly [string, ReadonlyMap<string, string>])[] = [
  ['ref', spelling('type', 'name', 'uri')],
  ['argument', spelling('name', 'value')],
  ['notifications', spelling('resourceSubscriptions', 'toolsListChanged', 'taskIds')],
]

function spelling(...keys: readonly string[]): ReadonlyMap<string, string> {
  return new Map(keys.map((key) => [key.toLowerCase(), key]))
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function notAMessage(message: string): GatewayError {
  return new GatewayError('not_a_message', message)
}
