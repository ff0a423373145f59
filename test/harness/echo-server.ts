// Owns an MCP server for tests that gives away what it is sent: every header of a request comes back in the way that the
// called tool is named for. Plain node:http behind any path; what reached it is kept.
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { answerJson, messageOf, type Reached } from './upstream.ts'

export type EchoServer = {
  /** Origin; each path is a server of its own. */
  readonly url: string
  /** What the path was sent, names and values of headers. */
  readonly got: (path: string) => string
  /** Whether what it sends back is held back at the end, so that calls stay in the air. */
  isHanging: boolean
  readonly close: () => Promise<void>
}

type Shown = {
  readonly id: unknown
  readonly headers: Readonly<Record<string, string>>
  /** Values alone, each on its own. */
  readonly values: readonly string[]
  readonly response: ServerResponse
  readonly server: { readonly isHanging: boolean }
}

/** By the name of the tool. */
export const ECHOES: Readonly<Record<string, (shown: Shown) => unknown>> = {
  plain: ({ id, response }) => answerJson(response, { jsonrpc: '2.0', id, result: text('fine') }),
  result: ({ id, response, headers, values }) => {
    const named = Object.fromEntries(values.map((value) => [value, value]))
    const result = { ...text(JSON.stringify(headers)), structuredContent: { headers, named } }
    answerJson(response, { jsonrpc: '2.0', id, result })
  },
  coded: ({ id, response, values }) => answerJson(response, { jsonrpc: '2.0', id, result: { content: coded(values).map((one) => ({ type: 'text', text: one })) } }),
  escaped: ({ id, response, values }) => {
    const strange = JSON.stringify(values.join(' ')).replaceAll(/[a-z0-9]/g, (one) => `\\u00${one.charCodeAt(0).toString(16)}`)
    json(response, 200, `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":{"content":[{"type":"text","text":${strange.replaceAll('\\\\u', '\\u')}}]}}`)
  },
  error: ({ id, response, headers, values }) =>
    answerJson(response, { jsonrpc: '2.0', id, error: { code: -32_000, message: `no: ${values.join(' ')}`, data: { headers } } }),
  status: ({ response, headers }) => response.writeHead(500, { 'content-type': 'application/json', ...shownHeaders(headers) }).end(JSON.stringify(headers)),
  unauthorized: ({ response, headers, values }) =>
    response.writeHead(401, { 'www-authenticate': `Bearer error="invalid_token", error_description="${values.map(encodeURIComponent).join(' ')}"`, 'content-type': 'text/plain' }).end(JSON.stringify(headers)),
  redirect: ({ response, values }) => response.writeHead(307, { location: `/elsewhere?${values.map(encodeURIComponent).join('&')}` }).end(values.join(' ')),
  page: ({ response, headers }) => response.writeHead(200, { 'content-type': 'text/html' }).end(`<pre>${JSON.stringify(headers)}</pre>`),
  heading: ({ id, response, headers }) => answerJson(response, { jsonrpc: '2.0', id, result: text('see my headers') }, shownHeaders(headers)),
  zipped: ({ id, response, values }) =>
    response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end(gzipSync(JSON.stringify({ jsonrpc: '2.0', id, result: text(values.join(' ')) }))),
  garbled: ({ response, headers }) => json(response, 200, `{"jsonrpc":"2.0",${JSON.stringify(headers)}`),
  stream: async ({ id, response, headers, values }) => {
    const progress = { jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 1, progress: 1, message: values.join(' ') } }
    const log = { jsonrpc: '2.0', method: 'notifications/message', params: { level: 'error', data: headers } }
    const parts = [`: ${values.join(' ')}\n\n`, `event: message\nx-${values[0]}: 1\n`, `data: ${JSON.stringify(progress)}\n\n`, `data: ${JSON.stringify(log)}\n\n`, `data: ${JSON.stringify({ jsonrpc: '2.0', id, result: text(JSON.stringify(headers)) })}\n\n`]
    await trickle(response, parts.join(''))
  },
  marked: async ({ id, response, values }) => trickle(response, `id: ${values.join(' ')}\ndata: ${JSON.stringify({ jsonrpc: '2.0', id, result: text('fine') })}\n\n`),
  cut: async ({ response, headers }) => {
    await trickle(response, `data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":${JSON.stringify(headers)}`, false)
    response.destroy()
  },
  crash: async ({ response, headers }) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100000' })
    response.write(`{"jsonrpc":"2.0","result":${JSON.stringify(headers)}`)
    await sleep(30)
    response.destroy()
  },
  hang: async ({ response, headers, server }) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(`data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":${JSON.stringify(headers)}}}\n\ndata: ${JSON.stringify(headers)}`)
    while (server.isHanging) await sleep(20)
    response.destroy()
  },
  denied: ({ response, headers }) => json(response, 200, JSON.stringify(headers)),
} // biome-ignore format: a table

