// Owns the gateway that agents are tested against: a real `cedargate dev` on a copy of the example bundle with one policy
// more, and what its record and its folder hold.
import { existsSync } from 'node:fs'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { type DecisionRow, decisionRow } from '../../schemas/decisions-api.ts'
import { connectClient } from '../harness/client.ts'
import { endCommand, type Running, startCommand } from '../harness/command.ts'
import { jsonHere } from '../harness/in-process.ts'
import type { Target } from './agents.ts'
import type { ToolCall } from './stub.ts'

/**
 * Denies every call of a tool that is listed all the same: how long its arguments are is not known when tools are listed.
 * So an agent has the tool, and it is the gateway that refuses it.
 */
const FREEZE = `
@id("files/freeze")
@reason("no directories until the move is over")
forbid (principal, action == MCP::Action::"files/create_directory", resource)
when { context.argsMeta.bytes >= 0 };
`
const EXAMPLE = fileURLToPath(new URL('../../policies/', import.meta.url))
const SERVER = 'files'
const USER = 'alice'
const START_TIMEOUT_MS = 60_000

export type Gateway = {
  /** The server `files`, for alice. */
  readonly target: Target
  /** What a plain SDK client reads for the same call. */
  readonly textFor: (call: ToolCall) => Promise<string>
  /** Alice's calls in the record, newest first. */
  readonly calls: () => Promise<DecisionRow[]>
  /** Every file and folder the server has, sorted. */
  readonly files: () => Promise<string[]>
  readonly read: (file: string) => Promise<string>
  readonly stop: () => Promise<void>
}

/** Throws with everything it printed when it does not serve within a minute. */
export async function startGateway(): Promise<Gateway> {
  const folder = await mkdtemp(join(tmpdir(), 'cedargate-agents-'))
  const home = join(folder, 'home')
  const bundle = join(folder, 'bundle')
  await cp(EXAMPLE, bundle, { recursive: true })
  await writeFile(join(bundle, 'cedar/freeze.cedar'), FREEZE)
  const env = { CEDARGATE_HOME: home, CEDARGATE_BUNDLE: bundle }
  const running = startCommand(['dev'], {
    ...env,
    CEDARGATE_PEP_PORT: '0',
    CEDARGATE_PDP_PORT: '0',
  })
  const stop = async (): Promise<void> => {
    await endCommand(running)
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const { pepUrl, token } = await factsOf(home, running)
    return { ...looks(home, pepUrl, token), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function looks(home: string, pepUrl: string, token: string): Omit<Gateway, 'stop'> {
  const demo = join(home, 'demo')
  return {
    target: { url: `${pepUrl}/${SERVER}/mcp`, token },
    async textFor({ tool, args }) {
      const client = await connectClient('sdk-1.32', { pepUrl, server: SERVER, token })
      const answer = await client.call(tool, args).catch((error: unknown) => ({
        text: `no result: ${String(error)}`,
      }))
      await client.close()
      return answer.text
    },
    async calls() {
      const words = ['decisions', 'ls', '--user', USER, '--server', SERVER, '--limit', '1000']
      const rows = z.array(decisionRow).parse(await jsonHere(words, { CEDARGATE_HOME: home }))
      return rows.filter(({ method }) => method === 'tools/call')
    },
    files: async () => (await readdir(demo, { recursive: true })).toSorted(),
    read: (file) => readFile(join(demo, file), 'utf8'),
  }
}

const devFacts = z.looseObject({
  pepUrl: z.string(),
  users: z.record(z.string(), z.object({ token: z.string() })),
})

async function factsOf(home: string, running: Running): Promise<{ pepUrl: string; token: string }> {
  const path = join(home, 'dev.json')
  const deadline = performance.now() + START_TIMEOUT_MS
  while (!existsSync(path)) {
    if (running.child.exitCode !== null || performance.now() > deadline)
      throw new Error(`cedargate dev does not serve:\n${running.stdout()}${running.stderr()}`)
    await sleep(50)
  }
  const { pepUrl, users } = devFacts.parse(JSON.parse(await readFile(path, 'utf8')))
  return { pepUrl, token: users[USER]?.token ?? '' }
}
