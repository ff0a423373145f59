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
  readonly listTools: () => Promise<string[]>
  readonly call: (tool: string, args?: Record<string, unknown>) => Promise<Called>
  readonly close: () => Promise<void>
}

export type Line = 'sdk-1.32' | 'client-2.4'
export const LINES: readonly Line[] = ['sdk-1.32', 'client-2.4']

type Target = { readonly pepUrl: string; readonly server: string; readonly token: string }

/** Connects a client of that line. Rejects when the gateway or the server does not let it. */
export function connectClient(line: Line, { pepUrl, server, token }: Target): Promise<TestClient> {
  const url = new URL(`${pepUrl}/${server}/mcp`)
  const requestInit = { headers: { authorization: `Bearer ${token}` } }
  return line === 'sdk-1.32' ? connectLegacy(url, requestInit) : connectModern(url, requestInit)
}

async function connectLegacy(url: URL, requestInit: RequestInit): Promise<TestClient> {
  const client = new LegacyClient({ name: 'test-legacy', version: '1' })
  await client.connect(new LegacyTransport(url, { requestInit }))
  return {
    listTools: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: async (name, args = {}) => called(await client.callTool({ name, arguments: args })),
    close: () => client.close(),
  }
}

/** Asks for the 2026-07-28 era first and falls back by itself, as its users do. */
async function connectModern(url: URL, requestInit: RequestInit): Promise<TestClient> {
  const client = new ModernClient(
    { name: 'test-modern', version: '1' },
    { versionNegotiation: { mode: 'auto' } },
  )
  await client.connect(new ModernTransport(url, { requestInit }))
  return {
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
