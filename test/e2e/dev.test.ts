// `cedargate dev` from outside: what it leaves in its home, what it shows a newcomer, and that it ends with all it began.
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { freePort } from '../../pep/src/upstream/free-port.ts'
import { grantRow } from '../../schemas/admin-api.ts'
import { decisionRow } from '../../schemas/decisions-api.ts'
import { connectClient } from '../harness/client.ts'
import { runCommand } from '../harness/command.ts'
import { type Dev, startDev } from '../harness/dev.ts'
import { jsonHere, runHere } from '../harness/in-process.ts'
import { createTestDatabase } from '../harness/store.ts'
import { canLook, descendantsOf, isAlive, LOOPBACK, listeningAddresses } from './processes.ts'

let home: string
let ports: { CEDARGATE_PEP_PORT: string; CEDARGATE_PDP_PORT: string }
let databaseUrl: string | undefined
let dev: Dev
let printed: string

/** A process that serves a home says which it is in the lock beside its facts. */
const pidOf = async (): Promise<number> =>
  Number.parseInt(await readFile(join(home, 'dev.lock'), 'utf8'), 10)
const start = async (): Promise<Dev> =>
  startDev({ home, env: ports, ...(databaseUrl === undefined ? {} : { databaseUrl }) })

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'cedargate-dev-'))
  await chmod(home, 0o755)
  ports = {
    CEDARGATE_PEP_PORT: String(await freePort()),
    CEDARGATE_PDP_PORT: String(await freePort()),
  }
  databaseUrl = await createTestDatabase()
  dev = await start()
  await vi.waitFor(() => {
    if (!dev.stdout().includes('no boundary')) throw new Error('it does not show anything')
  }, 10_000)
  printed = stripVTControlCharacters(dev.stdout())
})
afterAll(async () => {
  await dev.stop()
  await rm(home, { recursive: true, force: true })
})

const modeOf = async (path: string): Promise<string> =>
  ((await stat(path)).mode & 0o777).toString(8)
const tokenOf = (user: string): string => dev.facts.users[user]?.token ?? ''

/** Reads a file of the demo folder as the holder of `token`. */
async function canRead(token: string): Promise<boolean> {
  const client = await connectClient('sdk-1.32', {
    pepUrl: dev.facts.pepUrl,
    server: 'files',
    token,
  })
  try {
    return !(await client.call('read_text_file', { path: 'notes.txt' })).isError
  } finally {
    await client.close()
  }
}

/** What was shown under one title of a call. */
const block = (title: string): string =>
  printed.split('\n\n').find((part) => part.trimStart().startsWith(`${title}:`)) ?? ''
/** What stands under one `# Title` line. */
const pasted = (title: string): string =>
  new RegExp(`^# ${title}.*\\n((?:[^#\\n].*\\n)+)`, 'm').exec(printed)?.[1] ?? ''
const urlOf = (server: string): string => `${dev.facts.pepUrl}/t/${server}/mcp`

describe('its home', () => {
  test.each([
    { path: '.', mode: '700' },
    { path: 'dev.json', mode: '600' },
    { path: 'tokens.json', mode: '600' },
    { path: 'keys', mode: '700' },
    { path: 'keys/deployment.pem', mode: '600' },
    { path: 'keys/data.key', mode: '600' },
  ])('$path has mode $mode', async ({ path, mode }) => {
    expect(await modeOf(join(home, path))).toBe(mode)
  })

  test('dev.json holds exactly what was promised, about the ports that were set', async () => {
    const facts: unknown = JSON.parse(await readFile(join(home, 'dev.json'), 'utf8'))
    expect(facts).toEqual({
      pepUrl: `http://127.0.0.1:${ports.CEDARGATE_PEP_PORT}`,
      pdpUrl: `http://127.0.0.1:${ports.CEDARGATE_PDP_PORT}`,
      operatorToken: expect.stringMatching(/^cgo_/),
      servers: expect.arrayContaining(['files', 'everything']),
      users: {
        alice: { token: expect.stringMatching(/^cgt_/) },
        bob: { token: expect.stringMatching(/^cgt_/) },
      },
    })
  })

  test('DATABASE_URL is where the tables are; without it they are in the home', async () => {
    expect(existsSync(join(home, 'database'))).toBe(databaseUrl === undefined)
    if (databaseUrl === undefined) return
    const client = new Client({ connectionString: databaseUrl })
    await client.connect()
    const { rows } = await client.query('select count(*)::int as total from record')
    await client.end()
    expect((rows[0] as { total: number }).total).toBeGreaterThan(0)
  })
})

