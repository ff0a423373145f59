// Owns what a server is to the rest of the PEP, whichever way it is reached. Types only.
import type { JsonObject } from '../../../schemas/strict-json.ts'
import type { Answer } from '../answer.ts'
import type { Passage } from '../passage/passage.ts'
import type { RecordedCall } from '../record/record.ts'

export type Ended = {
  /** `failed`: no usable answer. `unknown`: the answer was cut off. `refused`: nothing was sent. */
  readonly result: 'forwarded' | 'failed' | 'unknown' | 'refused'
  /** HTTP status the server answered, 0 if none. */
  readonly status: number
  /** The answer was a JSON-RPC error or `isError`; false where that was not cheap to know. */
  readonly isError: boolean
  readonly bytes: number
}

export type Sending = {
  /** Aborts when the client is gone and that means cancelling. */
  readonly signal: AbortSignal | undefined
  /** Called when the answer is over or could not be had; only the first time counts. */
  readonly onEnded: (ended: Ended) => void
  /** Called when the answer held the credential that the call was sent with; it was masked. */
  readonly onEchoed: () => void
  /** Every message of the server goes through this before its client may see it. */
  readonly passage: Passage
}

export type UpstreamServer = {
  readonly id: string
  /** Sends the call and answers what the client gets. Throws
   * GatewayError; without `onEnded` before that, nothing was sent. */
  readonly forward: (call: RecordedCall, sending: Sending) => Promise<Answer>
  /**
   * A connection of the PEP's own, opened with the `initialize` of `call` and its credential; for discovery. Throws
   * GatewayError.
   */
  readonly connect: (call: RecordedCall) => Promise<Connection>
  /** Ends the sessions of this grant that live here, at once and with what they run on. */
  readonly end: (grant: string) => void
  readonly stop: () => Promise<void>
}

/** Speaks to a server as a client of its own. Nothing of it reaches anybody else's client. */
export type Connection = {
  /**
   * The answer to `initialize`: its `result`, or undefined where the server refuses the handshake
   * (modern only).
   */
  readonly initialized: JsonObject | undefined
  /** Sends one request and answers its `result`. Throws on an error answer. */
  readonly request: (method: string, params: JsonObject) => Promise<JsonObject>
  readonly notify: (method: string) => Promise<void>
  readonly close: () => Promise<void>
}
