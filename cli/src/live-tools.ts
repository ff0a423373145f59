// Owns reading the tools of a live server: straight from the server, not through a gateway, as a client that declares
// roots, sampling and elicitation. Never judges them and keeps nothing.
import { setTimeout as sleep } from 'node:timers/promises'
import {
  Client as ModernClient,
  StreamableHTTPClientTransport as ModernTransport,
} from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport, SseError } from '@modelcontextprotocol/sdk/client/sse.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import {
  StreamableHTTPClientTransport,
  StreamableHTTPError,
} from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { z } from 'zod'
import { definitionSha256 } from '../../pdp/src/catalog/fingerprint.ts'
import { visible } from '../../pdp/src/catalog/visible.ts'
import { keptOf } from '../../pep/src/config.ts'
import { DISCOVERY_PAGES_MAX, DISCOVERY_TOOLS_MAX } from '../../pep/src/limits.ts'
import {
  type Command,
  commandOf,
  expandOrThrow,
  type Isolation,
  isDirectory,
  startChild,
  stopChild,
} from '../../pep/src/upstream/child.ts'
import { freePort } from '../../pep/src/upstream/free-port.ts'
import { openIsolation } from '../../pep/src/upstream/isolation.ts'
import {
  type ServerFile,
  type ToolDefinition,
  toolDefinition,
  upstreamOf,
} from '../../schemas/bundle.ts'
import type { GivenSecret } from '../../schemas/credentials-api.ts'
import { EVERY_CAPABILITY } from '../../schemas/mcp.ts'
import { isolationSetting } from '../../schemas/settings.ts'
import { CommandError } from './errors.ts'
import { binDirectory } from './package-root.ts'
import { holdsSecret, type Presented, present, withoutSecrets } from './presented.ts'

const INFO = { name: 'cedargate-tools', version: '1' }

const SECRET_HINT =
  'server.yaml says that it wants a credential: give one for this look, see `cedargate tools lock --help`'

type Env = Readonly<Record<string, string | undefined>>

/** One tool as the server lists it now. */
export type LiveTool = {
  readonly sha256: string
  /** Exactly as received, with its keys in their order. */
  readonly definition: unknown
  /** The same where a lock can hold it; undefined for what is no tool definition, such as one without an inputSchema. */
  readonly tool: ToolDefinition | undefined
}
export type LiveTools = ReadonlyMap<string, LiveTool>

/** How long a server that was just started may take until it answers. */
const START_TIMEOUT_MS = 20_000
/** How long a server that accepts connections may take until it has said what it is. */
const ANSWER_TIMEOUT_MS = 10_000

/**
 * All tools of the server, by name; every page of the list. Throws CommandError (exit 2) when it cannot be read whole,
 * lists too many, or lists a name with two definitions: such a tool is held whatever is reviewed.
 */
export async function readLiveTools(
  server: string,
  file: ServerFile,
  env: Env,
  secret?: GivenSecret,
): Promise<LiveTools> {
  const presented = present(server, file, secret)
  const { transport, modern, stop, where, patienceMs } = await open(server, file, env, presented)
  const client = new Client(INFO, { capabilities: EVERY_CAPABILITY })
  try {
    await connect(client, transport, patienceMs)
    const tools = await listTools((params) => client.request({ method: 'tools/list', params }, listed)) // biome-ignore format: long
    return withoutSecrets(byName(tools), presented)
  } catch (cause) {
    const listed = cause instanceof StreamableHTTPError ? await listModern(modern) : undefined
    if (listed !== undefined) return withoutSecrets(byName(listed), presented)
    const said = holdsSecret(reason(cause), presented)
      ? 'it answered with its secret'
      : reason(cause)
    throw new CommandError(`the tools of ${server} cannot be read from ${where}: ${said}`, {
      ...(secret === undefined && file.credential !== undefined ? { hint: SECRET_HINT } : {}),
      cause,
    })
  } finally {
    await client.close()
    await stop()
  }
}

/** Of a server that has no handshake; undefined where it does not speak that era either. */
async function listModern(
  modern: Modern | undefined,
): Promise<{ readonly name: string }[] | undefined> {
  if (modern === undefined) return undefined
  const versionNegotiation = { mode: { pin: '2026-07-28' } }
  const client = new ModernClient(INFO, { capabilities: EVERY_CAPABILITY, versionNegotiation })
  try {
    await inTime(client.connect(new ModernTransport(modern.url, modern.options)))
    return await listTools((params) => client.request({ method: 'tools/list', params }, listed))
  } catch {
    return undefined // What the handshake was refused with says more.
  } finally {
    await client.close()
  }
}

/** Some of it may be the server's own words. */
function reason(cause: unknown): string {
  return visible(cause instanceof Error ? cause.message : String(cause))
}

/** Kept as they came: a parsed copy would have its keys in another order. */
const listed = z.looseObject({
  tools: z.array(z.custom<{ readonly name: string }>((tool) => named.safeParse(tool).success)),
  nextCursor: z.string().optional(),
})
const named = z.looseObject({ name: z.string() })

type ListPage = (params: { cursor?: string }) => Promise<z.infer<typeof listed>>

