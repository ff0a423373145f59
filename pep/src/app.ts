// Owns the routes of the PEP: parse, call, serialise. Everything that is not a route is 404.
import type { HttpBindings } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import type { RefusalCode } from '../../schemas/codes.ts'
import { serverId } from '../../schemas/identifiers.ts'
import { type Answer, respond } from './answer.ts'
import { type EnforcePorts, enforce } from './enforce.ts'
import { GatewayError, reasonOf } from './gateway-error.ts'
import { checkAddress, type Inbound, type ReceivePorts, receive } from './inbound/receive.ts'
import type { Log, Uuid } from './ports.ts'
import { refused } from './refuse.ts'

export type AppPorts = EnforcePorts & ReceivePorts & { readonly log: Log; readonly uuid: Uuid }

export type PepEnv = { Bindings: HttpBindings }

/** Needs the bindings of @hono/node-server: bodies and streams go past the web streams. */
export function createApp(ports: AppPorts): Hono<PepEnv> {
  const app = new Hono<PepEnv>()
  // Where tokens alone are taken, and no login is ever offered.
  app.all('/t/:server/mcp', (c) => serve(ports, c))
  app.all('/:server/mcp', (c) => serve(ports, c))
  app.get('/healthz', (c) => (isLocal(ports, c) ? c.json({ status: 'ok' }) : c.notFound()))
  app.get('/metrics', async (c) => {
    if (!isLocal(ports, c)) return c.notFound()
    return c.body(await ports.metrics.text(), 200, { 'content-type': ports.metrics.contentType })
  })
  app.notFound((c) => c.json({ code: 'not_found' }, 404))
  return app
}

async function serve(ports: AppPorts, c: Context<PepEnv>): Promise<Response> {
  const { incoming, outgoing } = c.env
  const requestId = ports.uuid()
  const server = c.req.param('server') ?? ''
  let inbound: Inbound | undefined
  try {
    if (!serverId.safeParse(server).success) return await c.notFound()
    inbound = await receive(ports, incoming, { server, requestId })
    const answer = await enforce(ports, inbound, () => c.req.raw.signal)
    return respond(answer, outgoing)
  } catch (error) {
    return respond(answerTo(ports, error, requestId, inbound), outgoing)
  } finally {
    ports.shares.give(requestId)
  }
}

const REJECTIONS: ReadonlySet<RefusalCode> = new Set([
  'unauthenticated', 'server_not_granted', 'unknown_server', 'unknown_session',
]) // biome-ignore format: a list

function answerTo(
  ports: AppPorts,
  error: unknown,
  requestId: string,
  of: Inbound | undefined,
): Answer {
  if (!(error instanceof GatewayError)) {
    ports.log.error({ err: error, requestId }, 'a request failed')
    ports.metrics.calls('internal')
    return { status: 500, headers: {}, body: JSON.stringify({ code: 'internal', requestId }) }
  }
  const { code, message, cause, fault, retryAfterMs } = error
  const established = of !== undefined && !REJECTIONS.has(code)
  ports.metrics.calls(code)
  // One source may send any number of these.
  ports.log[code === 'too_many_failures' ? 'debug' : 'info'](
    { requestId, code, server: of?.server, method: of?.method, cause: reasonOf(cause) },
    message,
  )
  return refused({
    code,
    requestId,
    of: of ?? error.of,
    established,
    data: error.data,
    fault,
    retryAfterMs,
  })
}

function isLocal(ports: AppPorts, c: Context<PepEnv>): boolean {
  try {
    checkAddress(c.env.incoming, ports.rules)
    return true
  } catch {
    return false // A foreign host learns nothing of what is here.
  }
}
