import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  countingSql,
  createTestPdp,
  type RunningTestPep,
  startTestPep,
  type TestPdp,
  testToken,
} from './testing.ts'

let pep: RunningTestPep
let pdp: TestPdp
const sql = countingSql()
const folder = mkdtempSync(join(tmpdir(), 'cedargate-files-'))
writeFileSync(join(folder, 'a.txt'), 'hello')

beforeAll(async () => {
  pdp = createTestPdp([
    {
      id: 'files',
      transport: 'stdio',
      url: null,
      command: 'mcp-server-filesystem',
      args: [folder],
      env: {},
      cwd: null,
    },
    {
      id: 'everything',
      transport: 'http',
      url: 'http://127.0.0.1:${PORT}/mcp',
      command: 'mcp-server-everything',
      args: ['streamableHttp'],
      env: { PORT: '${PORT}' },
      cwd: null,
    },
  ])
  pep = await startTestPep({ pdp: pdp.port, sql })
}, 30000)
afterAll(() => pep.close())

test.each(['files', 'everything'])('%s', async (server) => {
  pdp.rule = (call) => ({
    allow: true,
    visible: { tools: ['echo', 'read_file'], resources: true, prompts: true },
  })
  const client = new Client({ name: 'c', version: '1' })
  await client.connect(
    new StreamableHTTPClientTransport(new URL(`${pep.url}/${server}/mcp`), {
      requestInit: { headers: { authorization: `Bearer ${testToken(1)}` } },
    }),
  )
  const { tools } = await client.listTools()
  console.log(tools.map((t) => t.name))
  const result =
    server === 'files'
      ? await client.callTool({ name: 'read_file', arguments: { path: join(folder, 'a.txt') } })
      : await client.callTool({ name: 'echo', arguments: { message: 'hi' } })
  console.log(JSON.stringify(result))
  await client.close()
  console.log(
    pdp.calls.map((c) => [c.method, c.definition?.slice(0, 5)]),
    sql.statements.length,
    pdp.definitions,
  )
})
