// Owns joining the command line to its real surroundings: environment, terminal, version.
import { readFileSync } from 'node:fs'
import type { ExitCode } from '../../schemas/codes.ts'
import { endWithoutReader } from './closed-output.ts'
import { readConfig } from './config.ts'
import { terminal } from './output.ts'
import { packageRoot } from './package-root.ts'
import { runProgram } from './program.ts'

/** Runs one command line (without `node` and the script) and answers its exit code. */
export async function run(words: readonly string[]): Promise<ExitCode> {
  endWithoutReader()
  const manifest = readFileSync(new URL('package.json', packageRoot), 'utf8')
  const { version } = JSON.parse(manifest) as { version: string }
  return runProgram(words, readConfig(), terminal, version)
}
