// Owns the PEP's own connection to a server over a channel of its own, for discovery. Never carries anything of a
// client.
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { GatewayError } from '../gateway-error.ts'
import { DISCOVERY_TIMEOUT_MS } from '../limits.ts'
import { isObject } from '../passage/server-message.ts'
import type { Opened } from '../record/record.ts'
import type { Channel, OpenChannel } from './channel.ts'
import type { Connection } from './upstream.ts'

/**
 * Opens a channel, with its credential; closing the connection closes it. `onEchoed`: a message held that; it was masked.
 * Throws upstream_timeout, upstream_unavailable, upstream_invalid.
 */
export async function connectChannel(
  open: OpenChannel,
  { inbound: initialize, credential }: Opened,
  onEchoed: () => void,
): Promise<Connection> {
  const asked = new Map<unknown, (message: JsonObject) => void>()
  let refuse: ((id: string | number) => void) | undefined
  const channel = await open({
    caller: initialize.grant,
    credential,
    onMessage(message, isMasked) {
      if (isMasked) onEchoed()
      const { id, method } = message
      if (typeof method !== 'string') asked.get(id)?.(message)
      else if (id !== undefined) refuse?.(id as string | number)
    },
  })
  // Nothing a server asks before it was greeted needs an answer.
  refuse = (id) => void channel.send(refusal(id)).catch(() => undefined) // It is gone then.
  const exchange = async (id: unknown, text: string): Promise<JsonObject | undefined> => {
    const answered = new Promise<JsonObject>((resolve) => asked.set(id, resolve))
    try {
      const { result } = await answerOn(channel, text, answered, DISCOVERY_TIMEOUT_MS)
      return isObject(result) ? result : undefined
    } finally {
      asked.delete(id)
    }
  }
  let lastId = 0
  try {
    const initialized = await exchange(initialize.id, initialize.text)
    if (initialized === undefined) throw invalid('initialize')
    return {
      initialized,
      async request(method, params) {
        lastId += 1
        const id = `cedargate-${lastId}`
        const result = await exchange(id, JSON.stringify({ jsonrpc: '2.0', id, method, params }))
        if (result === undefined) throw invalid(method)
        return result
      },
      notify: (method) => channel.send(JSON.stringify({ jsonrpc: '2.0', method })),
      close: channel.close,
    }
  } catch (error) {
    await channel.close()
    throw error
  }
}

/**
 * Sends `text` and resolves with what `answered` does. Throws upstream_timeout after `timeoutMs`, upstream_unavailable
 * when the channel is gone first, or what sending throws.
 */
export async function answerOn(
  channel: Channel,
  text: string,
  answered: Promise<JsonObject>,
  timeoutMs: number,
): Promise<JsonObject> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const message = `the server gave no answer within ${timeoutMs} ms`
    timer = setTimeout(() => reject(new GatewayError('upstream_timeout', message)), timeoutMs)
  })
  const ended = channel.gone.then((why): never => {
    throw new GatewayError('upstream_unavailable', `the server gave no answer: ${why}`)
  })
  const failed = channel.send(text).then(() => new Promise<never>(() => undefined))
  return Promise.race([answered, late, ended, failed]).finally(() => clearTimeout(timer))
}

/** What a server asks of its client is nobody's here. */
function refusal(id: string | number): string {
  const error = { code: -32601, message: 'this client only looks' }
  return JSON.stringify({ jsonrpc: '2.0', id, error })
}

function invalid(method: string): GatewayError {
  return new GatewayError('upstream_invalid', `the server refuses discovery its ${method}`)
}