/** Listens on a free loopback port. */
export async function startEchoServer(): Promise<EchoServer> {
  const got = new Map<string, string>()
  const server = createServer((incoming, response) => {
    const { method = '', headers, rawHeaders, url = '/' } = incoming
    got.set(url, `${got.get(url) ?? ''}\n${rawHeaders.join('\n')}`)
    incoming.toArray().then((chunks: Buffer[]) => {
      const body = Buffer.concat(chunks).toString()
      answer(it, { method, headers, rawHeaders, body }, response)
    }, () => response.destroy())
  }) // biome-ignore format: short
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const it: EchoServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    got: (path) => got.get(path) ?? '',
    isHanging: true,
    close: async () => {
      it.isHanging = false
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return it
}

function answer(server: EchoServer, reached: Reached, response: ServerResponse): void {
  const { id, method, params } = messageOf(reached)
  const headers = reached.headers as Record<string, string>
  const values = valuesOf(headers)
  if (id === undefined) {
    response.writeHead(reached.method === 'POST' ? 202 : 405).end(JSON.stringify(headers))
  } else if (method === 'tools/call') {
    const echo = ECHOES[String(params?.['name'])] ?? ECHOES['error']
    echo?.({ id, headers, values, response, server })
  } else {
    answerJson(response, { jsonrpc: '2.0', id, result: resultOf(method, values) }, sessionOf(method, params, values)) // biome-ignore format: long
  }
}

/** What a client could not have sent: all but what frames the message. */
function valuesOf(headers: Readonly<Record<string, string>>): string[] {
  const all = Object.entries(headers).filter(([name]) => /^(authorization|x-)/.test(name))
  return all.flatMap(([, value]) => [value, ...(/^(?:Bearer|Basic) (.+)$/.exec(value)?.slice(1) ?? [])]) // biome-ignore format: long
}

function resultOf(method: string | undefined, values: readonly string[]): object {
  const said = values.join(' ')
  if (method === 'tools/list') {
    const plain = Object.keys(ECHOES).map((name) => ({ name, inputSchema: { type: 'object' } }))
    const schema = { type: 'object', properties: { key: { default: said } } }
    return { tools: [...plain, { name: 'described', description: said, inputSchema: schema }] }
  }
  if (method !== 'initialize') return {}
  const serverInfo = { name: said || 'echo', version: '1' }
  return { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo, instructions: said } // biome-ignore format: long
}

/** Who calls itself `session` gets a session that is named for the secret. */
function sessionOf(
  method: string | undefined,
  params: Readonly<Record<string, unknown>> | undefined,
  values: readonly string[],
): Record<string, string> {
  if (method !== 'initialize') return {}
  const { name } = (params?.['clientInfo'] ?? {}) as { readonly name?: string }
  return { 'mcp-session-id': name === 'session' ? encodeURIComponent(values.join()) : 'one' }
}

function shownHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  const shown = valuesOf(headers).map((value, at): [string, string] => [`x-shown-${at}`, value])
  return { ...Object.fromEntries(shown), 'retry-after': shown[0]?.[1] ?? '1', 'set-cookie': `key=${encodeURIComponent(shown[0]?.[1] ?? '')}` } // biome-ignore format: long
}

/** In base64 behind and before other bytes, in hexadecimal, as part of an address. */
function coded(values: readonly string[]): string[] {
  return values.flatMap((value) => [
    ...['', 'x', 'xy'].flatMap((before) => {
      const bytes = Buffer.from(`${before}${value}z`)
      return [bytes.toString('base64'), bytes.toString('base64url')]
    }),
    Buffer.from(value).toString('hex'),
    Buffer.from(value).toString('hex').toUpperCase(),
    encodeURIComponent(value),
    new URLSearchParams({ value }).toString(),
  ])
}

/** An event stream in pieces of a few bytes, which no secret fits in. */
async function trickle(response: ServerResponse, events: string, isWhole = true): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const bytes = Buffer.from(events)
  const size = Math.max(5, Math.ceil(bytes.length / 60))
  for (let at = 0; at < bytes.length; at += size) {
    response.write(bytes.subarray(at, at + size))
    await sleep(1)
  }
  if (isWhole) response.end()
}

function json(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(body)
}

function text(said: string): object {
  return { content: [{ type: 'text', text: said }] }
}
