// Owns who may address this PEP at all: Host against DNS rebinding, Origin against foreign web
// pages. Never authenticates anybody.
import { LOOPBACK_HOSTS, readHost } from '../../../schemas/hosts.ts'
import { GatewayError } from '../gateway-error.ts'

export type AddressRules = {
  /**
   * `host` or `host:port`, lower case, beside loopback; a rule without a port covers every port.
   */
  readonly allowedHosts: ReadonlySet<string>
  /**
   * Whole origins (`https://console.example`), beside the loopback origins of the PEP's own port.
   */
  readonly allowedOrigins: ReadonlySet<string>
}

/** Throws foreign_host unless Host is loopback (any port: it may be forwarded) or configured. */
export function checkHost(header: string | undefined, { allowedHosts }: AddressRules): void {
  const host = readHost(header)
  if (host !== undefined) {
    if (LOOPBACK_HOSTS.has(host.name)) return
    if (allowedHosts.has(host.name) || allowedHosts.has(host.whole)) return
  }
  throw new GatewayError('foreign_host', `the Host header names ${header ?? 'nothing'}`)
}

/**
 * Throws foreign_origin when Origin is there and is neither ours nor configured. `null` is foreign.
 */
export function checkOrigin(
  origin: string | undefined,
  ownPort: number | undefined,
  rules: AddressRules,
): void {
  if (origin === undefined || rules.allowedOrigins.has(origin)) return
  const match = /^http:\/\/(127\.0\.0\.1|localhost|\[::1\]):(\d{1,5})$/.exec(origin)
  if (match !== null && ownPort !== undefined && match[2] === String(ownPort)) return
  throw new GatewayError('foreign_origin', `the Origin header names ${origin}`)
}
