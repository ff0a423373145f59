// Owns hearing from the PDP what changed: revoked tokens, a new bundle. Reconnects for ever, ever
// more slowly. No promise rests on an event arriving; while none can, what lasts is closed
// (streams.ts).
import { setTimeout as sleep } from 'node:timers/promises'
import { type PepEvent, pepEvent } from '../../schemas/pep-api.ts'
import { EVENTS_BACKOFF_MS_MAX, EVENTS_BACKOFF_MS_MIN, EVENTS_SILENCE_MS_MAX } from './limits.ts'
import type { Log, PdpPort } from './ports.ts'
import { createSseReader } from './sse.ts'

export type FollowPorts = {
  readonly pdp: PdpPort
  readonly log: Log
  readonly onEvent: (event: PepEvent) => void
  /** Whether events are heard now; after a gap the bundle may be another too. */
  readonly onHearing: (heard: boolean) => void
}

const EVENT_BYTES_MAX = 64 * 1024

/** Follows until `signal` aborts; resolves then. */
export async function follow(ports: FollowPorts, signal: AbortSignal): Promise<void> {
  for (let backoff = EVENTS_BACKOFF_MS_MIN; !signal.aborted; ) {
    const heard = await followOnce(ports, signal)
    if (signal.aborted) return
    backoff = heard ? EVENTS_BACKOFF_MS_MIN : Math.min(backoff * 2, EVENTS_BACKOFF_MS_MAX)
    await sleep(backoff, undefined, { signal }).catch(() => undefined)
  }
}

/** One connection, to its end. Answers whether anything was heard on it. */
async function followOnce(
  { pdp, log, onEvent, onHearing }: FollowPorts,
  signal: AbortSignal,
): Promise<boolean> {
  const silence = new AbortController()
  const restart = () => setTimeout(() => silence.abort(), EVENTS_SILENCE_MS_MAX)
  let timer = restart()
  let heard = false
  const reader = createSseReader(EVENT_BYTES_MAX)
  try {
    for await (const chunk of pdp.events(AbortSignal.any([signal, silence.signal]))) {
      if (!heard) onHearing(true)
      heard = true
      clearTimeout(timer)
      timer = restart()
      for (const { data } of reader.push(chunk)) if (data !== undefined) read(data, onEvent, log)
    }
  } catch (error) {
    if (!signal.aborted) log.warn({ err: error }, 'events of the PDP cannot be heard')
  } finally {
    clearTimeout(timer)
    if (heard) onHearing(false)
  }
  return heard
}

function read(data: string, onEvent: (event: PepEvent) => void, log: Log): void {
  try {
    onEvent(pepEvent.parse(JSON.parse(data)))
  } catch (error) {
    log.warn({ err: error }, 'an event of the PDP is none that this PEP knows')
  }
}
