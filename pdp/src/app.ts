// Owns the PDP's HTTP surface: three faces on one port, each route behind its caller's role. Only composes.
import { type Context, Hono, type MiddlewareHandler } from 'hono'
import type { Logger } from 'pino'
import { LOOPBACK_HOSTS, readHost } from '../../schemas/hosts.ts'
import { type Guard, type GuardedRoute, type PdpEnv, registerRoutes } from './routes/roles.ts'

type AppPorts = {
  readonly guard: Guard
  readonly routes: readonly GuardedRoute[]
  /** Base URL outside callers use: its host may be named beside loopback. */
  readonly publicUrl: string
  readonly log: Logger
}

/** The app; `app.fetch` is also how `cedargate dev` calls its PDP, without a socket. */
export function createApp({ guard, routes, publicUrl, log }: AppPorts): Hono<PdpEnv> {
  const app = new Hono<PdpEnv>()
  app.use(refuseForeignHost(new URL(publicUrl).host))
  app.use('/pep/*', refusePlaintextFromAfar)
  app.use('/access/*', echoRequestId)
  registerRoutes(app, guard, routes)
  app.notFound((c) => c.json({ code: 'not_found', message: 'there is no such route' }, 404))
  app.onError((error, c) => {
    log.error({ err: error, path: c.req.path }, 'a request failed')
    return c.json({ code: 'internal', message: 'the PDP could not answer; its log says why' }, 500)
  })
  return app
}

/** Against DNS rebinding: a web page that resolves to us names its own host. In process there is no socket at all. */
function refuseForeignHost(own: string): MiddlewareHandler<PdpEnv> {
  return async function refuse(c, next) {
    const host = readHost(c.req.header('host'))
    const isOver = (c.env as NodeEnv | undefined)?.incoming !== undefined
    if (!isOver || host?.whole === own || LOOPBACK_HOSTS.has(host?.name ?? '')) return next()
    const message = 'the Host header names another host; CEDARGATE_PDP_PUBLIC_URL names this one'
    return c.json({ code: 'forbidden', message }, 403)
  }
}

/** AuthZEN §10.1.1: X-Request-ID comes back as it went in. */
async function echoRequestId(c: Context<PdpEnv>, next: () => Promise<void>): Promise<void> {
  const requestId = c.req.header('x-request-id')
  if (requestId !== undefined) c.header('x-request-id', requestId)
  await next()
}

type NodeEnv = { readonly incoming?: { readonly socket: Socket } }
type Socket = { readonly remoteAddress?: string; readonly encrypted?: boolean }

/** DESIGN §2: PEPs speak over a Unix socket, loopback or TLS. In process there is no socket at all. */
async function refusePlaintextFromAfar(
  c: Context<PdpEnv>,
  next: () => Promise<void>,
): Promise<Response | undefined> {
  const socket = (c.env as NodeEnv | undefined)?.incoming?.socket
  const address = socket?.remoteAddress
  const near = address === undefined || /^(::ffff:)?127\.|^::1$/.test(address)
  if (near || socket?.encrypted === true) {
    await next()
    return undefined
  }
  return c.json({ code: 'forbidden', message: 'a PEP speaks over loopback, a socket or TLS' }, 403)
}
