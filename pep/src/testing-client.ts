// Owns the client that tests of the PEP speak as: tokens, messages of both eras, one exchange. Never
// part of a running gateway.
import { hash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { request as ask } from 'undici'
import { formatToken } from '../../schemas/identifiers.ts'
import { META } from '../../schemas/mcp.ts'

/** A token no PDP knows: the test PDP takes any that is spelled well. */
export function testToken(seed: number): string {
  return formatToken('grant', new Uint8Array(32).fill(seed), (text) => hash('sha256', text))
}

export function digestOf(token: string): string {
  return hash('sha256', token)
}

/** The grant that the test PDP has for a gateway token. */
export function grantOf(token: string): string {
  return grantOfDigest(digestOf(token))
}

/** The same by the digest of the token. */
export function grantOfDigest(digest: string): string {
  return digest.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-4$3-8$4-$5')
}

/** A JWT that nobody signed: the test PDP takes any. `exp` is in seconds since 1970. */
export function testJwt(claims: { readonly sub: string; readonly exp?: number }): string {
  const parts = [{ alg: 'ES256', typ: 'at+jwt' }, claims].map((part) => {
    return Buffer.from(JSON.stringify(part)).toString('base64url')
  })
  return [...parts, 'c2lnbmF0dXJl'].join('.')
}

/** The grant that the test PDP has for the subject of a JWT. */
export function grantOfJwt(jwt: string): string {
  const claims = Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString()
  return grantOf((JSON.parse(claims) as { sub: string }).sub)
}

export type Posted = {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly text: string
  readonly json: Rpc
}
export type Rpc = {
  readonly id?: unknown
  readonly result?: Record<string, unknown>
  readonly error?: { code: number; message: string; data: Record<string, unknown> }
}

/**
 * One message of a well-behaved client, answered whole; of an event stream, `json` is its last
 * event.
 */
export async function post(
  url: string,
  message: object,
  headers: Record<string, string> = {},
): Promise<Posted> {
  const response = await ask(url, {
    method: 'POST',
    headers: { ...clientHeaders(), ...headers },
    body: JSON.stringify({ jsonrpc: '2.0', ...message }),
  })
  const text = await response.body.text()
  const data = text.startsWith('{')
    ? text
    : (text
        .match(/^data: (.+)$/gm)
        ?.at(-1)
        ?.slice(6) ?? '{}')
  const json = JSON.parse(data) as Rpc
  return { status: response.statusCode, headers: response.headers, text, json }
}

export function clientHeaders(token: string = testToken(1)): Record<string, string> {
  return {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
  }
}

export function toolCall(name = 'echo', args: object = {}, id: string | number = 1): object {
  return { id, method: 'tools/call', params: { name, arguments: args } }
}

/** The same as a client of the modern era sends it: `_meta` and the headers that repeat it. */
export function modern(message: object): { message: object; headers: Record<string, string> } {
  const { method, params } = message as { method: string; params?: Record<string, unknown> }
  const name = params?.['name'] ?? params?.['uri']
  const meta = { [META.protocolVersion]: '2026-07-28', [META.clientCapabilities]: {} }
  return {
    message: {
      ...message,
      params: { ...params, _meta: { ...meta, ...Object(params?.['_meta']) } },
    },
    headers: {
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      ...(typeof name === 'string' ? { 'mcp-name': name } : {}),
    },
  }
}

/** Waits until `check` holds. Throws after 5 s. */
export async function until(check: () => boolean): Promise<void> {
  for (const start = performance.now(); !check(); await sleep(10)) {
    if (performance.now() - start > 5_000) throw new Error('it did not come to be within 5 s')
  }
}
