// Real clients through the gateway: both SDK lines in both eras and the Inspector command line, on servers over stdio and
// HTTP. They list and call, read a refusal as they must, see progress while it is made, and can cancel.
import { execFile } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  Client as ModernClient,
  StreamableHTTPClientTransport as ModernTransport,
} from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { decisionRow } from '../../schemas/decisions-api.ts'
import { connectClient, type Line } from '../harness/client.ts'
import { sleep } from '../harness/command.ts'
import { type Dev, startDev } from '../harness/dev.ts'
import { jsonHere, runHere } from '../harness/in-process.ts'
import { copyBundle } from './bundle-copy.ts'

const MODERN_SERVER = fileURLToPath(new URL('../fixtures/modern-server/main.ts', import.meta.url))
const MODERN_POLICY = `
@id("modern/use")
permit (
  principal in MCP::Team::"interns",
  action in
    [MCP::Action::"modern/add",
     MCP::Action::"modern/wait",
     MCP::Action::"modern/interrupted"],
  resource
);
@id("modern/small")
forbid (principal, action == MCP::Action::"modern/add", resource)
when { context.args.a > 100 };
`

let bundle: string
let dev: Dev
beforeAll(async () => {
  const served = 'servers: [files, everything]'
  const edit = { file: 'dev.yaml', from: served, to: served.replace(']', ', modern]') }
  bundle = await copyBundle([edit])
  const env = { CEDARGATE_SERVER_MODERN: MODERN_SERVER }
  await addModernServer(env)
  dev = await startDev({ bundle, env })
})
afterAll(async () => {
  await dev.stop()
  await rm(bundle, { recursive: true, force: true })
})

/** A server of the 2026-07-28 era, kept running by the gateway. */
async function addModernServer(env: Record<string, string>): Promise<void> {
  await mkdir(join(bundle, 'servers/modern'))
  const server = {
    command: 'node',
    args: ['${CEDARGATE_SERVER_MODERN}'],
    env: { PORT: '${PORT}' },
    url: 'http://127.0.0.1:${PORT}/mcp',
  }
  await writeFile(join(bundle, 'servers/modern/server.yaml'), JSON.stringify(server))
  await writeFile(join(bundle, 'cedar/modern.cedar'), MODERN_POLICY)
  const known = { ...env, PATH: process.env['PATH'] ?? '' }
  const locked = await runHere(['tools', 'lock', 'modern', '--bundle', bundle], known)
  if (locked.code !== 0) throw new Error(locked.stderr)
}

const tokenOf = (user: string): string => dev.facts.users[user]?.token ?? ''
const targetOf = (server: string) => ({ pepUrl: dev.facts.pepUrl, server, token: tokenOf('bob') })

const CALLS = {
  files: {
    allowed: ['read_text_file', { path: 'notes.txt' }],
    refused: ['write_file', { path: 'n', content: '' }],
  },
  everything: {
    allowed: ['echo', { message: 'hello' }],
    refused: ['toggle-simulated-logging', {}],
  },
  modern: {
    allowed: ['add', { a: 1, b: 2 }],
    refused: ['erase', {}],
  },
} as const
const LEGACY = '2025-11-25'
const MODERN = '2026-07-28'

describe.each<{ line: Line; server: keyof typeof CALLS; revision: string }>([
  { line: 'sdk-1.32', server: 'files', revision: LEGACY },
  { line: 'sdk-1.32', server: 'everything', revision: LEGACY },
  { line: 'sdk-1.32', server: 'modern', revision: LEGACY },
  { line: 'client-2.4', server: 'files', revision: LEGACY },
  { line: 'client-2.4', server: 'everything', revision: LEGACY },
  { line: 'client-2.4', server: 'modern', revision: MODERN },
  { line: 'client-2.4-pinned', server: 'modern', revision: MODERN },
])('$line on $server', ({ line, server, revision }) => {
  const { allowed, refused } = CALLS[server]

  test(`speaks ${revision}, lists and calls`, async () => {
    const client = await connectClient(line, targetOf(server))
    try {
      expect(client.revision).toBe(revision)
      expect(await client.listTools()).toContain(allowed[0])
      expect(await client.listTools()).not.toContain(refused[0])
      expect(await client.call(allowed[0], allowed[1])).toMatchObject({
        isError: false,
        refusal: undefined,
      })
      const answer = await client.call(refused[0], refused[1])
      expect(answer.isError).toBe(true)
      expect(answer.text).toMatch(/No policy permits it|Forbidden by/)
      expect(answer.text).toContain(answer.refusal?.decisionId)
    } finally {
      await client.close()
    }
  })

  test('an unknown token is refused with 401', async () => {
    const target = { ...targetOf(server), token: 'nobody' }
    await expect(connectClient(line, target)).rejects.toThrow(/401|unauthorized|unauthenticated/i)
  })
})

test.each(['files', 'everything'])('a client that will not fall back learns that %s is of the older era', async (server) => {
  const connecting = connectClient('client-2.4-pinned', targetOf(server))
  await expect(connecting).rejects.toThrow(/2026-07-28|negotiat|version/i)
}) // biome-ignore format: long lines

const callOf = (tool: string, ...args: string[]): string[] => {
  const words = args.flatMap((arg) => ['--tool-arg', arg])
  return ['--method', 'tools/call', '--tool-name', tool, ...words]
}

