// Owns the bytes of a request's body: at most so many, read once, before any route sees the request. Reads no JSON.
import type { IncomingMessage } from 'node:http'
import type { Context, Handler, MiddlewareHandler } from 'hono'
import { getRawBody } from 'raw-body'
import type { PdpEnv } from './roles.ts'

/** There is one where the request came over a socket. */
type NodeEnv = { readonly incoming?: IncomingMessage } | undefined

/** Keeps the body as `body` of the context; answers 413 at the first byte more than `bytesMax`, 400 when it ends early. */
export function keepBody(bytesMax: number): MiddlewareHandler<PdpEnv> {
  return async function keep(c, next) {
    const body = await read(c, bytesMax)
    if (body === 'too large')
      return refuse(c, 413, 'body_too_large', 'larger than this route takes')
    if (body === 'cut off')
      return refuse(c, 400, 'invalid_request', 'not as long as its headers say')
    c.set('body', body)
    return next()
  }
}

/** For a route that anyone may call: its handler sees a request whose body was kept. */
export function withBody(
  bytesMax: number,
  handler: (c: Context<PdpEnv>) => Promise<Response>,
): Handler<PdpEnv> {
  const keep = keepBody(bytesMax)
  return async function bounded(c) {
    const refused = await keep(c, async () => undefined)
    return refused instanceof Response ? refused : handler(c)
  }
}

/** The body as JSON; undefined when it is none. */
export function jsonBody(c: Context<PdpEnv>): unknown {
  try {
    return JSON.parse(c.get('body').toString('utf8'))
  } catch {
    return undefined
  }
}

/** From the socket itself: as a web stream it takes a tenth of a decision's time. */
async function read(
  c: Context<PdpEnv>,
  bytesMax: number,
): Promise<Buffer | 'too large' | 'cut off'> {
  const incoming = (c.env as NodeEnv)?.incoming
  if (incoming === undefined) {
    const body = Buffer.from(await c.req.arrayBuffer())
    return body.length > bytesMax ? 'too large' : body
  }
  const length = incoming.headers['content-length'] ?? null
  try {
    return await getRawBody(incoming, { limit: bytesMax, length })
  } catch (error) {
    return (error as { type?: unknown }).type === 'entity.too.large' ? 'too large' : 'cut off'
  }
}

/** What is left of the body is not read, so the connection cannot go on. */
function refuse(c: Context, status: 400 | 413, code: string, what: string): Response {
  c.header('connection', 'close')
  return c.json({ code, message: `the body is ${what}` }, status)
}
