// Owns what a server is to the rest of the PEP, whichever way it is reached. Types only.
import type { Answer } from '../answer.ts'
import type { RecordedCall } from '../record/record.ts'

export type Ended = {
  /** `failed`: no usable answer. `unknown`: the answer was cut off. */
  readonly result: 'forwarded' | 'failed' | 'unknown'
  /** HTTP status the server answered, 0 if none. */
  readonly status: number
  /** The answer was a JSON-RPC error or `isError`; false where that was not cheap to know. */
  readonly isError: boolean
  readonly bytes: number
}

export type Sending = {
  /** Aborts when the client is gone and that means cancelling. */
  readonly signal: AbortSignal | undefined
  /** Called once, when the answer is over or could not be had. */
  readonly onEnded: (ended: Ended) => void
}

export type UpstreamServer = {
  readonly id: string
  /** Sends the call and answers what the client gets. Throws GatewayError after `onEnded`. */
  readonly forward: (call: RecordedCall, sending: Sending) => Promise<Answer>
  /** Ends what belongs to this token: streams and sessions. */
  readonly revoke: (token: string) => void
  readonly stop: () => Promise<void>
}
