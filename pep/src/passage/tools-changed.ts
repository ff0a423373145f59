// Owns the gateway's own word to a client that what it may see of the tools has changed. Never says what.
import { META } from '../../../schemas/mcp.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import type { Inbound } from '../inbound/receive.ts'
import { TOOLS_CHANGED } from './notifications.ts'
import { isObject } from './server-message.ts'

/** The notification for the stream that `inbound` opened; undefined where its client did not ask for it. */
export function toolsChangedFor({ kind, method, id, params }: Inbound): JsonObject | undefined {
  const notification = { jsonrpc: '2.0', method: TOOLS_CHANGED }
  if (kind === 'stream') return notification
  const wanted = params?.['notifications']
  if (method !== 'subscriptions/listen' || !isObject(wanted) || id === undefined) return undefined
  if (wanted['toolsListChanged'] !== true) return undefined
  return { ...notification, params: { _meta: { [META.subscriptionId]: id } } }
}
