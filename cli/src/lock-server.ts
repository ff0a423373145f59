// Owns reading the tools of a live server for its lock: straight from the server, not through a gateway.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { parse } from 'yaml'
import { z } from 'zod'
import { makeToolsLock, toolsLockText } from '../../pdp/src/bundle/lock.ts'
import { type Command, commandOf, startChild, stopChild } from '../../pep/src/upstream/child.ts'
import { freePort } from '../../pep/src/upstream/free-port.ts'
import {
  type Risk,
  type ServerFile,
  serverFile,
  type ToolDefinition,
  type ToolsLock,
  toolDefinition,
  toolsLock,
} from '../../schemas/bundle.ts'
import { expandVariables } from '../../schemas/expand.ts'
import { CommandError } from './errors.ts'
import { binDirectory } from './package-root.ts'

type Locking = {
  readonly bundle: string
  readonly server: string
  readonly env: Readonly<Record<string, string | undefined>>
}
export type Locked = {
  readonly path: string
  readonly tools: readonly { name: string; risk: Risk }[]
}

/** How long a server that was just started may take until it answers. */
const START_TIMEOUT_MS = 20_000

/**
 * Writes `servers/<server>/tools.lock.json` from what the server serves to a client that declares roots, sampling and
 * elicitation. Tools that were locked keep their risk. Throws CommandError when the server cannot be read.
 */
export async function lockServer({ bundle, server, env }: Locking): Promise<Locked> {
  const folder = join(bundle, 'servers', server)
  const file = await readServerFile(join(folder, 'server.yaml'))
  const definitions = await readTools(server, file, env)
  const path = join(folder, 'tools.lock.json')
  const lock = makeToolsLock(definitions, await readLock(path))
  await writeFile(path, toolsLockText(lock))
  return {
    path,
    tools: lock.tools.map(({ definition, risk }) => ({ name: definition.name, risk })),
  }
}

async function readServerFile(path: string): Promise<ServerFile> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new CommandError(`${path} cannot be read`, {
      hint: 'write a server.yaml first, see policies/README.md',
      cause,
    })
  })
  const parsed = serverFile.safeParse(parse(text))
  if (parsed.success) return parsed.data
  throw new CommandError(`${path}: ${z.prettifyError(parsed.error).replaceAll(/\s*\n\s*/g, ' ')}`)
}

async function readLock(path: string): Promise<ToolsLock | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  return text === undefined ? undefined : toolsLock.parse(JSON.parse(text))
}

async function readTools(
  server: string,
  file: ServerFile,
  env: Locking['env'],
): Promise<ToolDefinition[]> {
  const { transport, stop } = await open(server, file, env)
  const client = new Client(
    { name: 'cedargate-tools-lock', version: '1' },
    { capabilities: { roots: {}, sampling: {}, elicitation: {} } },
  )
  try {
    await connect(client, transport)
    const tools: ToolDefinition[] = []
    for (
      let cursor: string | undefined, first = true;
      first || cursor !== undefined;
      first = false
    ) {
      const page = await client.request(
        { method: 'tools/list', params: cursor === undefined ? {} : { cursor } },
        z.looseObject({ tools: z.array(toolDefinition), nextCursor: z.string().optional() }),
      )
      tools.push(...page.tools)
      cursor = page.nextCursor
    }
    return tools
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new CommandError(`the tools of ${server} cannot be read: ${why}`, { cause })
  } finally {
    await client.close()
    await stop()
  }
}

type Opened = { readonly transport: () => Transport; readonly stop: () => Promise<void> }

async function open(server: string, file: ServerFile, env: Locking['env']): Promise<Opened> {
  const port = await freePort()
  const known = { ...env, PORT: String(port) }
  const upstream = {
    id: server,
    transport: file.url === undefined ? ('stdio' as const) : ('http' as const),
    url: file.url ?? null,
    command: file.command ?? null,
    args: file.args,
    env: file.env,
    cwd: file.cwd ?? null,
  }
  const preload = new URL('../../pep/src/upstream/preload.mjs', import.meta.url)
  const command = commandOf(upstream, { env: known, binDirectory, preload }, port)
  if (file.url === undefined) {
    return { transport: () => stdio(command), stop: async () => undefined }
  }
  const url = expandVariables(file.url, known)
  if (!url.ok) throw new CommandError(`server ${server}: ${url.message}`)
  const child = file.command === undefined ? undefined : await startChild(command)
  return {
    transport: () => new StreamableHTTPClientTransport(new URL(url.value)) as Transport,
    stop: async () => (child === undefined ? undefined : stopChild(child)),
  }
}

function stdio({ command, args, env, cwd }: Command): Transport {
  return new StdioClientTransport({
    command,
    args: [...args],
    env,
    ...(cwd === undefined ? {} : { cwd }),
  })
}

/** A server that was just started is asked again until it answers. */
async function connect(client: Client, transport: () => Transport): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS
  for (;;) {
    try {
      return await client.connect(transport())
    } catch (error) {
      if (performance.now() > deadline || !isRefused(error)) throw error
      await sleep(100)
    }
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof TypeError && error.message === 'fetch failed'
}
