// Owns measuring activations in a real PDP: how long from a save until it decides, what decisions wait meanwhile, and what
// fifty of them leave in memory.
import { hash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { withFiles } from '../../../pdp/src/bundle/testing.ts'
import { createPdp, type Pdp } from '../../../pdp/src/compose.ts'
import { openDecider } from '../../../pdp/src/decider.ts'
import { openDialer } from '../../../pdp/src/egress/dialer.ts'
import { createKeys, loadKeys } from '../../../pdp/src/keys/keys.ts'
import { systemClock } from '../../../pdp/src/main.ts'
import { directorySource } from '../../../pdp/src/source/directory-source.ts'
import { openPostgres } from '../../../pdp/src/store/open.ts'
import { formatToken } from '../../../schemas/identifiers.ts'
import { startCluster } from '../../harness/postgres.ts'
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
  await createKeys(join(home, 'keys'))
  const cluster = await startCluster({ durable: true })
  const store = await openPostgres(cluster.url)
  await store.migrate()
  const decider = await openDecider({
    source: directorySource(directory),
    trust: { signers: [], unsignedDirectory: 'accept' },
    env: {},
    engineWorkers: 2,
    clock: systemClock,
  })
  const operator = formatToken('operator', randomBytes(32), sha256)
  const pdp = await createPdp({
    store,
    keys: await loadKeys(join(home, 'keys')),
    decider,
    operatorTokenSha256: sha256(operator),
    publicUrl: 'http://127.0.0.1:8181',
    clock: systemClock,
    random: (bytes) => randomBytes(bytes),
    dial: openDialer(),
    env: {},
    log: pino({ level: 'silent' }),
  })
  const servers = [serverOf(0)]
  const { key } = await pdp.peps.enrollPep(servers)
  const who = { user: 'ada', agent: 'bench', teams: ['team-0'] }
  const { token } = await pdp.admin.createGrant({ ...who, servers, expiresInMs: 86_400_000 })
  const definition = [
    ...(pdp.bundle.servers.get(serverOf(0))?.tools.get(toolOf(0))?.variants.keys() ?? []),
  ][0]
  const message = JSON.stringify({
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: { name: toolOf(0), arguments: ARGUMENTS },
  })
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  const ask = async (): Promise<boolean> => {
    const call = {
      requestId: crypto.randomUUID(),
      token: sha256(token),
      server: serverOf(0),
      method: 'tools/call',
      message,
      era: 'modern',
      definition,
      client: null,
      sourceIp: null,
    }
    const body = JSON.stringify({ calls: [call] })
    const answer = await pdp.app.request('/pep/v1/decide', { method: 'POST', headers, body })
    const { results } = (await answer.json()) as { results: { decision?: string }[] }
    return results[0]?.decision === 'allow'
  }
  return {
    pdp,
    ask,
    stop: async () => {
      await pdp.stop()
      await store.close()
      await cluster.stop()
    },
  }
}

function sha256(text: string): string {
  return hash('sha256', text)
}