async function listTools(listPage: ListPage): Promise<{ readonly name: string }[]> {
  const tools: { readonly name: string }[] = []
  let params: { cursor?: string } = {}
  for (let page = 0; page < DISCOVERY_PAGES_MAX; page++) {
    const { tools: more, nextCursor } = await listPage(params)
    for (const tool of more) tools.push(tool)
    if (tools.length > DISCOVERY_TOOLS_MAX)
      throw new Error(`it lists more than ${DISCOVERY_TOOLS_MAX} tools`)
    if (nextCursor === undefined || nextCursor === '') return tools
    params = { cursor: nextCursor }
  }
  throw new Error(`its list has more than ${DISCOVERY_PAGES_MAX} pages`)
}

function byName(tools: readonly { readonly name: string }[]): LiveTools {
  const found = new Map<string, LiveTool>()
  for (const definition of tools) {
    const sha256 = definitionSha256(definition)
    const before = found.get(definition.name)
    if (before !== undefined && before.sha256 !== sha256)
      throw new Error(`it lists \`${definition.name}\` with two definitions`)
    const valid = toolDefinition.safeParse(definition).success
    found.set(definition.name, {
      sha256,
      definition,
      tool: valid ? (definition as ToolDefinition) : undefined,
    })
  }
  return found
}

type Modern = { readonly url: URL; readonly options: { readonly requestInit: RequestInit } }
type Opened = {
  readonly transport: () => Transport
  /** Where a server of the modern era alone may answer. */
  readonly modern?: Modern
  readonly stop: () => Promise<void>
  /** Command or URL, for people. */
  readonly where: string
  /** How long it may refuse connections: a server that we did not start is there or not. */
  readonly patienceMs: number
}

async function open(
  server: string,
  file: ServerFile,
  env: Env,
  presented: Presented,
): Promise<Opened> {
  const port = await freePort()
  const known = { ...env, PORT: String(port) }
  const upstream = upstreamOf(server, file)
  const preload = new URL('../../pep/src/upstream/preload.mjs', import.meta.url)
  const isolation = await isolationOf(env)
  const declared = expanded(() =>
    commandOf(upstream, { env: known, binDirectory, preload, isolation }, { port }),
  )
  const command = { ...declared, env: { ...declared.env, ...presented.env } }
  if (command.cwd !== undefined && !(await isDirectory(command.cwd))) {
    throw new CommandError(`\`cwd\` of server ${server} is not a directory: ${command.cwd}`, {
      hint: 'make it, or start the gateway on this CEDARGATE_HOME once',
    })
  }
  const where = `\`${[file.command, ...command.args].join(' ')}\``
  if (file.url === undefined) {
    const isolated = await isolation(command)
    return { transport: () => stdio(isolated), stop: async () => undefined, where, patienceMs: 0 }
  }
  const url = expanded(() => expandOrThrow(server, file.url ?? '', known))
  const options = { requestInit: { headers: { ...presented.headers } } }
  const transport = (): Transport =>
    file.transport === 'sse'
      ? new SSEClientTransport(new URL(url), options)
      : new StreamableHTTPClientTransport(new URL(url), options)
  const modern = file.transport === 'http' ? { modern: { url: new URL(url), options } } : {}
  if (file.command === undefined) {
    return { transport, ...modern, stop: async () => undefined, where: url, patienceMs: 0 }
  }
  const child = await startChild(command, isolation).catch((cause: unknown) => {
    throw new CommandError(`${where} of ${server} cannot be started: ${reason(cause)}`, { cause })
  })
  return { transport, ...modern, stop: () => stopChild(child), where, patienceMs: START_TIMEOUT_MS }
}

/** As a PEP would: it is the first time that somebody else's program runs here. Throws CommandError. */
async function isolationOf(env: Env): Promise<Isolation> {
  const setting = isolationSetting.safeParse(env['CEDARGATE_ISOLATION'])
  if (!setting.success)
    throw new CommandError(`CEDARGATE_ISOLATION ${setting.error.issues[0]?.message ?? ''}`)
  const uid = process.getuid?.()
  try {
    return await openIsolation(setting.data, { env, kept: keptOf(env), log: SILENT, uid })
  } catch (cause) {
    throw new CommandError(reason(cause), { cause })
  }
}

/** That `auto` found no sandbox is said by the gateway that serves it. */
const SILENT = { debug: nothing, info: nothing, warn: nothing, error: nothing }
function nothing(): void {
  // Nobody reads it.
}

function expanded<Value>(expand: () => Value): Value {
  try {
    return expand()
  } catch (cause) {
    throw new CommandError(reason(cause), { cause })
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
async function connect(
  client: Client,
  transport: () => Transport,
  patienceMs: number,
): Promise<void> {
  const deadline = performance.now() + patienceMs
  for (;;) {
    const attempt = transport()
    try {
      return await inTime(client.connect(attempt))
    } catch (error) {
      // An event stream that was refused is asked for again and again by its transport until that is closed.
      await attempt.close()
      if (performance.now() > deadline || !isRefused(error)) throw error
      await sleep(100)
    }
  }
}

/** The SDK waits for ever for the first event of a stream. */
async function inTime(connected: Promise<void>): Promise<void> {
  const late = new AbortController()
  const timeout = sleep(ANSWER_TIMEOUT_MS, undefined, { signal: late.signal }).then(() => {
    throw new Error(`it did not answer within ${ANSWER_TIMEOUT_MS / 1000} s`)
  })
  try {
    await Promise.race([connected, timeout])
  } finally {
    late.abort()
    await timeout.catch(() => undefined)
  }
}

function isRefused(error: unknown): boolean {
  if (error instanceof SseError) return error.code === undefined
  return error instanceof TypeError && error.message === 'fetch failed'
}
