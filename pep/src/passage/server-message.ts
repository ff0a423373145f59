// Owns what kind of JSON-RPC message a server sent. Never looks at what it is about.
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { GatewayError } from '../gateway-error.ts'
import { MEMBERS, type Message, type RpcId } from '../inbound/parse.ts'

/**
 * The kind of a message of a server. Throws upstream_invalid for what is none, and for what two readers could take for
 * two kinds: members of both, or members that JSON-RPC does not have.
 */
export function kindOf(message: JsonObject): Message['kind'] {
  if (message['jsonrpc'] !== '2.0') throw unusable('`jsonrpc` is not 2.0')
  const kind = !('method' in message) ? 'response' : 'id' in message ? 'request' : 'notification'
  for (const key of Object.keys(message))
    if (!MEMBERS[kind].has(key)) throw unusable(`a ${kind} has no member \`${key.slice(0, 64)}\``)
  if (kind !== 'response') {
    if (typeof message['method'] !== 'string') throw unusable('`method` is not a string')
    if (kind === 'request' && idOf(message) === undefined) throw unusable('`id` is none')
    return kind
  }
  if ('result' in message === 'error' in message)
    throw unusable('a response has `result` or `error`')
  return kind
}

/** Undefined where it is no id of a request. */
export function idOf({ id }: JsonObject): RpcId | undefined {
  return typeof id === 'string' || Number.isSafeInteger(id) ? (id as RpcId) : undefined
}

/** Whether one JSON-RPC response is an error, or a result with `isError`. */
export function isErrorMessage({ error, result }: JsonObject): boolean {
  return error !== undefined || (isObject(result) && result['isError'] === true)
}

/**
 * Some readers take `Tools` for `tools`: what they would see in its place was not looked at. Throws upstream_invalid
 * when a member of `of` is one of `keys` but for its case.
 */
export function checkSpelling(of: JsonObject, keys: readonly string[]): void {
  const names = Object.keys(of)
  for (const key of keys) {
    const wanted = fold(key)
    if (names.some((name) => name !== key && name.length === key.length && fold(name) === wanted))
      throw unusable(`\`${key}\` is spelled otherwise`)
  }
}

function fold(key: string): string {
  return key.toUpperCase().toLowerCase()
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What a server said cannot be used. */
export function unusable(why: string): GatewayError {
  return new GatewayError('upstream_invalid', `the answer of the server is not usable: ${why}`)
}
