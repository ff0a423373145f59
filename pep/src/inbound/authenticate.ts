// Owns turning the Authorization header into the digest that names a token. The token goes no
// further than here. Does NOT say that the token is known, unexpired or unrevoked: the PDP does,
// for every call.
import { hash } from 'node:crypto'
import { isWellFormedToken } from '../../../schemas/identifiers.ts'
import { GatewayError } from '../gateway-error.ts'

/**
 * Lower-case hex SHA-256 of the gateway token. Throws unauthenticated unless there is exactly one
 * well-formed `Bearer` token in the header. Does NOT see a second header (receive.ts refuses that).
 */
export function authenticate(authorization: string | undefined): string {
  const token = /^bearer +([\w-]+)$/i.exec(authorization ?? '')?.[1]
  if (token === undefined || !isWellFormedToken('grant', token, sha256)) {
    throw new GatewayError('unauthenticated', 'no well-formed gateway token came with the request')
  }
  return sha256(token)
}

function sha256(text: string): string {
  return hash('sha256', text)
}
