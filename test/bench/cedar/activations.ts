// Owns measuring activations in a real PDP: how long from a save until it decides, what decisions wait meanwhile, and what
// fifty of them leave in memory.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { withFiles } from '../../../pdp/src/bundle/testing.ts'
import type { Pdp } from '../../../pdp/src/compose.ts'
import { createKeys } from '../../../pdp/src/keys/keys.ts'
import { startCluster } from '../../harness/postgres.ts'
import { callOf, decideOne, openInProcessPdp, reviewedOf } from '../in-process-pdp.ts'
import { ARGUMENTS, benchBundle, serverOf, toolOf } from './bundles.ts'

export type Activations = {
  /** Milliseconds from the save until the new bundle decides, of each activation. */
  readonly activeMs: readonly number[]
  readonly decided: number
  readonly failed: number
  readonly waitedMostMs: number
  /** Resident memory of the process after each activation, in MiB. */
  readonly residentMiB: readonly number[]
}

/** Pause between two decisions: a steady stream of calls, not a flood. */
const PACE_MS = 5
const DAY_MS = 86_400_000

/** Activates `count` times, alternating between two bundles of `policies` policies, under a steady stream of decisions. */
export async function measureActivations(
  policies: number,
  count: number,
  say: (text: string) => void,
): Promise<Activations> {
  const home = await mkdtemp(join(tmpdir(), 'cedargate-bench-'))
  try {
    return await withFiles(home, benchBundle(policies), async (directory) => {
      const pdp = await openPdp(home, directory)
      try {
        return await activateAll(pdp.pdp, directory, count, say, pdp.ask)
      } finally {
        await pdp.stop()
      }
    })
  } finally {
    await rm(home, { recursive: true })
  }
}

async function activateAll(
  pdp: Pdp,
  directory: string,
  count: number,
  say: (text: string) => void,
  ask: () => Promise<boolean>,
): Promise<Activations> {
  const stream = { on: true, decided: 0, failed: 0, waitedMostMs: 0 }
  for (let index = 0; index < 200; index++) await ask()
  const streaming = keepAsking(stream, ask)
  const activeMs: number[] = []
  const residentMiB: number[] = []
  for (let index = 0; index < count; index++) {
    const before = pdp.bundle.id
    const began = performance.now()
    await writeFile(join(directory, 'gateway.yaml'), `name: Bench ${index}\n`)
    while (pdp.bundle.id === before) {
      await sleep(5)
      if (performance.now() - began > 60_000) throw new Error('the bundle did not become active')
    }
    activeMs.push(performance.now() - began)
    await sleep(1_500)
    residentMiB.push(process.memoryUsage().rss / 1024 / 1024)
    if (index % 10 === 9) say(`activation ${index + 1}: ${Math.round(residentMiB.at(-1) ?? 0)} MiB`)
  }
  stream.on = false
  await streaming
  const { decided, failed, waitedMostMs } = stream
  return { activeMs, decided, failed, waitedMostMs, residentMiB }
}

type Stream = { on: boolean; decided: number; failed: number; waitedMostMs: number }

async function keepAsking(stream: Stream, ask: () => Promise<boolean>): Promise<void> {
  while (stream.on) {
    const began = performance.now()
    const ok = await ask()
    stream.waitedMostMs = Math.max(stream.waitedMostMs, performance.now() - began)
    stream.decided++
    if (!ok) stream.failed++
    await sleep(PACE_MS)
  }
}

async function openPdp(home: string, directory: string) {
  const keys = join(home, 'keys')
  await createKeys(keys)
  const cluster = await startCluster({ durable: true })
  const { pdp, stop } = await openInProcessPdp({ directory, keys, database: cluster.url })
  const [server, tool] = [serverOf(0), toolOf(0)]
  const { key } = await pdp.peps.enrollPep([server])
  const who = { user: 'ada', agent: 'bench', teams: ['team-0'] }
  const { token } = await pdp.admin.createGrant({ ...who, servers: [server], expiresInMs: DAY_MS })
  const definition = reviewedOf(pdp, server, tool)
  const call = callOf({ token, server, tool, arguments: ARGUMENTS, definition })
  const ask = async (): Promise<boolean> => {
    const result = (await decideOne(pdp, key, call())) as { decision?: string } | undefined
    return result?.decision === 'allow'
  }
  return {
    pdp,
    ask,
    stop: async () => {
      await stop()
      await cluster.stop()
    },
  }
}
