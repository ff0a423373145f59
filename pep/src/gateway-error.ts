// Owns the one error of the PEP. It means: no call was decided, kept or answered; the code says
// why.
import type { RefusalCode } from '../../schemas/codes.ts'

/** `code` is for the peer, message and cause for our log alone. */
export class GatewayError extends Error {
  readonly code: RefusalCode

  constructor(code: RefusalCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'GatewayError'
    this.code = code
  }
}
