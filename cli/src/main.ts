// Owns the process of the `cedargate` command: argv in, exit code out.
// Compiled code is kept between starts, which takes a second off each; so everything else is loaded after that is on.
import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'
import { packageRoot } from './package-root.ts'

enableCompileCache(fileURLToPath(new URL('node_modules/.cache/compile/', packageRoot)))
const { run } = await import('./run.ts')
process.exitCode = await run(process.argv.slice(2))
