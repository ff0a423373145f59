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
  if (idOf(message) === undefined && (message['id'] ?? null) !== null)
    throw unusable('`id` is none')
  const { error } = message
  if (error !== undefined && !(isObject(error) && Number.isSafeInteger(error['code'])))
    throw unusable('its error has no code')
  return kind
}

/** What a request or notification is of; empty for a message that names nothing. */
export function methodOf({ method }: JsonObject): string {
  return typeof method === 'string' ? method : ''
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

/** Levels of a message within which a key names one thing: the message itself, and its result, error or parameters. */
const KEYED_LEVELS = 2

/**
 * Of two members of one name some readers take the first. Throws upstream_invalid where `text`, which is JSON, has such
 * members in the message or in its `result`, `error` or `params`. Does NOT look deeper.
 */
export function checkOneReading(text: string): void {
  const levels: (Set<string> | undefined)[] = []
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === OPEN_OBJECT) levels.push(levels.length < KEYED_LEVELS ? new Set() : undefined)
    else if (code === OPEN_ARRAY) levels.push(undefined)
    else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) levels.pop()
    else if (code === QUOTE) {
      const end = endOfString(text, at)
      const keys = levels.at(-1)
      if (keys !== undefined && isFollowedByColon(text, end)) {
        const key = JSON.parse(text.slice(at, end)) as string
        if (keys.has(key)) throw unusable(`\`${key.slice(0, 64)}\` is named twice`)
        keys.add(key)
      }
      at = end - 1
    }
  }
}

const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY, CLOSE_ARRAY, QUOTE, BACKSLASH, COLON, SPACE] =
  Array.from('{}[]"\\: ', (character) => character.charCodeAt(0)) as [
    number, number, number, number, number, number, number, number,
  ] // biome-ignore format: a list

/** After the closing quote of the string that begins at `start`. */
export function endOfString(text: string, start: number): number {
  let end = start
  for (;;) {
    end = text.indexOf('"', end + 1)
    let escapes = 0
    while (text.charCodeAt(end - 1 - escapes) === BACKSLASH) escapes += 1
    if (escapes % 2 === 0) return end + 1
  }
}

function isFollowedByColon(text: string, from: number): boolean {
  let at = from
  while (text.charCodeAt(at) <= SPACE) at += 1
  return text.charCodeAt(at) === COLON
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
