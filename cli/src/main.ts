// Owns the process of the `cedargate` command: argv in, exit code out.
import { readFileSync } from 'node:fs'
import { readConfig } from './config.ts'
import { terminal } from './output.ts'
import { packageRoot } from './package-root.ts'
import { runProgram } from './program.ts'

const { version } = JSON.parse(readFileSync(new URL('package.json', packageRoot), 'utf8')) as {
  version: string
}
process.exitCode = await runProgram(process.argv.slice(2), readConfig(), terminal, version)
