// Owns a real `cedargate dev` for end-to-end tests: its own process, home, ports and database, and the command line that
// talks to it. Never shares state between two of them.
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { type Ended, endCommand, type Running, runCommand, sleep, startCommand } from './command.ts'
import { copyPglite } from './pglite.ts'
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

/** Starts `cedargate dev` and waits until it serves. Throws with everything it printed when it ends before that. */
export async function startDev(options: DevOptions = {}): Promise<Dev> {
  const home = options.home ?? (await mkdtemp(join(tmpdir(), 'cedargate-dev-')))
  const databaseUrl = options.databaseUrl ?? (await createTestDatabase())
  const embedded = join(home, 'database')
  if (databaseUrl === undefined && !existsSync(embedded)) await copyPglite(embedded)
  const running = startCommand(['dev'], {
    CEDARGATE_HOME: home,
    CEDARGATE_PEP_PORT: '0',
    CEDARGATE_PDP_PORT: '0',
    ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }),
    ...(options.bundle === undefined ? {} : { CEDARGATE_BUNDLE: options.bundle }),
    ...options.env,
  })
  const stop = async (signal?: NodeJS.Signals): Promise<Ended> => {
    const ended = await endCommand(running, signal)
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
