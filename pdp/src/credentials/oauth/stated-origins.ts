// Owns where a server's OAuth may lead in a private network: to what the bundle itself names, and nowhere else. Pure.
import { isIP } from 'node:net'
import { LOOPBACK_HOSTS } from '../../../../schemas/hosts.ts'
import type { OauthTarget } from './discover.ts'
import { OauthError } from './oauth-error.ts'

/**
 * Origins that the bundle wrote down and that may be private: with `private: true`, or because an address stands there.
 * What a server or its metadata names is never among them by itself.
 */
export function statedOrigins({ serverUrl, declaration, ...target }: OauthTarget): string[] {
  const { issuer } = declaration
  return [
    ...(target.private || isAddress(serverUrl) ? [new URL(serverUrl).origin] : []),
    ...(issuer !== undefined && (declaration.private || isAddress(issuer))
      ? [new URL(issuer).origin]
      : []),
  ]
}

/** Throws OauthError unless it is https, or an origin that the bundle states; `what` it is. */
export function assertSafe(url: string, origins: readonly string[], what: string): void {
  const read = URL.parse(url)
  const isSafe =
    read !== null &&
    read.username === '' &&
    read.password === '' &&
    (read.protocol === 'https:' || (read.protocol === 'http:' && origins.includes(read.origin)))
  if (!isSafe) throw new OauthError(`${what} is no https URL`)
}

function isAddress(url: string): boolean {
  const { hostname } = new URL(url)
  return LOOPBACK_HOSTS.has(hostname) || isIP(hostname.replace(/^\[|\]$/g, '')) !== 0
}
