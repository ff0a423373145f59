// Owns the bundle of the benchmark `streams`: three servers, everything allowed to its team but one tool, which a second
// version allows too, so that what everybody sees changes.
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeToolsLock } from '../../../pdp/src/catalog/lock.ts'
import { CHILD_TOOL, HTTP_SERVER, HTTP_TOOLS, LATER_TOOL, STDIO_SERVERS } from './words.ts'

export type Bundle = {
  readonly directory: string
  /** Permits one tool more, of every server. */
  readonly widen: () => Promise<void>
}

const TEAM = 'principal in MCP::Team::"bench"'

/** In a new temporary directory, which whoever asked removes. */
export async function writeBundle(): Promise<Bundle> {
  const directory = await mkdtemp(join(tmpdir(), 'cedargate-bench-bundle-'))
  const write = async (file: string, text: string): Promise<void> => {
    await mkdir(dirname(join(directory, file)), { recursive: true })
    await writeFile(join(directory, file), text)
  }
  const child = fileURLToPath(new URL('child.mjs', import.meta.url))
  const childTools = [CHILD_TOOL, LATER_TOOL]
  const command = {
    command: 'node',
    args: ['--max-old-space-size=32', '--max-semi-space-size=1', child, JSON.stringify(childTools)],
  }
  await write('gateway.yaml', 'name: Benchmark\n')
  await write(`servers/${HTTP_SERVER}/server.yaml`, 'url: ${CEDARGATE_SERVER_OPEN_URL}\n')
  await write(`servers/${HTTP_SERVER}/tools.lock.json`, lockOf(...HTTP_TOOLS, LATER_TOOL))
  for (const server of STDIO_SERVERS) {
    await write(`servers/${server}/server.yaml`, JSON.stringify(command))
    await write(`servers/${server}/tools.lock.json`, lockOf(...childTools))
  }
  await write('cedar/bench.cedar', policies())
  return { directory, widen: () => write('cedar/later.cedar', laterPolicy()) }
}

function lockOf(...tools: readonly object[]): string {
  return JSON.stringify(makeToolsLock(structuredClone(tools) as never), null, 2)
}

function policies(): string {
  const actions = [
    ...HTTP_TOOLS.map(({ name }) => `${HTTP_SERVER}/${name}`),
    ...STDIO_SERVERS.map((server) => `${server}/${CHILD_TOOL.name}`),
  ]
  return [
    permit('connect', TEAM, ['connect']),
    permit('discovery', 'principal == MCP::Agent::"cedargate"', ['connect']),
    permit('tools', TEAM, actions),
  ].join('\n')
}

function laterPolicy(): string {
  const actions = [HTTP_SERVER, ...STDIO_SERVERS].map((server) => `${server}/${LATER_TOOL.name}`)
  return permit('later', TEAM, actions)
}

function permit(name: string, principal: string, actions: readonly string[]): string {
  const listed = actions.map((action) => `MCP::Action::"${action}"`).join(', ')
  return `@id("bench/${name}")\npermit (${principal}, action in [${listed}], resource);\n`
}
