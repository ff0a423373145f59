// Owns the PEP's own connection to a child of its own, for discovery. Never carries anything of a
// client.
import type { ChildProcess } from 'node:child_process'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { GatewayError } from '../gateway-error.ts'
import type { Inbound } from '../inbound/receive.ts'
import { DISCOVERY_TIMEOUT_MS } from '../limits.ts'
import { exitOf, stopChild } from './child.ts'
import { speakLines } from './lines.ts'
import type { Connection } from './upstream.ts'

/**
 * Takes the child over: closing the connection ends it. Throws upstream_timeout,
 * upstream_unavailable, upstream_invalid.
 */
export async function connectStdio(child: ChildProcess, initialize: Inbound): Promise<Connection> {
  const asked = new Map<unknown, (message: JsonObject) => void>()
  const lines = speakLines(child, {
    onMessage(message) {
      const { id, method } = message
      if (typeof method !== 'string') asked.get(id)?.(message)
      else if (id !== undefined) lines.send(refusal(id as string | number))
    },
    onNoise: () => undefined,
    onOverflow: () => void stopChild(child),
  })
  const exchange = async (id: unknown, text: string): Promise<JsonObject | undefined> => {
    const answered = new Promise<JsonObject>((resolve) => asked.set(id, resolve))
    lines.send(text)
    const message = await within(answered, exitOf(child))
    asked.delete(id)
    const { result } = message
    return typeof result === 'object' && result !== null && !Array.isArray(result)
      ? result
      : undefined
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
      notify: async (method) => lines.send(JSON.stringify({ jsonrpc: '2.0', method })),
      close: () => stopChild(child),
    }
  } catch (error) {
    await stopChild(child)
    throw error
  }
}

/** What a server asks of its client is nobody's here. */
function refusal(id: string | number): string {
  const error = { code: -32601, message: 'this client only looks' }
  return JSON.stringify({ jsonrpc: '2.0', id, error })
}

async function within(answered: Promise<JsonObject>, gone: Promise<void>): Promise<JsonObject> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new GatewayError('upstream_timeout', 'the server gave discovery no answer')),
      DISCOVERY_TIMEOUT_MS,
    )
  })
  const ended = gone.then((): never => {
    throw new GatewayError('upstream_unavailable', 'the server ended during discovery')
  })
  return Promise.race([answered, late, ended]).finally(() => clearTimeout(timer))
}

function invalid(method: string): GatewayError {
  return new GatewayError('upstream_invalid', `the server refuses discovery its ${method}`)
}
