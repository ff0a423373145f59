// Owns a server that the PEP starts itself and speaks HTTP to: kept running, on a loopback port of its
// own.
import type { ChildProcess } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from 'undici'
import { DialRefused, serverRules } from '../../../schemas/dial.ts'
import { isLoopbackUrl } from '../../../schemas/hosts.ts'
import type { Upstream } from '../../../schemas/pep-api.ts'
import { GatewayError } from '../gateway-error.ts'
import {
  SPAWN_BACKOFF_MS_MAX,
  SPAWN_BACKOFF_MS_MIN,
  SPAWN_POLL_MS,
  SPAWN_READY_TIMEOUT_MS,
} from '../limits.ts'
import type { Log, Monotonic } from '../ports.ts'
import { exitOf, expandOrThrow, type Surroundings, startServer, stopChild } from './child.ts'
import { freePort } from './free-port.ts'
import { type HttpTarget, openPool } from './open-pool.ts'
import type { UpstreamServer } from './upstream.ts'

export type SpawnPorts = {
  readonly monotonic: Monotonic
  readonly surroundings: Surroundings
  readonly log: Log
  /** It answers again, and may be another version of itself. */
  readonly onRestarted: (id: string) => void
}

export type SpawnedServer = UpstreamServer & {
  /** Resolves when it first answers, or has failed to once. */
  readonly started: Promise<void>
}

/**
 * Starts the command now and again whenever it ends, ever later up to SPAWN_BACKOFF_MS_MAX, on a
 * new port each time. `connect` makes what speaks to it at its url.
 */
export function openSpawnedServer(
  upstream: Upstream,
  connect: (url: URL) => UpstreamServer,
  ports: SpawnPorts,
): SpawnedServer {
  const { id } = upstream
  const stopping = new AbortController()
  let current: UpstreamServer | undefined
  let child: ChildProcess | undefined
  let hasStarted = false
  const { promise: started, resolve: markStarted } = Promise.withResolvers<void>()

  const runOnce = async (): Promise<void> => {
    const port = await freePort()
    const url = urlOf(upstream, ports.surroundings, port)
    child = await startServer(upstream, ports.surroundings, { port })
    if (upstream.credential === undefined) logOutput(child, id, ports.log)
    else discardOutput(child)
    const gone = exitOf(child)
    try {
      await answering({ url, rules: serverRules(upstream, url) }, gone, stopping.signal)
      current = connect(url)
      if (hasStarted) ports.onRestarted(id)
      hasStarted = true
      markStarted()
      await gone
    } finally {
      await current?.stop()
      current = undefined
      await stopChild(child)
    }
  }
  const keepRunning = async (): Promise<void> => {
    for (let backoff = SPAWN_BACKOFF_MS_MIN; !stopping.signal.aborted; ) {
      const since = ports.monotonic()
      await runOnce().catch((error: unknown) => {
        // Stopped while it was starting: that is no failure.
        if (!stopping.signal.aborted)
          ports.log.error({ err: error, server: id }, 'the server did not start')
      })
      markStarted()
      if (stopping.signal.aborted) return
      if (ports.monotonic() - since > SPAWN_BACKOFF_MS_MAX) backoff = SPAWN_BACKOFF_MS_MIN
      ports.log.warn({ server: id, backoffMs: backoff }, 'the server ended; starting it again')
      await sleep(backoff, undefined, { signal: stopping.signal }).catch(() => undefined)
      backoff = Math.min(backoff * 2, SPAWN_BACKOFF_MS_MAX)
    }
  }
  const running = keepRunning()

  const server = (): UpstreamServer => {
    if (current !== undefined) return current
    throw new GatewayError('upstream_unavailable', `the server ${id} is not running`)
  }
  return {
    id,
    started,
    forward: async (call, sending) => server().forward(call, sending),
    connect: async (call) => server().connect(call),
    end: (grant) => current?.end(grant),
    async stop() {
      stopping.abort()
      if (child !== undefined) await stopChild(child)
      await running
    },
  }
}

/** Throws DialRefused for another machine: what is started here is spoken to here. */
function urlOf(upstream: Upstream, { env }: Surroundings, port: number): URL {
  const text = expandOrThrow(upstream.id, upstream.url ?? '', { ...env, PORT: String(port) })
  const url = new URL(text)
  if (isLoopbackUrl(text)) return url
  throw new DialRefused(`${url.host} is not on this machine, and a server with a \`command\` is`)
}

/**
 * Any HTTP answer will do. Rejects after SPAWN_READY_TIMEOUT_MS, when the process ended first, and for a URL that is never
 * dialled.
 */
async function answering(
  target: HttpTarget,
  gone: Promise<void>,
  stopped: AbortSignal,
): Promise<void> {
  const pool = openPool(target, 1)
  let ended = false
  void gone.then(() => {
    ended = true
  })
  try {
    for (let waited = 0; waited < SPAWN_READY_TIMEOUT_MS; waited += SPAWN_POLL_MS) {
      if (ended || stopped.aborted) throw new Error('the process ended before it answered')
      if (await answersAt(target.url, pool)) return
      await sleep(SPAWN_POLL_MS)
    }
    throw new Error(`nothing answered at its port within ${SPAWN_READY_TIMEOUT_MS} ms`)
  } finally {
    await pool.destroy()
  }
}

async function answersAt({ pathname, search }: URL, pool: Pool): Promise<boolean> {
  try {
    const path = `${pathname}${search}`
    const { body } = await pool.request({ method: 'OPTIONS', path, headersTimeout: 1_000 })
    await body.dump()
    return true
  } catch (error) {
    if (error instanceof DialRefused) throw error
    return false // Not yet: whoever asks asks again.
  }
}

/** It may write down the headers it gets, and whose they were cannot be told from its output. */
function discardOutput({ stdout, stderr }: ChildProcess): void {
  for (const stream of [stdout, stderr]) stream?.resume()
}

function logOutput({ stdout, stderr }: ChildProcess, server: string, log: Log): void {
  for (const stream of [stdout, stderr]) {
    stream
      ?.setEncoding('utf8')
      .on('data', (text: string) => log.debug({ server, output: text.trimEnd() }, 'output'))
  }
}
