// Owns the process of `cedargate pep`: opens what it needs, listens, and ends in order.
import { randomUUID } from 'node:crypto'
import { type DestinationStream, pino } from 'pino'
import { createPep } from './compose.ts'
import { ConfigError, type PepConfig } from './config.ts'
import { STOP_GRACE_MS } from './limits.ts'
import { type Listening, listen } from './listen.ts'
import { openPdp } from './pdp-http.ts'
import { openRecordSql } from './record/open.ts'
import { openIsolation } from './upstream/isolation.ts'

export type RunningPep = { readonly url: string; readonly stop: () => Promise<void> }

export type MainOptions = {
  /** Commands of servers are looked for here before PATH. */
  readonly binDirectory?: string
  /** Must not throw, and must not wait for long: calls wait with it. */
  readonly logTo: DestinationStream
}

/**
 * Starts a PEP. Listens once its servers are known. Throws with one line that names the setting
 * when the PDP or the port is not to be had; a database that is away refuses calls instead, and is
 * tried again for each.
 */
export async function startPep(config: PepConfig, options: MainOptions): Promise<RunningPep> {
  const log = pino(
    { level: config.logLevel, base: { service: 'pep' }, redact: REDACTED },
    options.logTo,
  )
  const { isolation, kept, env } = config
  const ports = { env, kept, log, uid: process.getuid?.() }
  const isolated = await openIsolation(isolation, ports).catch((cause: Error) => {
    throw new ConfigError(cause.message, { cause })
  })
  const pdp = openPdp(config.pdp, config.pepKey)
  const sql = openRecordSql(config.databaseUrl, log)
  const { allowedHosts, allowedOrigins, sourceOf } = config
  const pep = createPep({
    ...options,
    pdp,
    sql,
    log,
    env,
    isolation: isolated,
    monotonic: () => performance.now(),
    now: Date.now,
    uuid: randomUUID,
    rules: { allowedHosts, allowedOrigins },
    sourceOf,
  })
  const stop = async (listening?: Listening): Promise<void> => {
    const closed = listening?.close(STOP_GRACE_MS)
    await pep.stop()
    await closed
    await pdp.close()
    await sql.close()
  }
  try {
    await sql.query('select 1').catch((cause: unknown) => {
      throw new ConfigError(`DATABASE_URL: ${reasonOf(cause)}`, { cause })
    })
    await pep.ready().catch((cause: unknown) => {
      throw new ConfigError(
        'CEDARGATE_PDP: the PDP does not answer, or not to this CEDARGATE_PEP_KEY',
        { cause },
      )
    })
    const listening = await listen(pep.app, config.host, config.port).catch(
      (cause: NodeJS.ErrnoException) => {
        throw new ConfigError(
          `CEDARGATE_PEP_PORT ${config.port} cannot be listened on: ${cause.code}`,
          { cause },
        )
      },
    )
    const url = `http://${config.host}:${listening.port}`
    log.info({ url }, 'the PEP enforces')
    return { url, stop: () => stop(listening) }
  } catch (error) {
    await stop()
    throw error
  }
}

/**
 * Errors of the driver name host and reason, never the password. An AggregateError has no message
 * of its own.
 */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  const code = 'code' in cause ? String(cause.code) : ''
  return `the database cannot be used: ${cause.message || code}`
}

/** Nothing here is logged on purpose; this is for what somebody adds without thinking. */
const REDACTED = [
  'authorization',
  'token',
  'key',
  'pepKey',
  'headers',
  '*.authorization',
  'jwt',
  '*.token',
  '*.jwt',
  '*.headers',
]
