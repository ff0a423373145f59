// Owns where a server's OAuth may lead in a private network: to what the bundle itself names, and nowhere else. Pure.
import { privateOrigins, urlRefusal } from '../../../../schemas/dial.ts'
import type { OauthTarget } from './discover.ts'
import { OauthError } from './oauth-error.ts'

/** What a server or its metadata names is never among them by itself. */
export function statedOrigins({ serverUrl, declaration, ...target }: OauthTarget): string[] {
  return [
    ...privateOrigins([serverUrl], target.private),
    ...privateOrigins([declaration.issuer], declaration.private),
  ]
}

/** Whether a log and a terminal may be given it: visible ASCII, of bounded length. `URL` itself drops what is not. */
export function isPlain(url: string): boolean {
  return /^[\x21-\x7e]{1,512}$/.test(url)
}

const SETTING = '`private: true` beside the setting that names it'

/**
 * Throws OauthError for what would not be dialled, as far as it shows in the URL: asked also of what only a browser is sent
 * to. `what` it is.
 */
export function assertSafe(url: string, origins: readonly string[], what: string): void {
  const read = isPlain(url) ? URL.parse(url) : null
  if (read === null) throw new OauthError(`${what} is no plain URL`)
  const mayBePrivate = origins.includes(read.origin)
  const refused = urlRefusal(read, { mayBePrivate, setting: SETTING })
  if (refused !== undefined) throw new OauthError(`${what} may not be used: ${refused.why}`)
}
