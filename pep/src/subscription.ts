// Owns what a `subscriptions/listen` asks to be told of (specification 2026-07-28). Decides nothing.
import type { JsonObject } from '../../schemas/strict-json.ts'
import { GatewayError } from './gateway-error.ts'
import type { Inbound } from './inbound/receive.ts'
import { SUBSCRIBED_URIS_MAX } from './limits.ts'

/** The resources it names, each once. Throws not_a_message on what is no list of URIs, or beyond SUBSCRIBED_URIS_MAX. */
export function subscribedUris({ method, params }: Inbound): readonly string[] {
  if (method !== 'subscriptions/listen') return []
  const wanted = params?.['notifications']
  if (!isObject(wanted)) return []
  const { resourceSubscriptions: uris = [] } = wanted
  if (!Array.isArray(uris) || !uris.every((uri) => typeof uri === 'string'))
    throw new GatewayError('not_a_message', '`resourceSubscriptions` is not a list of URIs')
  if (uris.length > SUBSCRIBED_URIS_MAX) {
    const message = `more than ${SUBSCRIBED_URIS_MAX} resources in one subscription`
    throw new GatewayError('too_many_requests', message)
  }
  return [...new Set(uris)]
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
