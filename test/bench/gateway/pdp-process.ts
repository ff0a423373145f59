// Owns one `cedargate pdp` under measurement, and how its first admin signs in.
import { join } from 'node:path'
import { z } from 'zod'
import { freePort } from '../../../pep/src/upstream/free-port.ts'
import { createdSession } from '../../../schemas/admin-api.ts'
import { type Running, startCommand } from '../../harness/command.ts'
import { type Env, json } from './commands.ts'

export type PdpOptions = {
  /** A migrated one. */
  readonly database: string
  readonly bundle: string
  /** Has the keys; PDPs of one gateway share them. */
  readonly home: string
  /** What it is told beside that, such as CEDARGATE_SERVER_…. */
  readonly env: Env
}
export type PdpProcess = {
  readonly url: string
  readonly socket: string
  readonly service: Running
}

/** Does NOT wait until it serves. */
export async function startPdp({ database, bundle, home, env }: PdpOptions): Promise<PdpProcess> {
  const port = String(await freePort())
  const socket = join(home, `pdp-${port}.sock`)
  const service = startCommand(['pdp'], {
    ...env,
    DATABASE_URL: database,
    CEDARGATE_HOME: home,
    CEDARGATE_BUNDLE: bundle,
    CEDARGATE_PDP_PORT: port,
    CEDARGATE_PDP_SOCKET: socket,
  })
  return { url: `http://127.0.0.1:${port}`, socket, service }
}

const bootstrapMade = z.object({ token: z.string() })

/** The token of a session of an admin, of whom there was none. */
export async function signInFirstAdmin(pdpUrl: string, database: string): Promise<string> {
  const { token } = await json(['db', 'bootstrap'], { DATABASE_URL: database }, bootstrapMade)
  const answer = await fetch(`${pdpUrl}/admin/v1/bootstrap`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token, user: 'bench-admin' }),
  })
  return createdSession.parse(await answer.json()).token
}
