// Owns the processes the PEP starts: what they inherit, and that nothing of them stays behind.
// Never passes on the PEP's own environment: a server gets what its server.yaml declares.
import { type ChildProcess, spawn } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { delimiter } from 'node:path'
import { expandVariables } from '../../../schemas/expand.ts'
import type { Upstream } from '../../../schemas/pep-api.ts'
import type { Credential } from '../credential.ts'
import { CHILD_STOP_MS } from '../limits.ts'

export type Env = Readonly<Record<string, string | undefined>>

/** What every child is given beside its own declaration. */
export type Surroundings = {
  /**
   * The PEP's environment: PATH, HOME, LANG and TMPDIR are passed on, CEDARGATE_* only expanded.
   */
  readonly env: Env
  /** A directory of commands that comes first in PATH. */
  readonly binDirectory: string | undefined
  /** URL of preload.mjs. */
  readonly preload: URL
  /** What keeps a child from what is not its own. */
  readonly isolation: Isolation
}

export type Command = {
  readonly command: string
  readonly args: readonly string[]
  readonly env: Record<string, string>
  readonly cwd: string | undefined
  /** Absolute directories; null: no limit of ours. */
  readonly writable: readonly string[] | null
}

/** What is run in the place of a command, so that it runs apart. Rejects where that cannot be. */
export type Isolation = (command: Command) => Promise<Command>

/** What one child is given alone. */
export type Given = {
  readonly port?: number
  /** For its environment: never an argument, which every process could read. */
  readonly credential?: Credential | undefined
}

export const unisolated: Isolation = (command) => Promise.resolve(command)

const INHERITED = ['PATH', 'HOME', 'LANG', 'TMPDIR'] as const

/**
 * What to run for `upstream`, `${NAME}` expanded with `port` as PORT. A credential is added as it is. Throws Error naming
 * the variable.
 */
export function commandOf(
  upstream: Upstream,
  { env, binDirectory, preload }: Surroundings,
  { port, credential }: Given = {},
): Command {
  const known = port === undefined ? env : { ...env, PORT: String(port) }
  const expand = (text: string): string => expandOrThrow(upstream.id, text, known)
  const inherited: Record<string, string> = {}
  for (const name of INHERITED) if (env[name] !== undefined) inherited[name] = env[name]
  if (binDirectory !== undefined) {
    inherited['PATH'] = [binDirectory, inherited['PATH']].filter(Boolean).join(delimiter)
  }
  const declared = Object.entries(upstream.env).map(([name, value]) => [name, expand(value)])
  const own = { ...inherited, ...(Object.fromEntries(declared) as Record<string, string>) }
  const options = [`--import=${preload.href}`, own['NODE_OPTIONS']].filter(Boolean).join(' ')
  return {
    command: upstream.command ?? '',
    args: upstream.args.map(expand),
    env: { ...own, NODE_OPTIONS: options, ...credential?.env() },
    cwd: upstream.cwd === null ? undefined : expand(upstream.cwd),
    writable: upstream.writable?.map(expand) ?? null,
  }
}

/** `text` with its variables. Throws Error that names server and variable. */
export function expandOrThrow(server: string, text: string, env: Env): string {
  const expansion = expandVariables(text, env)
  if (expansion.ok) return expansion.value
  throw new Error(`server ${server}: ${expansion.message}`)
}

/** Starts the command of `upstream`. Rejects when it cannot be started, naming the server. */
export async function startServer(
  upstream: Upstream,
  surroundings: Surroundings,
  given?: Given,
): Promise<ChildProcess> {
  const command = commandOf(upstream, surroundings, given)
  const { cwd } = command
  if (cwd !== undefined && !(await isDirectory(cwd))) {
    const fix = 'make it, or change `cwd` in server.yaml'
    throw new Error(`\`cwd\` of server ${upstream.id} is not a directory: ${cwd}; ${fix}`)
  }
  return startChild(command, surroundings.isolation)
}

/** Asked of a `cwd` before the command is started: where it is not there, the system says so of the command. */
export async function isDirectory(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined) // It is not there.
  return found?.isDirectory() === true
}

/**
 * Starts a command, isolated, as the head of a process group of its own, without a shell. Rejects when it
 * cannot be started.
 */
export async function startChild(own: Command, isolation: Isolation): Promise<ChildProcess> {
  const { command, args, env, cwd } = await isolation(own)
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env,
      cwd,
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    child.once('error', reject)
    child.once('spawn', () => {
      child.off('error', reject)
      child.on('error', () => undefined)
      child.stdin.on('error', () => undefined)
      resolve(child)
    })
  })
}

/**
 * Ends a child and its whole group: its input closes, then SIGTERM, then SIGKILL, CHILD_STOP_MS apart; `isUrgent`: all
 * within a quarter of that.
 */
export async function stopChild(child: ChildProcess, isUrgent = false): Promise<void> {
  const exited = hasExited(child)
    ? Promise.resolve()
    : new Promise((resolve) => child.once('exit', resolve))
  child.stdin?.end()
  const politeMs = CHILD_STOP_MS / 4
  const patience = isUrgent
    ? { SIGTERM: 0, SIGKILL: politeMs }
    : { SIGTERM: politeMs, SIGKILL: CHILD_STOP_MS }
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (await isSettledWithin(exited, patience[signal])) break
    signalGroup(child, signal)
  }
  await exited
  signalGroup(child, 'SIGKILL')
}

/** Resolves when the child is gone. */
export function exitOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (hasExited(child)) resolve()
    else child.once('exit', () => resolve())
  })
}

function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

/** The head may be gone while others of its group are not. */
function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // Nobody is left in the group.
  }
}

async function isSettledWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms)
  })
  return Promise.race([promise.then(() => true), late]).finally(() => clearTimeout(timer))
}
