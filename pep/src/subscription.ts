// Owns what a `subscriptions/listen` asks to be told of (specification 2026-07-28). Decides nothing.
import type { JsonObject } from '../../schemas/strict-json.ts'
import { GatewayError } from './gateway-error.ts'
import type { Inbound } from './inbound/receive.ts'
import { SUBSCRIBED_TASKS_MAX, SUBSCRIBED_URIS_MAX } from './limits.ts'

type Listening = Pick<Inbound, 'method' | 'params'>

/**
 * The resources it names, each once. Throws not_a_message on what is no list of URIs, too_many_requests beyond
 * SUBSCRIBED_URIS_MAX.
 */
export function subscribedUris(listening: Listening): readonly string[] {
  return namedIn(listening, 'resourceSubscriptions', SUBSCRIBED_URIS_MAX)
}

/**
 * The tasks it names, each once: by the ids that stand there, the client's until they are opened. Throws not_a_message
 * on what is no list of ids, too_many_requests beyond SUBSCRIBED_TASKS_MAX.
 */
export function subscribedTasks(listening: Listening): readonly string[] {
  return namedIn(listening, 'taskIds', SUBSCRIBED_TASKS_MAX)
}

function namedIn({ method, params }: Listening, key: string, max: number): readonly string[] {
  if (method !== 'subscriptions/listen') return []
  const wanted = params?.['notifications']
  if (!isObject(wanted)) return []
  const names = wanted[key] ?? []
  if (!Array.isArray(names) || !names.every((name) => typeof name === 'string'))
    throw new GatewayError('not_a_message', `\`${key}\` is not a list of names`)
  if (names.length > max)
    throw new GatewayError('too_many_requests', `more than ${max} \`${key}\` in one subscription`)
  return [...new Set(names)]
}

/** The question whether its caller may subscribe to one of them. */
export function subscribing(inbound: Inbound, requestId: string, uri: string): Inbound {
  const params = { uri }
  const { id = null, method } = inbound
  const text = JSON.stringify({ jsonrpc: '2.0', id, method, params })
  return { ...inbound, requestId, method: 'listen:resource', params, text }
}

/** The subscription to these resources and no others. */
export function subscribedTo(inbound: Inbound, uris: readonly string[]): Inbound {
  const message = JSON.parse(inbound.text) as JsonObject
  const wanted = inbound.params?.['notifications']
  const notifications = { ...(isObject(wanted) ? wanted : {}), resourceSubscriptions: [...uris] }
  const params = { ...inbound.params, notifications }
  return { ...inbound, params, text: JSON.stringify({ ...message, params }) }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
