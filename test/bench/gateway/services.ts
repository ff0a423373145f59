// Owns the gateway under measurement: the real command, as two processes and as one, each on its own database of one
// PostgreSQL cluster. Never in this process: what is measured must not share its event loop.
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { z } from 'zod'
import { freePort } from '../../../pep/src/upstream/free-port.ts'
import { endCommand, startCommand } from '../../harness/command.ts'
import { answers, command, type Env, json, waitFor } from './commands.ts'
import type { Arm } from './measure.ts'
import { signInFirstAdmin, startPdp } from './pdp-process.ts'

export type Gateway = { readonly arm: Arm; readonly stop: () => Promise<void> }
const SERVER = 'bench'
const bundle = join(import.meta.dirname, '..', 'bundle')

/** A new, migrated database in the cluster of `url`. */
export async function createDatabase(url: string, name: string): Promise<string> {
  const client = new Client({ connectionString: url })
  await client.connect()
  await client.query(`create database ${name}`)
  await client.end()
  const database = new URL(url)
  database.pathname = `/${name}`
  await command(['db', 'migrate'], { DATABASE_URL: database.href })
  return database.href
}

export type ServicesOptions = {
  /** A migrated one. */
  readonly database: string
  readonly bundle: string
  /** What the PEP is enrolled for. */
  readonly servers: readonly string[]
  /** What both are told beside that, such as CEDARGATE_SERVER_…. */
  readonly env: Env
  /** What the PEP alone is told. */
  readonly pepEnv?: Env
}
export type Services = {
  readonly pdpUrl: string
  readonly pepUrl: string
  readonly pepPid: number
  /** Of a session of the first admin. */
  readonly operatorToken: string
  /** Resolves when its process is gone. */
  readonly stopPep: () => Promise<void>
  readonly stop: () => Promise<void>
}

/** `cedargate pdp` and `cedargate pep` as two processes. */
export async function startServices(options: ServicesOptions): Promise<Services> {
  const home = await mkdtemp(join(tmpdir(), 'cedargate-bench-'))
  const common = { ...options.env, DATABASE_URL: options.database }
  await command(['keys', 'create'], { CEDARGATE_HOME: home })
  const { url: pdpUrl, socket, service: pdp } = await startPdp({ ...options, home })
  const services = [pdp]
  let isStopping = false
  const stop = async (): Promise<void> => {
    isStopping = true
    for (const service of services.toReversed()) await endCommand(service)
    await rm(home, { recursive: true, force: true })
  }
  try {
    await waitFor(pdp, () => answers(`${pdpUrl}/readyz`))
    const operatorToken = await signInFirstAdmin(pdpUrl, options.database)
    const operator = { CEDARGATE_URL: pdpUrl, CEDARGATE_TOKEN: operatorToken }
    const served = options.servers.flatMap((server) => ['--server', server])
    const { key } = await json(['peps', 'enroll', ...served], operator, pepMade)
    const pepPort = String(await freePort())
    const pepUrl = `http://127.0.0.1:${pepPort}`
    const enforce = {
      ...common,
      ...options.pepEnv,
      CEDARGATE_PEP_KEY: key,
      CEDARGATE_PEP_PORT: pepPort,
    }
    const pep = startCommand(['pep', '--pdp', socket], enforce)
    services.push(pep)
    await waitFor(pep, () => answers(`${pepUrl}/healthz`))
    for (const { child, stderr } of services)
      child.once('exit', (code, signal) => {
        if (!isStopping)
          console.error(`a service ended, ${code ?? signal}:\n${stderr().slice(-4_000)}`)
      })
    const stopPep = async (): Promise<void> => {
      isStopping = true
      await endCommand(pep)
    }
    return { pdpUrl, pepUrl, pepPid: pep.child.pid ?? 0, operatorToken, stopPep, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Both services apart, and a grant to call through them. */
export async function startApart(database: string, upstreamUrl: string): Promise<Gateway> {
  const env = { CEDARGATE_SERVER_BENCH_URL: `${upstreamUrl}/mcp` }
  const services = await startServices({ database, bundle, servers: [SERVER], env })
  const { pdpUrl, pepUrl, operatorToken, stop } = services
  try {
    const operator = { CEDARGATE_URL: pdpUrl, CEDARGATE_TOKEN: operatorToken }
    const grant = ['--user', 'bench', '--agent', 'load', '--team', 'load', '--server', SERVER]
    const { token } = await json(['grants', 'create', ...grant], operator, grantMade)
    return { arm: arm('c', '(c) gateway, two processes', pepUrl, token), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** `cedargate dev`: both services in one process. */
export async function startTogether(database: string, upstreamUrl: string): Promise<Gateway> {
  const home = await mkdtemp(join(tmpdir(), 'cedargate-bench-'))
  const dev = startCommand(['dev', '--bundle', bundle], {
    CEDARGATE_HOME: home,
    DATABASE_URL: database,
    CEDARGATE_SERVER_BENCH_URL: `${upstreamUrl}/mcp`,
    CEDARGATE_PEP_PORT: '0',
    CEDARGATE_PDP_PORT: '0',
  })
  const stop = async (): Promise<void> => {
    await endCommand(dev)
    await rm(home, { recursive: true, force: true })
  }
  try {
    const file = join(home, 'dev.json')
    await waitFor(dev, async () => existsSync(file))
    const { pepUrl, users } = devFacts.parse(JSON.parse(await readFile(file, 'utf8')))
    return { arm: arm('d', '(d) gateway, one process', pepUrl, users.bench.token), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

const pepMade = z.object({ key: z.string() })
const grantMade = z.object({ token: z.string() })
const devFacts = z.object({
  pepUrl: z.string(),
  users: z.object({ bench: z.object({ token: z.string() }) }),
})

function arm(key: string, label: string, pepUrl: string, token: string): Arm {
  const headers = { authorization: `Bearer ${token}` }
  return { key, label, url: `${pepUrl}/${SERVER}/mcp`, headers }
}
