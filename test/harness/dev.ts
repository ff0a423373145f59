// Owns a real `cedargate dev` for end-to-end tests: its own process, home, ports and database, and the command line that
// talks to it. Never shares state between two of them.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { createTestDatabase } from './store.ts'

/** `dev.json` of a running gateway, as the issue promises it. */
const facts = z.strictObject({
  pepUrl: z.url(),
  pdpUrl: z.url(),
  operatorToken: z.string(),
  servers: z.array(z.string()),
  users: z.record(z.string(), z.strictObject({ token: z.string() })),
})
export type Facts = z.infer<typeof facts>

/** How a command ended. `code` is null when a signal ended it. */
export type Ended = {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export type Dev = {
  readonly facts: Facts
  readonly home: string
  /** What it has printed so far. */
  readonly stdout: () => string
  readonly stderr: () => string
  /** The `cedargate` command against this gateway. */
  readonly cli: (...words: string[]) => Promise<Ended>
  /** Ends it with `signal` (default SIGTERM) and answers how it ended. Throws when it does not within 15 s. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<Ended>
}
export type DevOptions = {
  /** Reuse a home, which then outlives `stop`. Default: a new one, removed by `stop`. */
  readonly home?: string
  /** Reuse a database of an earlier start. Default: a new one of the project's kind, PGlite in the home otherwise. */
  readonly databaseUrl?: string
  readonly bundle?: string
  /** Further environment variables. */
  readonly env?: Readonly<Record<string, string>>
}

const START_TIMEOUT_MS = 45_000
const STOP_TIMEOUT_MS = 15_000
const root = join(import.meta.dirname, '..', '..')
const node = join(root, 'node_modules', '.bin', 'node')
const main = join(root, 'cli', 'src', 'main.ts')
const preload = join(import.meta.dirname, 'end-with-parent.ts')

/** Starts `cedargate dev` and waits until it serves. Throws with everything it printed when it ends before that. */
export async function startDev(options: DevOptions = {}): Promise<Dev> {
  const home = options.home ?? (await mkdtemp(join(tmpdir(), 'cedargate-dev-')))
  const databaseUrl = options.databaseUrl ?? (await createTestDatabase())
  const running = start(['dev'], {
    CEDARGATE_HOME: home,
    CEDARGATE_PEP_PORT: '0',
    CEDARGATE_PDP_PORT: '0',
    ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }),
    ...(options.bundle === undefined ? {} : { CEDARGATE_BUNDLE: options.bundle }),
    ...options.env,
  })
  const stop = async (signal?: NodeJS.Signals): Promise<Ended> => {
    const ended = await end(running, signal)
    if (options.home === undefined) await rm(home, { recursive: true, force: true })
    return ended
  }
  try {
    const known = await waitForFacts(join(home, 'dev.json'), running)
    const cli = (...words: string[]): Promise<Ended> => runCommand(words, { CEDARGATE_HOME: home })
    const { stdout, stderr } = running
    return { facts: known, home, stdout, stderr, cli, stop }
  } catch (error) {
    await stop('SIGKILL')
    throw error
  }
}

/** Runs the `cedargate` command to its end, with `env` as its only settings. Does NOT throw on a failure. */
export async function runCommand(
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  return await start(words, env).ended
}

type Running = {
  readonly child: ChildProcess
  readonly stdout: () => string
  readonly stderr: () => string
  readonly ended: Promise<Ended>
}

function start(words: readonly string[], env: Readonly<Record<string, string>>): Running {
  const child = spawn(node, ['--import', preload, main, ...words], {
    cwd: tmpdir(),
    env: { ...withoutSettings(process.env), ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const printed = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      printed[name] += text
    })
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, ...printed }))
  })
  return { child, ended, stdout: () => printed.stdout, stderr: () => printed.stderr }
}

/** The machine's environment without anything that configures a gateway: a developer's own must not leak in. */
function withoutSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(
    ([name]) => !name.startsWith('CEDARGATE_') && name !== 'DATABASE_URL',
  )
  return Object.fromEntries(kept)
}

async function waitForFacts(path: string, running: Running): Promise<Facts> {
  const deadline = performance.now() + START_TIMEOUT_MS
  while (!existsSync(path)) {
    const over = running.child.exitCode !== null || running.child.signalCode !== null
    if (over || performance.now() > deadline) {
      const why = over ? 'ended before it served' : `did not serve within ${START_TIMEOUT_MS} ms`
      throw new Error(`cedargate dev ${why}:\n${running.stdout()}\n${running.stderr()}`)
    }
    await sleep(50)
  }
  return facts.parse(JSON.parse(await readFile(path, 'utf8')))
}

async function end(running: Running, signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
  running.child.kill(signal)
  const late = sleep(STOP_TIMEOUT_MS).then(() => undefined)
  const ended = await Promise.race([running.ended, late])
  if (ended !== undefined) return ended
  running.child.kill('SIGKILL')
  throw new Error(`cedargate dev did not stop on ${signal}:\n${running.stderr()}`)
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref()
  })
}
