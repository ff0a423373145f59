// Two PEP processes behind a balancer that knows nothing of sessions: one legacy client, one real server with sessions of
// its own, and neither notices. Where there is no PostgreSQL there is nothing to share.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { CreateMessageRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { createdGrant, createdPep } from '../../schemas/admin-api.ts'
import { type Running, startCommand } from '../harness/command.ts'
import { jsonHere, runHere } from '../harness/in-process.ts'
import { firstAdmin } from '../harness/operators.ts'
import { openRoundRobin, type RoundRobin } from '../harness/round-robin.ts'
import { createTestDatabase } from '../harness/store.ts'
import { copyBundle } from './bundle-copy.ts'

const EVERYTHING = join(import.meta.dirname, '../../node_modules/.bin/mcp-server-everything')
const POLICY = `
@id("gateway/discovery")
permit (principal == MCP::Agent::"cedargate", action == MCP::Action::"connect", resource);
@id("staff/all")
permit (principal in MCP::Team::"staff", action, resource == MCP::Server::"everything");
`

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

describe.runIf(inject('postgresUrl') !== null)('two PEPs behind one address', () => {
  const running: (ChildProcess | undefined)[] = []
  let folder: string
  let bundle: string
  let balancer: RoundRobin
  let token: string
  /** What the PDP printed; it starts first. */
  let printed: (() => string) | undefined

  const start = async (words: string[], env: Record<string, string>): Promise<string> => {
    const started: Running = startCommand(words, env, folder)
    running.push(started.child)
    printed ??= started.stderr
    return vi.waitFor(
      () => {
        if (started.child.exitCode !== null) throw new Error(started.stderr())
        const line = started.stderr().split('\n').find((text) => /"the (PDP decides|PEP enforces)"/.test(text))
        return (JSON.parse(line ?? '') as { url: string }).url
      },
      { timeout: 40_000, interval: 50 },
    )
  } // biome-ignore format: long lines

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cedargate-replicas-'))
    await mkdir(join(folder, 'cwd'))
    const upstream = await freePort()
    bundle = await copyBundle()
    for (const gone of ['cedar', 'tests', 'servers/files']) await rm(join(bundle, gone), { recursive: true })
    await mkdir(join(bundle, 'cedar'))
    await writeFile(join(bundle, 'cedar/all.cedar'), POLICY)
    const file = `url: http://127.0.0.1:${upstream}/mcp\ninstructions: pass\n`
    await writeFile(join(bundle, 'servers/everything/server.yaml'), file)
    running.push(spawn(EVERYTHING, ['streamableHttp'], { env: { ...process.env, PORT: String(upstream) }, stdio: 'ignore' }))
    const databaseUrl = (await createTestDatabase()) ?? ''
    await jsonHere(['keys', 'create'], { CEDARGATE_HOME: folder })
    await runHere(['db', 'migrate'], { DATABASE_URL: databaseUrl })
    const common = { CEDARGATE_HOME: folder, DATABASE_URL: databaseUrl }
    const pdp = await start(['pdp'], {
      ...common,
      CEDARGATE_BUNDLE: bundle,
      CEDARGATE_PDP_PORT: '0',
    })
    const session = await firstAdmin(pdp, printed ?? (() => ''))
    const admin = { CEDARGATE_URL: pdp, CEDARGATE_TOKEN: session }
    const pep = async (): Promise<string> => {
      const { key } = createdPep.parse(await jsonHere(['peps', 'enroll', '--server', 'everything'], admin))
      return await start(['pep', '--pdp', pdp], { ...common, CEDARGATE_PEP_KEY: key, CEDARGATE_PEP_PORT: '0' })
    }
    balancer = await openRoundRobin(await Promise.all([pep(), pep()]))
    const words = ['grants', 'create', '--user', 'alice', '--agent', 'ci', '--team', 'staff', '--server', 'everything']
    token = createdGrant.parse(await jsonHere(words, admin)).token
  }) // biome-ignore format: long lines
  afterAll(async () => {
    await balancer.close()
    for (const child of running) child?.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
    await rm(bundle, { recursive: true, force: true })
  })

  test('a legacy client keeps its session, its streams, its progress and what the server asks of it', async () => {
    const client = new Client({ name: 'c', version: '1' }, { capabilities: { sampling: {} } })
    let asked = 0
    client.setRequestHandler(CreateMessageRequestSchema, () => {
      asked += 1
      return { model: 'm', role: 'assistant', content: { type: 'text', text: 'a word' } }
    })
    const headers = { authorization: `Bearer ${token}` }
    const transport = new StreamableHTTPClientTransport(new URL(`${balancer.url}/everything/mcp`), {
      requestInit: { headers },
    })
    await client.connect(transport)
    const own = transport.sessionId
    expect(own).toMatch(/^v2\./)
    expect((await client.listTools()).tools.length).toBeGreaterThan(5)
    for (const message of ['one', 'two', 'three', 'four']) {
      const { content } = await client.callTool({ name: 'echo', arguments: { message } })
      expect(content).toEqual([{ type: 'text', text: `Echo: ${message}` }])
    }
    const params = { prompt: 'say a word', maxTokens: 5 }
    const sampled = await client.callTool({ name: 'trigger-sampling-request', arguments: params })
    expect(JSON.stringify(sampled.content)).toContain('a word')
    expect(asked).toBe(1)
    const steps: number[] = []
    await client.callTool(
      { name: 'trigger-long-running-operation', arguments: { duration: 1, steps: 3 } },
      undefined,
      { onprogress: ({ progress }) => void steps.push(progress) },
    )
    expect(steps).toEqual([1, 2, 3])
    expect(transport.sessionId).toBe(own)
    await transport.terminateSession()
    await client.close()
    for (const count of balancer.served) expect(count).toBeGreaterThan(4)
  })
})
