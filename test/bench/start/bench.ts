// Owns the benchmark `start`: how long `cedargate dev` takes until it serves, on an empty home and on the one it left.
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { endCommand, sleep, startCommand } from '../../harness/command.ts'
import { spread } from '../gateway/measure.ts'
import type { Bench, BenchOptions } from '../registry.ts'

const STARTS = 9
const TIMEOUT_MS = 60_000
const POLL_MS = 5

export const startBench: Bench = {
  name: 'start',
  about: 'from `cedargate dev` to a gateway that serves: the first time, and every time after',
  run,
}

async function run({ quick, say }: BenchOptions): Promise<object> {
  const folder = await mkdtemp(join(tmpdir(), 'cedargate-bench-'))
  try {
    const home = join(folder, 'home')
    const firstMs = await startOnce(home)
    say(`first: ${Math.round(firstMs)} ms`)
    const again: number[] = []
    for (let count = 0; count < (quick ? 2 : STARTS); count++) {
      again.push(await startOnce(home))
      say(`again: ${Math.round(again.at(-1) ?? 0)} ms`)
    }
    const againMs = spread(again)
    say(`median ${Math.round(againMs.median)} ms`)
    return { firstMs, againMs }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Milliseconds until dev.json is there, which is when the self-checks have passed and both ports serve. */
async function startOnce(home: string): Promise<number> {
  const began = performance.now()
  const env = { CEDARGATE_HOME: home, CEDARGATE_PEP_PORT: '0', CEDARGATE_PDP_PORT: '0' }
  const dev = startCommand(['dev'], env)
  try {
    while (!existsSync(join(home, 'dev.json'))) {
      if (dev.child.exitCode !== null || performance.now() - began > TIMEOUT_MS)
        throw new Error(`dev did not start:\n${dev.stdout()}${dev.stderr()}`)
      await sleep(POLL_MS)
    }
    return performance.now() - began
  } finally {
    await endCommand(dev)
  }
}
