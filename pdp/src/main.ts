// Owns the process of `cedargate pdp`: opens what it needs, listens, and ends in order.
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createAdaptorServer, type ServerType } from '@hono/node-server'
import { pino } from 'pino'
import type { Clock } from '../../schemas/ports.ts'
import { createPdp, openDecider } from './compose.ts'
import { ConfigError, type PdpConfig } from './config.ts'
import { loadKeys } from './keys/keys.ts'
import { openPostgres } from './store/open.ts'

export const systemClock: Clock = { now: () => Date.now(), monotonic: () => performance.now() }

export type RunningPdp = { readonly url: string; readonly stop: () => Promise<void> }

/**
 * Starts a PDP on PostgreSQL. Throws with one line that names the setting when the database, the keys, the bundle or
 * the port is not to be had. Does not migrate: `cedargate db migrate` does.
 */
export async function startPdp(config: PdpConfig): Promise<RunningPdp> {
  const log = pino({ level: config.logLevel, base: { service: 'pdp' } }, pino.destination(2))
  const keys = await loadKeys(join(config.home, 'keys'))
  const store = await openPostgres(config.databaseUrl)
  try {
    await store.checkMigrated()
    const decider = await openDecider({
      bundleDirectory: config.bundle,
      env: config.env,
      engineWorkers: config.engineWorkers,
    })
    const pdp = await createPdp({
      store,
      keys,
      decider,
      operatorTokenSha256: config.operatorTokenSha256,
      publicUrl: config.publicUrl ?? `http://${config.host}:${config.port}`,
      clock: systemClock,
      random: (bytes) => randomBytes(bytes),
      log,
    })
    const server = createAdaptorServer({ fetch: pdp.app.fetch })
    const url = await listen(server, config)
    log.info({ url, bundle: pdp.bundle.id }, 'the PDP decides')
    return {
      url,
      stop: async () => {
        await close(server)
        await pdp.stop()
        await store.close()
      },
    }
  } catch (error) {
    await store.close()
    throw error
  }
}

type Address = Pick<PdpConfig, 'host' | 'port' | 'socket'>

/** Listens on the socket if one is set, else on host and port. Throws ConfigError naming the setting when taken. */
export async function listen(server: ServerType, { host, port, socket }: Address): Promise<string> {
  if (socket !== undefined) await rm(socket, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const setting = socket === undefined ? 'CEDARGATE_PDP_PORT' : 'CEDARGATE_PDP_SOCKET'
      reject(
        new ConfigError(`${setting} ${socket ?? port} cannot be listened on: ${cause.code}`, {
          cause,
        }),
      )
    })
    if (socket === undefined) server.listen(port, host, () => resolve())
    else server.listen(socket, () => resolve())
  })
  const address = server.address()
  return typeof address === 'string' || address === null
    ? (socket ?? '')
    : `http://${host}:${address.port}`
}

/** Ends keep-alive connections too; requests under way may take `drainMs` to be answered first. */
export async function close(server: ServerType, drainMs = DRAIN_MS): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  if ('closeIdleConnections' in server) server.closeIdleConnections()
  const impatience = setTimeout(() => {
    if ('closeAllConnections' in server) server.closeAllConnections()
  }, drainMs)
  await closed
  clearTimeout(impatience)
}

/** How long requests under way may take once the service was told to stop. */
const DRAIN_MS = 2_000
