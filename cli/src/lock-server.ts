// Owns reading the tools of a live server for its lock: straight from the server, not through a gateway.
import { access, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { parse } from 'yaml'
import { z } from 'zod'
import { makeToolsLock, toolsLockText } from '../../pdp/src/bundle/lock.ts'
import {
  type Command,
  commandOf,
  expandOrThrow,
  startChild,
  stopChild,
} from '../../pep/src/upstream/child.ts'
import { freePort } from '../../pep/src/upstream/free-port.ts'
import {
  type Risk,
  type ServerFile,
  serverFile,
  type ToolDefinition,
  type ToolsLock,
  toolDefinition,
  toolsLock,
  upstreamOf,
} from '../../schemas/bundle.ts'
import { EXIT } from '../../schemas/codes.ts'
import { EVERY_CAPABILITY } from '../../schemas/mcp.ts'
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
  return readAs(serverFile, path, () => parse(text))
}

async function readLock(path: string): Promise<ToolsLock | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  return text === undefined ? undefined : readAs(toolsLock, path, () => JSON.parse(text))
}

function readAs<Schema extends z.ZodType>(
  schema: Schema,
  path: string,
  read: () => unknown,
): z.infer<Schema> {
  try {
    return schema.parse(read())
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause) : reason(cause)
    throw new CommandError(`${path} is not valid: ${why.replaceAll(/\s*\n\s*/g, ' ')}`, {
      exit: EXIT.invalid,
      cause,
    })
  }
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

async function readTools(
  server: string,
  file: ServerFile,
  env: Locking['env'],
): Promise<ToolDefinition[]> {
  const { transport, stop, where, patienceMs } = await open(server, file, env)
  const client = new Client(
    { name: 'cedargate-tools-lock', version: '1' },
    { capabilities: EVERY_CAPABILITY },
  )
  try {
    await connect(client, transport, patienceMs)
    return await listTools(client)
  } catch (cause) {
    const message = `the tools of ${server} cannot be read from ${where}: ${reason(cause)}`
    throw new CommandError(message, { cause })
  } finally {
    await client.close()
    await stop()
  }
}

/** Checked, and kept as they came: a parsed copy would have its keys in another order. */
const listed = z.looseObject({
  tools: z.array(z.custom<ToolDefinition>((tool) => toolDefinition.safeParse(tool).success)),
  nextCursor: z.string().optional(),
})

async function listTools(client: Client): Promise<ToolDefinition[]> {
  const tools: ToolDefinition[] = []
  let params: { cursor?: string } = {}
  for (;;) {
    const page = await client.request({ method: 'tools/list', params }, listed)
    tools.push(...page.tools)
    if (page.nextCursor === undefined) return tools
    params = { cursor: page.nextCursor }
  }
}

type Opened = {
  readonly transport: () => Transport
  readonly stop: () => Promise<void>
  /** Command or URL, for people. */
  readonly where: string
  /** How long it may refuse connections: a server that we did not start is there or not. */
  readonly patienceMs: number
}

async function open(server: string, file: ServerFile, env: Locking['env']): Promise<Opened> {
  const port = await freePort()
  const known = { ...env, PORT: String(port) }
  const upstream = upstreamOf(server, file)
  const preload = new URL('../../pep/src/upstream/preload.mjs', import.meta.url)
  const command = expanded(() => commandOf(upstream, { env: known, binDirectory, preload }, port))
  if (command.cwd !== undefined) await assertDirectory(server, command.cwd)
  const where = `\`${[file.command, ...command.args].join(' ')}\``
  if (file.url === undefined) {
    return { transport: () => stdio(command), stop: async () => undefined, where, patienceMs: 0 }
  }
  const url = expanded(() => expandOrThrow(server, file.url ?? '', known))
  const transport = (): Transport => new StreamableHTTPClientTransport(new URL(url))
  if (file.command === undefined) {
    return { transport, stop: async () => undefined, where: url, patienceMs: 0 }
  }
  const child = await startChild(command).catch((cause: unknown) => {
    throw new CommandError(`${where} of ${server} cannot be started: ${reason(cause)}`, { cause })
  })
  return { transport, stop: () => stopChild(child), where, patienceMs: START_TIMEOUT_MS }
}

function expanded<Value>(expand: () => Value): Value {
  try {
    return expand()
  } catch (cause) {
    throw new CommandError(reason(cause), { cause })
  }
}

/** A command whose directory is missing fails as if the command were missing. */
async function assertDirectory(server: string, path: string): Promise<void> {
  await access(path).catch((cause: unknown) => {
    throw new CommandError(`\`cwd\` of server ${server} does not exist: ${path}`, {
      hint: 'make it, or start the gateway on this CEDARGATE_HOME once',
      cause,
    })
  })
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
async function connect(
  client: Client,
  transport: () => Transport,
  patienceMs: number,
): Promise<void> {
  const deadline = performance.now() + patienceMs
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
