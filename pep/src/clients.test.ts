// Real clients of both eras through a PEP to real servers over stdio and HTTP.
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serve } from '@hono/node-server'
import {
  Client as ModernClient,
  StreamableHTTPClientTransport as ModernTransport,
} from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Upstream } from '../../schemas/pep-api.ts'
import {
  countingSql,
  createTestPdp,
  httpUpstream,
  type RunningTestPep,
  startTestPep,
  type TestPdp,
  testToken,
} from './testing.ts'

let folder: string
let pep: RunningTestPep
let pdp: TestPdp
let modernServer: ReturnType<typeof serve>

const READ = 'read_text_file'
const VISIBLE = { tools: ['echo', READ], resources: true, prompts: true }

function files(): Upstream {
  const command = 'mcp-server-filesystem'
  const none = { url: null, env: {}, cwd: null, writable: null }
  return { id: 'files', transport: 'stdio', command, args: [folder], ...none, instructions: 'pass' }
}

function everything(): Upstream {
  const url = 'http://127.0.0.1:${PORT}/mcp'
  const env = { PORT: '${PORT}' }
  const command = 'mcp-server-everything'
  return {
    id: 'everything',
    transport: 'http',
    url,
    command,
    args: ['streamableHttp'],
    env,
    cwd: null,
    instructions: 'withhold',
    writable: null,
  }
}

/** A server of both eras, by the SDK of the modern one. */
async function openModernServer(): Promise<Upstream> {
  const handler = createMcpHandler(() => {
    const server = new McpServer({ name: 'modern', version: '1' })
    const inputSchema = z.object({ message: z.string() })
    server.registerTool('echo', { inputSchema }, ({ message }) => ({
      content: [{ type: 'text', text: `Echo: ${message}` }],
    }))
    server.registerTool('secret', { inputSchema }, () => ({ content: [] }))
    return server
  })
  const port = await new Promise<number>((resolve) => {
    modernServer = serve(
      { fetch: (request) => handler.fetch(request), port: 0, hostname: '127.0.0.1' },
      (info) => resolve(info.port),
    )
  })
  return httpUpstream('modern', `http://127.0.0.1:${port}/mcp`)
}

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'cedargate-clients-')))
  await writeFile(join(folder, 'a.txt'), 'hello')
  pdp = createTestPdp([files(), everything(), await openModernServer()])
  pdp.reviewed = ['echo', READ].map((name) => ({ name, inputSchema: { type: 'object' } }))
  pep = await startTestPep({ pdp: pdp.port, sql: countingSql() })
}, 60_000)
afterAll(async () => {
  await pep.close()
  await new Promise((resolve) => modernServer.close(resolve))
  await rm(folder, { recursive: true })
})
beforeEach(() => {
  pdp.calls.length = 0
  pdp.rule = () => ({ allow: true, visible: VISIBLE })
})

const requestInit = { headers: { authorization: `Bearer ${testToken(1)}` } }
const urlOf = (server: string) => new URL(`${pep.url}/${server}/mcp`)

async function legacyClient(server: string): Promise<Client> {
  const client = new Client({ name: 'legacy', version: '1' })
  await client.connect(new StreamableHTTPClientTransport(urlOf(server), { requestInit }))
  return client
}

async function autoClient(server: string): Promise<ModernClient> {
  const client = new ModernClient(
    { name: 'auto', version: '1' },
    { versionNegotiation: { mode: 'auto' } },
  )
  await client.connect(new ModernTransport(urlOf(server), { requestInit }))
  return client
}

const CASES = [
  { server: 'files', tool: READ, text: 'hello', era: 'legacy' },
  { server: 'everything', tool: 'echo', text: 'Echo: hi', era: 'legacy' },
  { server: 'modern', tool: 'echo', text: 'Echo: hi', era: 'modern' },
] as const
const argumentsOf = (server: string) =>
  server === 'files' ? { path: join(folder, 'a.txt') } : { message: 'hi' }

describe.each(CASES)('$server', ({ server, tool, text, era }) => {
  test.each([
    { client: 'sdk 1', open: legacyClient, spoken: 'legacy' },
    { client: 'client 2, auto', open: autoClient, spoken: era },
  ])('$client lists what is visible, calls, and is told of a denial', async ({ open, spoken }) => {
    const client = await open(server)
    const { tools } = await client.listTools()
    expect(tools.map(({ name }) => name)).toEqual([tool])
    const called = await client.callTool({ name: tool, arguments: argumentsOf(server) })
    expect(called.content).toMatchObject([{ type: 'text', text }])
    pdp.rule = ({ method }) =>
      method === 'tools/call' ? { deny: 'forbid', text: 'no: team/slug' } : { allow: true }
    const denied = await client.callTool({ name: tool, arguments: argumentsOf(server) })
    expect(denied).toMatchObject({
      isError: true,
      content: [{ type: 'text', text: 'no: team/slug' }],
    })
    const calls = pdp.calls.filter(({ method }) => method === 'tools/call')
    expect(calls.map((call) => call.era)).toEqual([spoken, spoken])
    expect(calls.every(({ definition }) => definition !== null)).toBe(true)
    await client.close()
  })
})
