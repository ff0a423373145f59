// Owns who may call which route: every route is registered with its caller's role, or it does not exist.
// Never decides anything about MCP; it only says who is speaking.
import type { Context, Handler, Hono, MiddlewareHandler } from 'hono'
import { API_BODY_BYTES_MAX, DECIDE_BODY_BYTES_MAX } from '../../../schemas/limits.ts'
import { keepBody } from './body.ts'

/** `caller` is any authenticated enforcement point or an operator; `anyone` needs no credential. */
export type Role = 'anyone' | 'pep' | 'caller' | 'operator'

export type Caller =
  | { readonly kind: 'operator' }
  | { readonly kind: 'pep'; readonly id: string; readonly servers: readonly string[] }

/** Both are set where a route needs a role. */
export type PdpEnv = { Variables: { caller: Caller; body: Buffer } }

/** Who a bearer token speaks for; undefined for nobody. Resolves revocation, not permission. */
export type Identify = (bearer: string) => Promise<Caller | undefined>

export type GuardedRoute = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly path: string
  readonly role: Role
  readonly handler: Handler<PdpEnv>
}

/**
 * Registers the routes behind their roles. 401 with a Bearer challenge for a missing or unknown credential, 403 for
 * the wrong kind. The table it was given is the whole surface: test/guard compares it with what Hono serves.
 */
export function registerRoutes(
  app: Hono<PdpEnv>,
  identify: Identify,
  routes: readonly GuardedRoute[],
): void {
  for (const { method, path, role, handler } of routes) {
    if (role === 'anyone') app.on(method, path, handler)
    // INVARIANT: nobody's body is read before it is known who is speaking.
    else app.on(method, path, requireRole(identify, role), keepBody(bytesMax(path)), handler)
  }
}

function bytesMax(path: string): number {
  return path.startsWith('/pep/') ? DECIDE_BODY_BYTES_MAX : API_BODY_BYTES_MAX
}

function requireRole(identify: Identify, role: Role): MiddlewareHandler<PdpEnv> {
  return async function guard(c, next) {
    const bearer = bearerOf(c)
    const caller = bearer === undefined ? undefined : await identify(bearer)
    if (caller === undefined) {
      c.header('www-authenticate', 'Bearer')
      return c.json(
        { code: 'unauthenticated', message: 'send a valid `Authorization: Bearer …`' },
        401,
      )
    }
    if (!permitted(caller, role)) {
      return c.json({ code: 'forbidden', message: `this route is for the role ${role}` }, 403)
    }
    c.set('caller', caller)
    return next()
  }
}

function permitted(caller: Caller, role: Role): boolean {
  return role === 'caller' || caller.kind === role
}

/** RFC 6750 §2.1; two Authorization headers arrive joined by a comma and match nothing. */
function bearerOf(c: Context): string | undefined {
  return /^Bearer ([A-Za-z0-9_-]+)$/i.exec(c.req.header('authorization') ?? '')?.[1]
}
