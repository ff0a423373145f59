// Owns running the real `cedargate` command as a process under test: its environment, its output, its end.
// Never lets settings of whoever runs the tests leak in, and never outlives a killed test run.
import { type ChildProcess, spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** How a command ended. `code` is null when a signal ended it. */
export type Ended = {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export type Running = {
  readonly child: ChildProcess
  /** What it has printed so far. */
  readonly stdout: () => string
  readonly stderr: () => string
  readonly ended: Promise<Ended>
}

type Settings = Readonly<Record<string, string>>

const STOP_TIMEOUT_MS = 15_000
const root = join(import.meta.dirname, '..', '..')
const node = join(root, 'node_modules', '.bin', 'node')
const main = join(root, 'cli', 'src', 'main.ts')
const preload = join(import.meta.dirname, 'end-with-parent.ts')

/** Runs the `cedargate` command to its end, with `env` as its only settings. Does NOT throw on a failure. */
export async function runCommand(words: readonly string[], env: Settings = {}): Promise<Ended> {
  return await startCommand(words, env).ended
}

/** Runs a command that reads `input` from stdin; by that it ends with its parent. */
export async function runCommandWith(
  input: string,
  words: readonly string[],
  env: Settings,
): Promise<Ended> {
  const running = startNode([main, ...words], env, tmpdir())
  running.child.stdin?.end(input)
  return await running.ended
}

/** Starts the command from this checkout, with `env` as its only settings; `cwd` is a directory of nobody's. */
export function startCommand(
  words: readonly string[],
  env: Settings,
  cwd: string = tmpdir(),
): Running {
  return startNode(['--import', preload, main, ...words], env, cwd)
}

/** Starts a command on a terminal of its own (util-linux), which shows what is typed until the command says otherwise. */
export function startOnTerminal(words: readonly string[], env: Settings): Running {
  const line = shellLine(words)
  return startProgram('script', ['-qe', '-E', 'always', '-c', line, '/dev/null'], env, tmpdir())
}

/** Runs a command whose output goes through a pipe to `reader`, or to the file `output`. The last line of stderr is its own exit code. */
export async function runPiped(
  words: readonly string[],
  reader: string,
  env: Settings,
  output = '&1',
): Promise<Ended> {
  const line = `{ ${shellLine(words)} >${output}; echo $? >&2; } | ${reader}`
  return await startProgram('sh', ['-c', line], env, tmpdir()).ended
}

function shellLine(words: readonly string[]): string {
  return [node, main, ...words].map((word) => `'${word}'`).join(' ')
}

function startNode(words: readonly string[], env: Settings, cwd: string): Running {
  return startProgram(node, words, env, cwd)
}

function startProgram(
  program: string,
  words: readonly string[],
  env: Settings,
  cwd: string,
): Running {
  const child = spawn(program, words, {
    cwd,
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

/** Ends it with `signal`. Throws, having killed it, when it takes longer than 15 s. */
export async function endCommand(
  running: Running,
  signal: NodeJS.Signals = 'SIGTERM',
): Promise<Ended> {
  running.child.kill(signal)
  const late = sleep(STOP_TIMEOUT_MS).then(() => undefined)
  const ended = await Promise.race([running.ended, late])
  if (ended !== undefined) return ended
  running.child.kill('SIGKILL')
  throw new Error(`cedargate did not stop on ${signal}:\n${running.stderr()}`)
}

/** Does not keep the process alive. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref()
  })
}
