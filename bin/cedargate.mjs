#!/usr/bin/env node
// Owns starting the `cedargate` command from a checkout, whatever Node the machine has: cli/src/main.ts runs on the
// workspace's own. Plain JavaScript for Node ≥ 20. What `npm run pack` makes does not contain this file.
import { spawn } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const node = join(root, 'node_modules', '.bin', 'node')
const main = join(root, 'cli', 'src', 'main.ts')
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** The command as a child. Its exit code or signal becomes ours; a signal to us reaches it. */
function spawnMain() {
  const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: 'inherit' })
  for (const signal of FORWARDED) process.on(signal, () => child.kill(signal))
  child.on('exit', (status, signal) => {
    if (signal === null) process.exit(status)
    for (const forwarded of FORWARDED) process.removeAllListeners(forwarded)
    process.kill(process.pid, signal)
  })
}

if (!existsSync(node)) {
  process.stderr.write(
    'cedargate: this checkout is not set up: run `npm start` (or `node bin/setup.mjs`) first\n',
  )
  process.exitCode = 2
} else if (realpathSync(node) === realpathSync(process.execPath)) {
  process.argv[1] = main
  await import(pathToFileURL(main).href)
} else spawnMain()
