// Owns the one error of the PEP. It means: no call was decided, kept or answered; the code says
// why.
import type { RefusalCode } from '../../schemas/codes.ts'
import type { JsonObject } from '../../schemas/strict-json.ts'
import type { AuthFault } from './inbound/authenticate.ts'
import type { Envelope } from './inbound/receive.ts'

export type GatewayErrorOptions = ErrorOptions & {
  /** Whose message it is about, as far as it was read. */
  readonly of?: Envelope
  /** For the peer, beside the code. */
  readonly data?: JsonObject
  /** Of `unauthenticated`: what the challenge says. */
  readonly fault?: AuthFault
  /** When to try again. */
  readonly retryAfterMs?: number
  /** HTTP status of the server, where that is what is wrong. */
  readonly upstreamStatus?: number
}

/** `code` is for the peer, message and cause for our log alone. */
export class GatewayError extends Error {
  readonly code: RefusalCode
  readonly of: Envelope | undefined
  readonly data: JsonObject
  readonly fault: AuthFault | undefined
  readonly retryAfterMs: number | undefined
  readonly upstreamStatus: number

  constructor(code: RefusalCode, message: string, options?: GatewayErrorOptions) {
    super(message, options)
    this.name = 'GatewayError'
    this.code = code
    this.of = options?.of
    this.data = options?.data ?? {}
    this.fault = options?.fault
    this.retryAfterMs = options?.retryAfterMs
    this.upstreamStatus = options?.upstreamStatus ?? 0
  }
}

/** The message alone: an error of a client library may carry what was sent, or what came. */
export function reasonOf(error: unknown): string | undefined {
  return error instanceof Error ? error.message : undefined
}
