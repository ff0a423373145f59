// Owns the connections to a server over HTTP: how many, how long they are waited for, and that they lead to addresses that
// the bundle permits. Opens none before it is needed.
import { Pool } from 'undici'
import { guardedLookup, type Lookup, urlRefusal } from '../../../schemas/dial.ts'
import { UPSTREAM_CONNECT_TIMEOUT_MS, UPSTREAM_HEADERS_TIMEOUT_MS } from '../limits.ts'

/** Where a server is. `url` is absolute, http or https. */
export type HttpTarget = { readonly url: URL; readonly mayBePrivate: boolean }

/** How names are resolved; default `dns.lookup`. */
export type LookupPort = { readonly lookup?: Lookup | undefined }

const SETTING = '`private: true` in its server.yaml'

/** Of a target that is refused every request fails with DialRefused. */
export function openPool(
  { url, mayBePrivate }: HttpTarget,
  connections: number,
  { lookup }: LookupPort,
): Pool {
  const rules = { mayBePrivate, setting: SETTING, lookup }
  const refused = urlRefusal(url, rules)
  return new Pool(url.origin, {
    connections,
    pipelining: 1,
    connect:
      refused === undefined
        ? { lookup: guardedLookup(rules), timeout: UPSTREAM_CONNECT_TIMEOUT_MS }
        : (_options, callback) => callback(refused, null),
    headersTimeout: UPSTREAM_HEADERS_TIMEOUT_MS,
  })
}