describe('what it shows', () => {
  test.each([
    { title: 'a permitted call', verdict: 'allow', code: 'permit', policies: ['engineering/write-drafts'] },
    { title: 'a call refused by an argument', verdict: 'deny', code: 'forbid', policies: ['files/writes-below-drafts'] },
    { title: 'a call that nothing permits', verdict: 'deny', code: 'no_permit', policies: [] },
  ])('$title, as it is recorded', async ({ title, verdict, code, policies }) => {
    const shown = block(title)
    expect(shown).toMatch(/:\n {2}(alice|bob) → files\/write_file \{/)
    expect(shown).toContain(`  ${verdict} (${code})\n`)
    expect(shown).toContain(`  policies  ${policies.join(', ') || 'none permits it'}\n`)
    const id = /^ {2}decision {2}([0-9a-f-]{36})$/m.exec(shown)?.[1] ?? ''
    const recorded = await jsonHere(['decisions', 'show', id], { CEDARGATE_HOME: home })
    expect(decisionRow.parse(recorded)).toMatchObject({ id, verdict, code, policies, method: 'tools/call' })
  }) // biome-ignore format: a table

  test('the URL, a token for each person, and that dev is no boundary', () => {
    expect(printed).toContain(`${dev.facts.pepUrl}/t/<server>/mcp`)
    for (const user of ['alice', 'bob'])
      expect(printed).toMatch(new RegExp(`^${user} +${tokenOf(user)}$`, 'm'))
    expect(printed).toContain(`export MCP_TOKEN=${tokenOf('alice')}`)
    expect(printed).toMatch(/dev is no boundary against other programs of your OS user/)
  })

  const http = z.object({ url: z.url(), headers: z.record(z.string(), z.string()) })

  test('Cursor: its URLs and headers, used by a client', async () => {
    const cursor = z.strictObject({ mcpServers: z.record(z.string(), http.strict()) })
    const { mcpServers } = cursor.parse(JSON.parse(pasted('Cursor: .cursor/mcp.json')))
    expect(Object.keys(mcpServers).toSorted()).toEqual(['cedargate-everything', 'cedargate-files'])
    for (const { url, headers } of Object.values(mcpServers)) {
      const [, pepUrl = '', server = ''] = /^(.+)\/([^/]+)\/mcp$/.exec(url) ?? []
      expect(headers).toEqual({ Authorization: 'Bearer ${env:MCP_TOKEN}' })
      const token = tokenOf('alice')
      const client = await connectClient('client-2.4', { pepUrl, server, token })
      expect((await client.listTools()).length).toBeGreaterThan(0)
      await client.close()
    }
  })

  test('VS Code', () => {
    const vsCode = z.strictObject({
      inputs: z.array(z.object({ id: z.string(), type: z.literal('promptString') })),
      servers: z.record(z.string(), http.extend({ type: z.literal('http') })),
    })
    const { inputs, servers } = vsCode.parse(JSON.parse(pasted('VS Code: .vscode/mcp.json')))
    const header = `Bearer \${input:${inputs[0]?.id}}`
    expect(servers['cedargate-files']).toEqual({
      type: 'http',
      url: urlOf('files'),
      headers: { Authorization: header },
    })
    expect(servers['cedargate-everything']?.url).toBe(urlOf('everything'))
  })

  test('Codex', () => {
    const tables = pasted('Codex: ~/.codex/config.toml').split(/^\[mcp_servers\./m).slice(1)
    const parsed = tables.map((table) => {
      const [head = '', ...lines] = table.trimEnd().split('\n')
      const pairs = lines.map((line) => line.split(' = ') as [string, string])
      return [head.replace(']', ''), Object.fromEntries(pairs.map(([key, value]) => [key, JSON.parse(value)]))]
    })
    expect(Object.fromEntries(parsed)).toEqual({
      'cedargate-files': { url: urlOf('files'), bearer_token_env_var: 'MCP_TOKEN' },
      'cedargate-everything': { url: urlOf('everything'), bearer_token_env_var: 'MCP_TOKEN' },
    })
  }) // biome-ignore format: long lines

  test('Claude Code', () => {
    const lines = pasted('Claude Code').trimEnd().split('\n')
    const commands = ['files', 'everything'].map(
      (server) =>
        `claude mcp add --transport http cedargate-${server} ${urlOf(server)} --header "Authorization: Bearer $MCP_TOKEN"`,
    )
    expect(lines.toSorted()).toEqual(commands.toSorted())
  })
})

describe.runIf(canLook)('its processes', () => {
  test('all of them listen on loopback alone', async () => {
    const pid = await pidOf()
    const addresses = listeningAddresses([pid, ...descendantsOf(pid)])
    expect(addresses.length).toBeGreaterThanOrEqual(3)
    expect(addresses.filter((address) => !LOOPBACK.has(address))).toEqual([])
  })
})

test('a second dev on the same home is refused, and the first one goes on', async () => {
  const env = { CEDARGATE_HOME: home, CEDARGATE_PEP_PORT: '0', CEDARGATE_PDP_PORT: '0' }
  const database = databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }
  const second = await runCommand(['dev'], { ...env, ...database })
  expect(second.code).toBe(2)
  expect(second.stderr).toMatch(/^cedargate: CEDARGATE_HOME .+ is taken: process \d+ is using it/)
  expect(second.stderr).not.toContain('    at ')
  expect(existsSync(join(home, 'dev.json'))).toBe(true)
  expect(await canRead(tokenOf('alice'))).toBe(true)
})

describe('stopped and started again on the same home and database', () => {
  test('SIGTERM ends it with exit 0, and everything it started with it', async () => {
    const pid = await pidOf()
    const started = canLook ? descendantsOf(pid) : []
    expect(!canLook || started.length >= 2).toBe(true)
    const { code, stderr } = await dev.stop('SIGTERM')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect([pid, ...started].filter((id) => canLook && isAlive(id))).toEqual([])
    expect(existsSync(join(home, 'dev.json'))).toBe(false)
    expect(existsSync(join(home, 'dev.lock'))).toBe(false)
  })

  test('its tokens are still the same, and work', async () => {
    const before = dev.facts
    dev = await start()
    expect(dev.facts).toEqual(before)
    expect(await canRead(tokenOf('alice'))).toBe(true)
    expect(await canRead(tokenOf('bob'))).toBe(true)
  })

  test('SIGINT ends it in order too; a token revoked meanwhile is replaced at the next start', async () => {
    const env = { CEDARGATE_HOME: home }
    const grants = z.array(grantRow).parse(await jsonHere(['grants', 'ls'], env))
    const revoked = grants.find(({ user }) => user === 'bob')?.id ?? ''
    expect(await runHere(['grants', 'revoke', revoked], env)).toMatchObject({ code: 0 })
    const before = dev.facts.users
    expect(await dev.stop('SIGINT')).toMatchObject({ code: 0, stderr: '' })
    dev = await start()
    expect(tokenOf('alice')).toBe(before['alice']?.token)
    expect(tokenOf('bob')).not.toBe(before['bob']?.token)
    expect(await canRead(tokenOf('bob'))).toBe(true)
  })
})
