// Owns the bytes of a request's body: at most so many, read once, before any route sees the request. Reads no JSON.
import type { IncomingMessage } from 'node:http'
import type { Context, MiddlewareHandler } from 'hono'
import { getRawBody } from 'raw-body'
import type { PdpEnv } from './roles.ts'

/** There is one where the request came over a socket. */
type NodeEnv = { readonly incoming?: IncomingMessage } | undefined

/** Keeps the body as `body` of the context; answers 413 at the first byte more than `bytesMax`. */
export function keepBody(bytesMax: number): MiddlewareHandler<PdpEnv> {
  return async function keep(c, next) {
    const body = await read(c, bytesMax)
    if (body === undefined) return tooLarge(c)
    c.set('body', body)
    return next()
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

/** Undefined when it is too large. From the socket itself: as a web stream it takes a tenth of a decision's time. */
async function read(c: Context<PdpEnv>, bytesMax: number): Promise<Buffer | undefined> {
  const incoming = (c.env as NodeEnv)?.incoming
  if (incoming === undefined) {
    const body = Buffer.from(await c.req.arrayBuffer())
    return body.length > bytesMax ? undefined : body
  }
  try {
    return await getRawBody(incoming, {
      limit: bytesMax,
      length: incoming.headers['content-length'] ?? null,
    })
  } catch (error) {
    if ((error as { type?: unknown }).type === 'entity.too.large') return undefined
    throw error
  }
}

function tooLarge(c: Context): Response {
  return c.json(
    { code: 'body_too_large', message: 'the body is larger than this route takes' },
    413,
  )
}
