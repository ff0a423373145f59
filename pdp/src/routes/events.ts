// Owns the open answer that a PEP hears changes on: server-sent events, until either side ends it.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from 'hono'
import { streamSSE } from 'hono/streaming'
import type { PepEvent } from '../../../schemas/pep-api.ts'
import type { Events } from '../events.ts'
import type { PdpEnv } from './roles.ts'

const KEEP_ALIVE_MS = 15_000

/** Nothing is begun while it is not known what was revoked: the PEP would believe that nothing was. */
export function eventsHandler(events: Pick<Events, 'ready' | 'subscribe'>) {
  return async function hear(c: Context<PdpEnv>): Promise<Response> {
    await events.ready()
    return streamSSE(c, async (stream) => {
      const ended = new AbortController()
      stream.onAbort(() => ended.abort())
      const subscriber = {
        onEvent: (event: PepEvent) => {
          void stream.writeSSE({ event: event.kind, data: JSON.stringify(event) })
        },
        onEnd: () => ended.abort(),
      }
      await events.subscribe(subscriber, ended.signal)
      while (!ended.signal.aborted) {
        await stream.write(': still here\n\n')
        await pause(KEEP_ALIVE_MS, ended.signal)
      }
    })
  }
}

/** Until then or until the signal aborts; keeps no process alive. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return sleep(ms, undefined, { signal, ref: false }).catch(() => undefined)
}
