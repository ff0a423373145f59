// Owns saying why a token is good for nothing. Never holds the token, nor any part that could be used.
import type { TokenFault } from '../../../schemas/pep-api.ts'

/** `fault` is what its holder may know; the message is for our log. */
export class TokenError extends Error {
  readonly fault: TokenFault

  constructor(fault: TokenFault, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'TokenError'
    this.fault = fault
  }
}
