// Owns binding a legacy session to the token and server it was opened with, without keeping any
// state. A session is not authentication: every request brings its token and is decided.
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import { GatewayError } from '../gateway-error.ts'
import { SESSION_ID_LENGTH_MAX } from '../limits.ts'

export type Sessions = {
  /**
   * What the client gets to see for the upstream's `sessionId`. Throws upstream_invalid on an id
   * outside the protocol.
   */
  readonly wrap: (token: string, server: string, sessionId: string) => string
  /**
   * The upstream's session id. Throws unknown_session unless `wrapped` was made for this token and
   * server.
   */
  readonly unwrap: (token: string, server: string, wrapped: string) => string
}

/** `pepKey` is the PEP's own key; replicas that share it share sessions. */
export function createSessions(pepKey: string): Sessions {
  const key = Buffer.from(hkdfSync('sha256', pepKey, '', 'cedargate mcp session v1', 32))
  const tag = (token: string, server: string, sessionId: string): Buffer =>
    createHmac('sha256', key).update(`${token}|${server}|${sessionId}`).digest()
  return {
    wrap(token, server, sessionId) {
      if (!/^[\x21-\x7e]+$/.test(sessionId) || sessionId.length > SESSION_ID_LENGTH_MAX) {
        throw new GatewayError(
          'upstream_invalid',
          'the session id of the server is not visible ASCII',
        )
      }
      const encoded = Buffer.from(sessionId).toString('base64url')
      return `v1.${encoded}.${tag(token, server, sessionId).toString('base64url')}`
    },
    unwrap(token, server, wrapped) {
      const [version, encoded = '', mac = '', ...rest] = wrapped.split('.')
      const sessionId = Buffer.from(encoded, 'base64url').toString()
      const given = Buffer.from(mac, 'base64url')
      const expected = tag(token, server, sessionId)
      const holds =
        version === 'v1' &&
        rest.length === 0 &&
        given.length === expected.length &&
        timingSafeEqual(given, expected)
      if (!holds)
        throw new GatewayError('unknown_session', 'the session is of another token or server')
      return sessionId
    },
  }
}
