// Owns the real MCP servers behind a real gateway: a bundle whose locks the product's own `tools lock` makes of what the
// servers list, files and repositories for them to work on, and clients that go through the gateway and around it.
import { execFileSync } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { devNull, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import type { ClientCapabilities } from '@modelcontextprotocol/sdk/types.js'
import { z } from 'zod'
import { readServerFile } from '../../cli/src/server-files.ts'
import { commandOf, startChild, stopChild, unisolated } from '../../pep/src/upstream/child.ts'
import { freePort } from '../../pep/src/upstream/free-port.ts'
import { serverFile, upstreamOf } from '../../schemas/bundle.ts'
import { type DecisionRow, decisionRow } from '../../schemas/decisions-api.ts'
import { sleep } from '../harness/command.ts'
import { type Dev, startDev } from '../harness/dev.ts'
import { jsonHere, runHere } from '../harness/in-process.ts'

/** The bundle, without any tools.lock.json. */
const FIXTURE = fileURLToPath(new URL('../fixtures/real-servers/', import.meta.url))
export const BIN_DIRECTORY = fileURLToPath(new URL('../../node_modules/.bin/', import.meta.url))
const PRELOAD = new URL('../../pep/src/upstream/preload.mjs', import.meta.url)
const SERVER_START_MS_MAX = 20_000

export type RealServers = {
  readonly dev: Dev
  /** Where the servers work: `files`, `git/own`, `git/other`, `remote.git`, `memory.jsonl`. */
  readonly folder: string
  /** A client of the server itself; `stop` closes it. */
  readonly direct: (server: string, capabilities?: ClientCapabilities) => Promise<Client>
  /** A client of the gateway with the token of `user`: olga may do everything, mia what the bundle names. Close it. */
  readonly through: (
    server: string,
    user: string,
    capabilities?: ClientCapabilities,
  ) => Promise<Client>
  /** What the record holds of `user` on `server`, oldest first. */
  readonly decisions: (user: string, server: string) => Promise<DecisionRow[]>
  readonly stop: () => Promise<void>
}

/** Starts all of `servers`, folders of the fixture bundle, behind one gateway. Throws when a lock cannot be made. */
export async function startRealServers(servers: readonly string[]): Promise<RealServers> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'cedargate-real-')))
  await makeFiles(folder)
  const everything = await startEverything(servers)
  const settings = { ...settingsFor(folder), ...everything.settings }
  const bundle = join(folder, 'bundle')
  const env = { ...settings, PATH: process.env['PATH'] ?? '', HOME: folder }
  const opened: Client[] = []
  try {
    await makeBundle(bundle, servers, env)
    const dev = await startDev({ bundle, env: settings })
    return {
      dev,
      folder,
      direct: async (server, capabilities) => {
        const client = await connect(await directTransport(bundle, server, env), capabilities)
        opened.push(client)
        return client
      },
      through: (server, user, capabilities) => {
        const url = new URL(`${dev.facts.pepUrl}/${server}/mcp`)
        const authorization = `Bearer ${dev.facts.users[user]?.token}`
        const requestInit = { headers: { authorization } }
        return connect(new StreamableHTTPClientTransport(url, { requestInit }), capabilities)
      },
      decisions: async (user, server) => {
        const words = ['decisions', 'ls', '--user', user, '--server', server, '--limit', '1000']
        const rows = await jsonHere(words, { CEDARGATE_HOME: dev.home })
        return z.array(decisionRow).parse(rows).toReversed()
      },
      stop: async () => {
        // Some children take their time to end.
        await Promise.all([dev.stop(), ...opened.map((client) => client.close())])
        await everything.stop()
        await rm(folder, { recursive: true, force: true })
      },
    }
  } catch (error) {
    await everything.stop()
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}

/** One `git` command, with nothing of this machine's configuration. Answers what it printed. */
export function git(directory: string, ...words: string[]): string {
  const identity = ['-c', 'user.name=Mia', '-c', 'user.email=mia@example.com']
  return execFileSync('git', ['-C', directory, ...identity, ...words], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], GIT_CONFIG_GLOBAL: devNull, GIT_CONFIG_NOSYSTEM: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim()
}

/** Starts the reference server in one of its HTTP modes, and answers its port once it listens. */
export async function startEverythingServer(
  mode: 'streamableHttp' | 'sse',
): Promise<{ readonly port: number; readonly stop: () => Promise<void> }> {
  const port = await freePort()
  const file = serverFile.parse({
    command: 'mcp-server-everything',
    args: [mode],
    env: { PORT: String(port) },
  })
  const surroundings = {
    env: process.env,
    binDirectory: BIN_DIRECTORY,
    preload: PRELOAD,
    isolation: unisolated,
  }
  const command = commandOf(upstreamOf('everything', file), surroundings)
  const child = await startChild(command, unisolated)
  for (const stream of [child.stdout, child.stderr]) stream?.resume()
  const stop = (): Promise<void> => stopChild(child)
  const deadline = performance.now() + SERVER_START_MS_MAX
  while (!(await answers(`http://127.0.0.1:${port}/nothing`))) {
    if (child.exitCode === null && performance.now() < deadline) await sleep(50)
    else {
      await stop()
      throw new Error(`mcp-server-everything ${mode} did not listen on ${port}`)
    }
  }
  return { port, stop }
}

