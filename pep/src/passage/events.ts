// Owns an event stream of a server on its way to the client: each event is passed by itself, in order, and goes on byte
// for byte unless the passage changed it.

import type { JsonObject } from '../../../schemas/strict-json.ts'
import { GatewayError } from '../gateway-error.ts'
import { SERVER_MESSAGE_BYTES_MAX } from '../limits.ts'
import type { AnswerMask } from '../mask/answer-mask.ts'
import { createSseReader, oneReading, type SseEvent, withData } from '../sse.ts'
import type { Passage, Passed, TellServer } from './passage.ts'
import { checkOneReading, isObject, unusable } from './server-message.ts'

export type Events = {
  /**
   * What the client gets for one chunk. Throws or rejects with GatewayError on an event that is too long or cannot be
   * used, unless another one came before it in the chunk: that one goes on, and `failure` says why no more do.
   */
  readonly push: (chunk: Buffer) => Buffer | Promise<Buffer>
  /** Why nothing may come after what `push` answered; undefined while more may. */
  readonly failure: () => Error | undefined
  /** Whether an event had an id: then a client may ask for the rest later (legacy). */
  readonly isResumable: () => boolean
}

/** `mask` sees every event before anybody reads it. */
export function passEvents(passage: Passage, tellServer: TellServer, mask?: AnswerMask): Events {
  const reader = createSseReader(SERVER_MESSAGE_BYTES_MAX)
  let isResumable = false
  let failure: Error | undefined
  /** What came before in the same chunk was good: whether it still came must not depend on how bytes were cut. */
  const failAfter = (shown: readonly Buffer[], error: unknown): Buffer => {
    if (shown.length === 0) throw error
    failure = error instanceof Error ? error : unusable('an event cannot be used')
    return Buffer.concat(shown)
  }
  const show = (came: SseEvent): Buffer | Promise<Buffer> => {
    const event = mask === undefined ? came : mask.event(came)
    isResumable ||= event.id !== undefined
    const message = messageOf(event)
    if (message === undefined) return withoutMessage(event)
    const passed = passage.pass(message, tellServer)
    if (passed instanceof Promise) return passed.then((later) => written(event, message, later))
    return written(event, message, passed)
  }
  return {
    failure: () => failure,
    isResumable: () => isResumable,
    push(chunk) {
      const events = read(() => reader.push(chunk))
      const shown: Buffer[] = []
      try {
        for (const [index, event] of events.entries()) {
          const one = show(event)
          if (one instanceof Promise) {
            const rest = finish(shown, one, events.slice(index + 1), show)
            return rest.catch((error: unknown) => failAfter(shown, error))
          }
          shown.push(one)
        }
      } catch (error) {
        return failAfter(shown, error)
      }
      const [only] = shown
      return shown.length === 1 && only !== undefined ? only : Buffer.concat(shown)
    },
  }
}

async function finish(
  shown: Buffer[],
  first: Promise<Buffer>,
  rest: readonly SseEvent[],
  show: (event: SseEvent) => Buffer | Promise<Buffer>,
): Promise<Buffer> {
  shown.push(await first)
  for (const event of rest) shown.push(await show(event))
  return Buffer.concat(shown)
}

function written(event: SseEvent, message: JsonObject, passed: Passed): Buffer {
  if (passed === null) return withData(event, undefined)
  if (passed !== message) return withData(event, JSON.stringify(passed))
  return event.hasOther ? withData(event, event.data) : event.raw
}

/** Data that is no JSON to us may be a message to a reader that is less strict, whatever its type: it does not pass. */
function withoutMessage(event: SseEvent): Buffer {
  const isLikeOne = event.data !== undefined && /[{[]/.test(event.data)
  if (isLikeOne) return withData(event, undefined)
  return event.hasOther ? withData(event, event.data) : event.raw
}

/** An event for the client of a message that is not of the server's stream. */
export function eventOf(message: JsonObject): Buffer {
  return Buffer.from(`event: message\ndata: ${oneReading(JSON.stringify(message))}\n\n`)
}

/** The message of an event; undefined for one that has none, such as a comment or a priming event. */
function messageOf({ data, type }: SseEvent): JsonObject | undefined {
  if (data === undefined || data === '') return undefined
  let message: unknown
  try {
    message = JSON.parse(data)
  } catch {
    if (type !== 'message') return undefined // Not of MCP: its clients read events of type `message` alone.
  }
  if (!isObject(message)) throw unusable('an event is not one message')
  checkOneReading(data)
  return message
}

function read(push: () => SseEvent[]): SseEvent[] {
  try {
    return push()
  } catch (cause) {
    throw new GatewayError('upstream_invalid', 'an event of the server is too long', { cause })
  }
}
