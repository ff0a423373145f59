// Owns reading the message a PEP says it would forward. Pure. The PDP trusts no parse but its own.
import { type JsonObject, parseStrictJson } from '../../../schemas/strict-json.ts'

export type Message =
  | { readonly ok: true; readonly params: JsonObject | undefined }
  | { readonly ok: false; readonly detail: string }

/**
 * Reads `text` as the message of `method`. It must be byte for byte what JSON.stringify makes of it, so that what was
 * decided, what is recorded and what is forwarded cannot differ. `http:*` carries no message; `response` has no params.
 */
export function readMessage(method: string, text: string): Message {
  if (method.startsWith('http:')) {
    return text === ''
      ? { ok: true, params: undefined }
      : refuse('a stream request carries no message')
  }
  const json = parseStrictJson(text)
  if (!json.ok) return refuse(json.message)
  if (!isObject(json.value)) return refuse('the message is not an object')
  if (JSON.stringify(json.value) !== text)
    return refuse('the message is not in its re-serialised form')
  // A message that says one of our words is none.
  const expected = SAID.has(method) ? SAID.get(method) : method
  if (json.value['method'] !== expected)
    return refuse('the message is not of the method it was sent as')
  const params = json.value['params']
  if (params === undefined) return { ok: true, params: undefined }
  return isObject(params) ? { ok: true, params } : refuse('`params` is not an object')
}

/** What the message of a method of ours says: a response has none, one resource of a subscription is a part of it. */
const SAID: ReadonlyMap<string, string | undefined> = new Map([
  ['response', undefined],
  ['listen:resource', 'subscriptions/listen'],
])

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function refuse(detail: string): Message {
  return { ok: false, detail }
}
