// Owns the process of `cedargate pdp`: opens what it needs, listens, and ends in order.
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import type { Server } from 'node:http'
import { join } from 'node:path'
import { createAdaptorServer, type ServerType } from '@hono/node-server'
import { type DestinationStream, pino } from 'pino'
import type { Clock } from '../../schemas/ports.ts'
import { answerUnreadable } from '../../schemas/unreadable.ts'
import { createPdp, type Pdp } from './compose.ts'
import { ConfigError, type PdpConfig } from './config.ts'
import { openDecider } from './decider.ts'
import { openDialer } from './egress/dialer.ts'
import { type Ending, endAll, openOrEnd } from './endings.ts'
import { bootstrapNotice } from './identity/bootstrap.ts'
import { loadKeys } from './keys/keys.ts'
import { readLoginSetting } from './login-setting.ts'
import { answerUnreadToken } from './routes/failures.ts'
import { openSource, readSigners } from './source/open-source.ts'
import { openBundles } from './store/bundles.ts'
import { openPostgres } from './store/open.ts'

export const systemClock: Clock = { now: () => Date.now(), monotonic: () => performance.now() }

export type RunningPdp = { readonly url: string; readonly stop: () => Promise<void> }

/**
 * Starts a PDP on PostgreSQL. Where there is no admin yet, it writes the token that makes the first one to `logTo`, in
 * plain words. Throws with one line that names the setting when the database, the keys, the bundle or
 * the port is not to be had. Does not migrate: `cedargate db migrate` does.
 */
export async function startPdp(
  config: PdpConfig,
  { logTo }: { readonly logTo: DestinationStream },
): Promise<RunningPdp> {
  const endings: Ending[] = []
  return openOrEnd(endings, () => start(config, logTo, endings))
}

async function start(
  config: PdpConfig,
  logTo: DestinationStream,
  endings: Ending[],
): Promise<RunningPdp> {
  const signIn = await readLoginSetting(config.loginFile)
  const log = pino({ level: config.logLevel, base: { service: 'pdp' } }, logTo)
  const keys = await loadKeys(join(config.home, 'keys'), config.credentialKeys)
  const store = await openPostgres(config.databaseUrl)
  endings.push(store.close)
  await store.checkMigrated()
  const decider = await openDecider({
    source: openSource(config.bundle, config),
    trust: {
      signers: await readSigners(config.bundle.signersFile),
      unsignedDirectory: 'refuse',
    },
    env: config.env,
    engineWorkers: config.engineWorkers,
    clock: systemClock,
    before: openBundles(store.sql, systemClock.now).lastFollowed,
  })
  const dial = openDialer()
  endings.push(dial.close)
  const pdp = await createPdp({
    store,
    keys,
    decider,
    ...signIn,
    env: config.env,
    webhookSecret: config.bundle.webhookSecret,
    publicUrl: config.publicUrl ?? `http://${config.host}:${config.port}`,
    clock: systemClock,
    random: (bytes) => randomBytes(bytes),
    dial,
    log,
  })
  const closing: Ending[] = []
  endings.push(pdp.stop, async () => {
    await Promise.all(closing.map((end) => end()))
  })
  const url = await listenAll(pdp.app.fetch, config, closing)
  await offerBootstrap(pdp, config.publicUrl ?? url, logTo)
  log.info({ url, socket: config.socket, bundle: pdp.bundle.id }, 'the PDP decides')
  return { url, stop: () => endAll(endings) }
}

/** Order: only once the PDP listens, because the token is shown this once. */
async function offerBootstrap(
  { bootstrap }: Pdp,
  url: string,
  logTo: DestinationStream,
): Promise<void> {
  const offered = await bootstrap.offer()
  if (offered !== undefined) logTo.write(`${bootstrapNotice(offered, url)}\n`)
}

type Fetch = Parameters<typeof createAdaptorServer>[0]['fetch']

/** Listens on host and port, and on the socket if one is set. Answers the URL. `closing` gets what ends each listener. */
async function listenAll(
  fetch: Fetch,
  { host, port, socket }: Pick<PdpConfig, 'host' | 'port' | 'socket'>,
  closing: Ending[],
): Promise<string> {
  const listen = async (where: object, setting: string): Promise<Server> => {
    const server = createListener(fetch)
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) => {
        const message = `${setting} cannot be listened on: ${cause.code}`
        reject(new ConfigError(message, { cause }))
      })
      server.listen(where, () => resolve())
    })
    closing.push(() => close(server))
    return server
  }
  const server = await listen({ host, port }, `CEDARGATE_PDP_PORT ${port}`)
  if (socket !== undefined) {
    await rm(socket, { force: true })
    await listen({ path: socket }, `CEDARGATE_PDP_SOCKET ${socket}`)
  }
  const address = server.address()
  const taken = typeof address === 'object' && address !== null ? address.port : port
  return `http://${host}:${taken}`
}

/** What answers at a port or a socket of the PDP; it does not listen yet. */
export function createListener(fetch: Fetch): Server {
  const server = createAdaptorServer({ fetch }) as Server
  answerUnreadable(server, answerUnreadToken)
  return server
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
