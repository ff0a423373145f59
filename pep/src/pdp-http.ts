// Owns reaching the PDP over HTTP or a Unix socket, with the PEP's key. Never sends the key over
// plaintext to another host.
import { Pool } from 'undici'
import { LOOPBACK_HOSTS } from '../../schemas/hosts.ts'
import type { PdpPort } from './ports.ts'

/** Where the PDP is: a socket path, or the origin of an http or https URL. */
export type PdpAddress = { readonly socketPath: string } | { readonly origin: string }

/** Throws Error with the setting and the fix: plaintext is for loopback and sockets only. */
export function readPdpAddress(text: string): PdpAddress {
  if (text.startsWith('/')) return { socketPath: text }
  if (text.startsWith('unix:/')) return { socketPath: text.slice('unix:'.length) }
  if (!URL.canParse(text))
    throw new Error(`\`CEDARGATE_PDP\` is neither a URL nor a socket path: ${text}`)
  const url = new URL(text)
  if (url.protocol === 'https:') return { origin: url.origin }
  if (url.protocol === 'http:' && LOOPBACK_HOSTS.has(url.hostname)) return { origin: url.origin }
  throw new Error(
    '`CEDARGATE_PDP` must be https, a socket path, or http on loopback: a key crosses it',
  )
}

/** Opens connections as they are needed. `key` is the PEP's own. */
export function openPdp(address: PdpAddress, key: string): PdpPort {
  const options = { pipelining: 1, connections: 8, connect: { timeout: 1_000 } }
  const pool =
    'origin' in address
      ? new Pool(address.origin, options)
      : new Pool('http://localhost', {
          ...options,
          connect: { ...options.connect, socketPath: address.socketPath },
        })
  const authorization = `Bearer ${key}`
  const ask = async (
    method: 'GET' | 'POST',
    path: string,
    timeoutMs: number,
    body: string | null,
  ) => {
    const late = new AbortController()
    const timer = setTimeout(
      () => late.abort(new Error(`no answer within ${timeoutMs} ms`)),
      timeoutMs,
    )
    const headers = {
      authorization,
      'content-type': 'application/json',
      accept: 'application/json',
    }
    try {
      const response = await pool.request({ method, path, headers, body, signal: late.signal })
      return { status: response.statusCode, body: await response.body.text() }
    } finally {
      clearTimeout(timer)
    }
  }
  return {
    post: (path, body, timeoutMs) => ask('POST', path, timeoutMs, body),
    get: (path, timeoutMs) => ask('GET', path, timeoutMs, null),
    async *events(signal) {
      const headers = { authorization, accept: 'text/event-stream' }
      const response = await pool.request({
        method: 'GET',
        path: '/pep/v1/events',
        headers,
        signal,
        bodyTimeout: 0,
      })
      if (response.statusCode !== 200) {
        await response.body.dump()
        throw new Error(`the PDP answered ${response.statusCode}`)
      }
      yield* response.body as AsyncIterable<Uint8Array>
    },
    close: () => pool.destroy(),
  }
}