describe('inspector', () => {
  const program = join(import.meta.dirname, '..', '..', 'node_modules', '.bin', 'mcp-inspector')
  const inspect = (server: string, token: string, ...words: string[]) => {
    const target = ['--cli', `${dev.facts.pepUrl}/${server}/mcp`, '--transport', 'http']
    const own = ['--header', `Authorization: Bearer ${token}`, '--format', 'json']
    return new Promise<{ code: number; said: string }>((resolve) => {
      execFile(program, [...target, ...own, ...words], (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, said: stdout + stderr })
      })
    })
  }
  // It lists before it calls, and does not call what is not listed.
  test.concurrent.each([
    { user: 'bob', server: 'files', era: 'legacy', words: callOf('list_directory', 'path=.'), code: 0, says: /notes\.txt/ },
    { user: 'alice', server: 'files', era: 'legacy', words: callOf('write_file', 'path=n', 'content=x'), code: 5, says: /files\/writes-below-drafts.*Decision [0-9a-f-]{36}/s },
    { user: 'bob', server: 'everything', era: 'auto', words: callOf('echo', 'message=hi'), code: 0, says: /Echo: hi/ },
    { user: 'bob', server: 'modern', era: 'modern', words: callOf('add', 'a=1', 'b=2'), code: 0, says: /"3"/ },
    { user: 'bob', server: 'modern', era: 'modern', words: callOf('add', 'a=101', 'b=2'), code: 5, says: /modern\/small.*Decision [0-9a-f-]{36}/s },
  ])('$server, $era, $words: exit $code', async ({ user, server, era, words, code, says }) => {
    const answer = await inspect(server, tokenOf(user), ...words, '--protocol-era', era)
    expect(answer).toMatchObject({ code, said: expect.stringMatching(says) })
  }) // biome-ignore format: a table

  test.concurrent.each(['legacy', 'modern'])('%s, a token that nobody has: exit 3', async (era) => {
    const words = ['--method', 'tools/list', '--protocol-era', era]
    expect(await inspect('modern', 'nobody', ...words)).toMatchObject({ code: 3 })
  })
})

const open = (server: string) => {
  const requestInit = { headers: { authorization: `Bearer ${tokenOf('bob')}` } }
  return { url: new URL(`${dev.facts.pepUrl}/${server}/mcp`), options: { requestInit } }
}
const decisions = async (...words: string[]) => {
  const rows = await jsonHere(['decisions', 'ls', '--user', 'bob', ...words], { CEDARGATE_HOME: dev.home })
  return z.array(decisionRow).parse(rows)
} // biome-ignore format: long lines
const wait = (ms: number) => ({ name: 'wait', arguments: { ms } })

const connectLegacy = async (): Promise<Client> => {
  const { url, options } = open('everything')
  const client = new Client({ name: 'patient', version: '1' })
  await client.connect(new StreamableHTTPClientTransport(url, options))
  return client
}
const connectModern = async (): Promise<ModernClient> => {
  const { url, options } = open('modern')
  const versionNegotiation = { mode: { pin: MODERN } }
  const client = new ModernClient({ name: 'patient', version: '1' }, { versionNegotiation })
  await client.connect(new ModernTransport(url, options))
  return client
}

describe('a call that takes its time', () => {
  const STEPS = 5
  const SECONDS = 1.5
  const LONG = {
    name: 'trigger-long-running-operation',
    arguments: { duration: SECONDS, steps: STEPS },
  }
  test('sdk-1.32 on everything: each step is told when it is made, and a cancel reaches the server', async () => {
    const client = await connectLegacy()
    const told: number[] = []
    await client.callTool(LONG, undefined, { onprogress: () => told.push(performance.now()) })
    const end = performance.now()
    expect(told.length).toBe(STEPS)
    // Steps are 300 ms apart, so the first is 1.2 s before the end: gathered, they would come at once.
    expect(end - (told[0] ?? end)).toBeGreaterThan(800)

    const aborting = new AbortController()
    const onprogress = () => aborting.abort('enough')
    const calling = client.callTool(LONG, undefined, { onprogress, signal: aborting.signal })
    await expect(calling).rejects.toThrow('enough')
    const echo = await client.callTool({ name: 'echo', arguments: { message: 'on' } })
    expect(echo).toMatchObject({ content: [{ text: 'Echo: on' }] })
    // A server that was told does not answer: there is no outcome, long after the call would have ended.
    await sleep(SECONDS * 1_000 + 500)
    const rows = await decisions('--server', 'everything', '--limit', '20')
    const cancel = rows.find(({ method }) => method === 'notifications/cancelled')
    expect(cancel).toMatchObject({ verdict: 'allow', outcome: { result: 'forwarded', status: 202 } })
    const [cancelled, whole] = rows.filter(({ tool }) => tool === LONG.name)
    expect(whole).toMatchObject({ verdict: 'allow', outcome: { result: 'forwarded' } })
    expect(cancelled).toMatchObject({ verdict: 'allow', outcome: null })
    await client.close()
  }) // biome-ignore format: long lines

  test('client-2.4 on a modern server: progress while it waits, and an abort stops the waiting', async () => {
    const client = await connectModern()
    const told: number[] = []
    await client.callTool(wait(1_000), { onprogress: () => void told.push(performance.now()) })
    expect(performance.now() - (told[0] ?? Infinity)).toBeGreaterThan(500)
    const aborting = new AbortController()
    const { signal } = aborting
    const calling = client.callTool(wait(60_000), { onprogress: () => aborting.abort('enough'), signal })
    await expect(calling).rejects.toThrow('enough')
    const interrupted = async () => (await client.callTool({ name: 'interrupted', arguments: {} })).content
    await vi.waitFor(async () => expect(await interrupted()).toMatchObject([{ text: '1' }]), 5_000)
    await client.close()
  }) // biome-ignore format: long lines
})