async function answers(url: string): Promise<boolean> {
  return fetch(url).then(
    async (response) => {
      await response.body?.cancel()
      return true
    },
    () => false,
  )
}

async function startEverything(servers: readonly string[]) {
  const [mode] = (['everything', 'everything-sse'] as const).filter((id) => servers.includes(id))
  if (mode === undefined) return { settings: {}, stop: async () => undefined }
  const sse = mode === 'everything-sse'
  const { port, stop } = await startEverythingServer(sse ? 'sse' : 'streamableHttp')
  const url = `http://127.0.0.1:${port}/${sse ? 'sse' : 'mcp'}`
  return { settings: { CEDARGATE_SERVER_EVERYTHING: url }, stop }
}

function settingsFor(folder: string): Record<string, string> {
  return {
    CEDARGATE_SERVER_FILES: join(folder, 'files'),
    CEDARGATE_SERVER_GIT: join(folder, 'git'),
    CEDARGATE_SERVER_MEMORY: join(folder, 'memory.jsonl'),
  }
}

async function makeFiles(folder: string): Promise<void> {
  await mkdir(join(folder, 'files/drafts'), { recursive: true })
  await writeFile(join(folder, 'files/notes.txt'), 'notes\n')
  git(tmpdir(), 'init', '--quiet', '--bare', join(folder, 'remote.git'))
  for (const name of ['own', 'other']) {
    const repository = join(folder, 'git', name)
    git(tmpdir(), 'init', '--quiet', '--initial-branch=main', repository)
    await writeFile(join(repository, 'readme.txt'), `${name}\n`)
    git(repository, 'add', '.')
    git(repository, 'commit', '--quiet', '--message=first')
    git(repository, 'config', 'user.name', 'Mia')
    git(repository, 'config', 'user.email', 'mia@example.com')
    git(repository, 'remote', 'add', 'origin', join(folder, 'remote.git'))
    await writeFile(join(repository, 'new.txt'), 'new\n')
    git(repository, 'add', '.')
  }
}

async function makeBundle(
  bundle: string,
  servers: readonly string[],
  env: Record<string, string>,
): Promise<void> {
  await mkdir(join(bundle, 'cedar'), { recursive: true })
  const people = Object.entries({ olga: 'owners', mia: 'makers' }).map(([user, team]) => {
    return [user, { agent: 'tester', teams: [team], servers }] as const
  })
  await writeFile(join(bundle, 'dev.yaml'), JSON.stringify({ users: Object.fromEntries(people) }))
  for (const file of ['gateway.yaml', 'cedar/gateway.cedar'])
    await cp(join(FIXTURE, file), join(bundle, file))
  await Promise.all(servers.map((server) => addServer(bundle, server, env)))
}

/** Its server.yaml, its policies (one file for `everything`, whatever it is spoken to over), and the lock of what it lists. */
async function addServer(
  bundle: string,
  server: string,
  env: Record<string, string>,
): Promise<void> {
  const [kind = ''] = server.split('-')
  const policies = await readFile(join(FIXTURE, 'cedar', `${kind}.cedar`), 'utf8')
  const own = policies.replaceAll(`"${kind}/`, `"${server}/`)
  await writeFile(join(bundle, 'cedar', `${server}.cedar`), own)
  const folder = join('servers', server)
  await cp(join(FIXTURE, folder), join(bundle, folder), { recursive: true })
  const { code, stderr } = await runHere(['tools', 'lock', server, '--bundle', bundle], env)
  if (code !== 0) throw new Error(`no lock of ${server}:\n${stderr}`)
}

async function directTransport(
  bundle: string,
  server: string,
  env: Record<string, string>,
): Promise<Transport> {
  const file = await readServerFile(bundle, server)
  const url = new URL(env['CEDARGATE_SERVER_EVERYTHING'] ?? 'http://127.0.0.1')
  if (file.transport === 'sse') return new SSEClientTransport(url)
  if (file.url !== undefined) return new StreamableHTTPClientTransport(url)
  const { command, args, cwd, ...rest } = commandOf(upstreamOf(server, file), {
    env,
    binDirectory: BIN_DIRECTORY,
    preload: PRELOAD,
    isolation: unisolated,
  })
  const directory = cwd === undefined ? {} : { cwd }
  const found = join(BIN_DIRECTORY, command)
  return new StdioClientTransport({ command: found, args: [...args], stderr: 'ignore', ...directory, ...rest })
} // biome-ignore format: long lines

async function connect(
  transport: Transport,
  capabilities: ClientCapabilities = {},
): Promise<Client> {
  const client = new Client({ name: 'test', version: '1' }, { capabilities })
  await client.connect(transport)
  return client
}
