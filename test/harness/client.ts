// Owns real MCP clients of both SDK lines, pointed at a gateway with a person's token. Decides and checks nothing.
import {
  Client as ModernClient,
  StreamableHTTPClientTransport as ModernTransport,
} from '@modelcontextprotocol/client'
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { META } from '../../schemas/mcp.ts'

export type Called = {
  readonly isError: boolean
  readonly text: string
  /** What the gateway says of a refusal; undefined on an answer of the server. */
  readonly refusal:
    | { readonly decisionId: string; readonly code: string; readonly policies: readonly string[] }
    | undefined
}

/** The little that both clients can do and tests need. */
export type TestClient = {
  /** The revision that both sides agreed on. */
  readonly revision: string | undefined
  readonly listTools: () => Promise<string[]>
  readonly call: (tool: string, args?: Record<string, unknown>) => Promise<Called>
  readonly close: () => Promise<void>
}

/** `client-2.4` asks for the 2026-07-28 era and falls back by itself, as its users do; `client-2.4-pinned` does not fall back. */
export type Line = 'sdk-1.32' | 'client-2.4' | 'client-2.4-pinned'

type Target = { readonly pepUrl: string; readonly server: string; readonly token: string }

/** Connects a client of that line. Rejects when the gateway or the server does not let it. */
export function connectClient(line: Line, { pepUrl, server, token }: Target): Promise<TestClient> {
  const url = new URL(`${pepUrl}/${server}/mcp`)
  const requestInit = { headers: { authorization: `Bearer ${token}` } }
  if (line === 'sdk-1.32') return connectLegacy(url, requestInit)
  return connectModern(url, requestInit, line === 'client-2.4' ? 'auto' : { pin: '2026-07-28' })
}

async function connectLegacy(url: URL, requestInit: RequestInit): Promise<TestClient> {
  const client = new LegacyClient({ name: 'test-legacy', version: '1' })
  const transport = new LegacyTransport(url, { requestInit })
  await client.connect(transport)
  return {
    revision: transport.protocolVersion,
    listTools: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: async (name, args = {}) => called(await client.callTool({ name, arguments: args })),
    close: () => client.close(),
  }
}

async function connectModern(
  url: URL,
  requestInit: RequestInit,
  mode: 'auto' | { readonly pin: string },
): Promise<TestClient> {
  const client = new ModernClient(
    { name: 'test-modern', version: '1' },
    { versionNegotiation: { mode } },
  )
  await client.connect(new ModernTransport(url, { requestInit }))
  return {
    revision: client.getNegotiatedProtocolVersion(),
    listTools: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: async (name, args = {}) => called(await client.callTool({ name, arguments: args })),
    close: () => client.close(),
  }
}

function called(result: { isError?: unknown; content?: unknown; _meta?: unknown }): Called {
  const [first] = (Array.isArray(result.content) ? result.content : []) as { text?: string }[]
  const meta = (result._meta ?? {}) as Record<string, Called['refusal']>
  return { isError: result.isError === true, text: first?.text ?? '', refusal: meta[META.decision] }
}
