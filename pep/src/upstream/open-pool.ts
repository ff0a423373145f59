// Owns the connections to a server over HTTP: how many, how long they are waited for, and that they lead to addresses that
// the bundle permits. Opens none before it is needed.
import { Pool } from 'undici'
import { type DialRules, guardedLookup, urlRefusal } from '../../../schemas/dial.ts'
import { UPSTREAM_CONNECT_TIMEOUT_MS, UPSTREAM_HEADERS_TIMEOUT_MS } from '../limits.ts'

/** Where a server is. `url` is absolute, http or https. */
export type HttpTarget = { readonly url: URL; readonly rules: DialRules }

/** Of a target that is refused every request fails with DialRefused. */
export function openPool({ url, rules }: HttpTarget, connections: number): Pool {
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
