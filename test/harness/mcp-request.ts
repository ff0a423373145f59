// Owns spelling MCP requests of both eras as headers and bytes, and reading what a gateway said to
// them. Never repairs: a test spells each request as right or as wrong as it likes.
import { META, TASKS_EXTENSION } from '../../schemas/mcp.ts'
import type { Gateway } from './gateway.ts'
import { type Answered, type Sent, send } from './raw-http.ts'

/**
 * `headers` replace the usual ones by name, null leaves one out; `extra` come after them as they
 * are.
 */
export type Request = {
  readonly method?: string
  readonly path?: string
  readonly token?: string
  readonly headers?: Readonly<Record<string, string | null>>
  readonly extra?: readonly (readonly [string, string])[]
  readonly body?: string | Uint8Array
  /** Without `content-length`. */
  readonly chunked?: boolean
}

/** How a refusal reads, whichever form it has; all undefined on an answer of the server. */
export type Said = { readonly code?: string; readonly decisionId?: string; readonly text?: string }
export type Told = Answered & { readonly isError: boolean; readonly said: Said }

/** Sends it to `/echo/mcp` with alice's token where it does not say otherwise. */
export async function tell(gateway: Gateway, request: Request): Promise<Told> {
  return read(await send(sentOf(gateway, request)))
}

/** The same as it goes over the wire. */
export function sentOf({ port, tokens }: Gateway, request: Request): Sent {
  const { method = 'POST', path = '/echo/mcp', token = tokens.alice, body, extra = [] } = request
  const length = body === undefined || request.chunked === true ? null : Buffer.byteLength(body)
  const usual: Record<string, string | null> = {
    host: `127.0.0.1:${port}`,
    authorization: `Bearer ${token}`,
    'content-type': method === 'POST' ? 'application/json' : null,
    accept: 'application/json, text/event-stream',
    'content-length': length === null ? null : String(length),
    ...request.headers,
  }
  const named = Object.entries(usual).flatMap(([name, value]): [string, string][] => {
    return value === null ? [] : [[name, value]]
  })
  const headers = [...named, ...extra]
  return { port, method, path, headers, ...(body === undefined ? {} : { body }) }
}

type Body = {
  readonly error?: { readonly message?: string; readonly data?: Said }
  readonly result?: {
    readonly isError?: boolean
    readonly content?: readonly { readonly text?: string }[]
    readonly _meta?: { readonly [name: string]: Said }
  }
}

/** Reads a refusal out of an answer. */
export function read(answered: Answered): Told {
  const { error, result } = parse(answered.body)
  const data = error?.data ?? result?._meta?.[META.decision] ?? {}
  const text = error?.message ?? result?.content?.[0]?.text
  const said = { ...data, ...(text === undefined ? {} : { text }) }
  return { ...answered, isError: result?.isError === true, said }
}

function parse(body: string): Body {
  try {
    return JSON.parse(body) as Body
  } catch {
    return {}
  }
}

export type Params = Readonly<Record<string, unknown>>

/** A legacy request as text. */
export function legacyText(method: string, params?: Params, id: unknown = 1): string {
  return JSON.stringify({ jsonrpc: '2.0', id, method, ...(params === undefined ? {} : { params }) })
}

/** A legacy `tools/call` as text; `args` is JSON already, so that it can be spelled in any way. */
export function callText(args: string, tool = 'echo'): string {
  const params = `{"name":"${tool}","arguments":${args}}`
  return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":${params}}`
}

/** A request of the 2026-07-28 era with every header it must have, of a client that knows tasks. */
export function modern(method: string, params: Params = {}): Request & { readonly body: string } {
  const capabilities = { extensions: { [TASKS_EXTENSION]: {} } }
  const meta = { [META.protocolVersion]: '2026-07-28', [META.clientCapabilities]: capabilities }
  const name = params['name'] ?? params['uri']
  return {
    headers: {
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      ...(typeof name === 'string' ? { 'mcp-name': name } : {}),
    },
    body: legacyText(method, { ...params, _meta: meta }),
  }
}
