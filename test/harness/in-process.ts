// Owns running one `cedargate` command line inside the test's own process: the same program without the second it takes
// to start one. For commands that end by themselves; what runs until told to stop is started by harness/command.ts.
import { readConfig } from '../../cli/src/config.ts'
import { runProgram } from '../../cli/src/program.ts'
import type { Ended } from './command.ts'

export type RunningHere = {
  /** What it has printed so far. */
  readonly stderr: () => string
  readonly ended: Promise<Ended>
}

/** Runs it with `env` as its whole environment. The exit code is what main.ts would exit with. */
export function runHere(
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  return startHere(words, env).ended
}

/** As runHere, for a command that waits for something the test then does. */
export function startHere(
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): RunningHere {
  const printed = { stdout: '', stderr: '' }
  const io = {
    out: (text: string) => {
      printed.stdout += `${text}\n`
    },
    err: (text: string) => {
      printed.stderr += `${text}\n`
    },
  }
  const exit = runProgram(words, readConfig(env), io, '0.0.0-test')
  return { stderr: () => printed.stderr, ended: exit.then((code) => ({ code, ...printed })) }
}

/** What a command prints as JSON. Throws with everything it said when it fails. */
export async function jsonHere(
  words: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<unknown> {
  const ended = await runHere([...words, '--format', 'json'], env)
  if (ended.code === 0) return JSON.parse(ended.stdout)
  throw new Error(`cedargate ${words.join(' ')} ended with ${ended.code}:\n${ended.stderr}`)
}
