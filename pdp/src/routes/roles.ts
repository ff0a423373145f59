// Owns who may call which route: every route is registered with its caller's role, or it does not exist.
// Never decides anything about MCP; it only says who is speaking.
import type { Context, Handler, Hono, MiddlewareHandler } from 'hono'
import {
  API_BODY_BYTES_MAX,
  DECIDE_BODY_BYTES_MAX,
  TOKEN_LENGTH_MAX,
} from '../../../schemas/limits.ts'
import { OPERATOR_ROLES, type OperatorRole } from '../../../schemas/roles.ts'
import { keepBody } from './body.ts'
import type { Failures } from './failures.ts'
import { type ActRule, type Recorder, recordAct } from './record-act.ts'

/** `caller` is any enrolled enforcement point, or an operator with any role; `anyone` needs no credential. */
export type Role = 'anyone' | 'pep' | 'caller' | readonly OperatorRole[]

/** What a viewer may read, every operator may. */
export const EVERY_ROLE = OPERATOR_ROLES

/** Somebody signed in, with what they may be now. */
export type Operator = {
  readonly kind: 'operator'
  readonly user: string
  readonly roles: readonly OperatorRole[]
  /** Their login session; null for the operator token of `dev`, which does not expire. */
  readonly session: { readonly id: string; readonly expiresAt: number } | null
}

export type Caller =
  | Operator
  | { readonly kind: 'pep'; readonly id: string; readonly servers: readonly string[] }

/** Both are set where a route needs a role. */
export type PdpEnv = { Variables: { caller: Caller; body: Buffer } }

/** Who a bearer token speaks for; undefined for nobody. Resolves revocation, not permission. */
export type Identify = (bearer: string) => Promise<Caller | undefined>

export type GuardedRoute = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly path: string
  readonly role: Role
  /** Required where an operator changes something. */
  readonly act?: ActRule
  readonly handler: Handler<PdpEnv>
}

export type Guard = {
  readonly identify: Identify
  readonly failures: Failures
  readonly record: Recorder
  /** Somebody known may not do this. For the log: it is not recorded. */
  readonly onForbidden: (caller: Caller, route: string) => void
}

/**
 * Registers the routes behind their roles. 401 with a Bearer challenge for a missing or unknown credential (429 for a
 * source with too many), 403 for the wrong role. Throws for a route by which an operator changes something and that has
 * no act. The table it was given is the whole surface: test/pdp/routes.test.ts compares it with what Hono serves.
 */
export function registerRoutes(
  app: Hono<PdpEnv>,
  guard: Guard,
  routes: readonly GuardedRoute[],
): void {
  for (const { method, path, role, act, handler } of routes) {
    const unrecorded = act === undefined && method !== 'GET'
    if (unrecorded && path.startsWith('/admin/')) throw new Error(`${method} ${path} has no act`)
    if (role === 'anyone') app.on(method, path, handler)
    else {
      // INVARIANT: nobody's body is read before it is known who is speaking, nothing is done before it is recorded.
      const steps = [requireRole(guard, role, `${method} ${path}`), keepBody(bytesMax(path))]
      if (act !== undefined) steps.push(recordAct(guard.record, act))
      app.on(method, [path], ...steps, handler)
    }
  }
}

/** Whoever calls a route that is for operators. */
export function operatorOf(c: Context<PdpEnv>): Operator {
  const caller = c.get('caller')
  if (caller.kind === 'operator') return caller
  throw new Error('this route was registered for somebody else than operators')
}

function bytesMax(path: string): number {
  return path.startsWith('/pep/') ? DECIDE_BODY_BYTES_MAX : API_BODY_BYTES_MAX
}

function requireRole(
  { identify, failures, onForbidden }: Guard,
  role: Exclude<Role, 'anyone'>,
  route: string,
): MiddlewareHandler<PdpEnv> {
  return async function guard(c, next) {
    const bearer = bearerOf(c)
    const caller = bearer === undefined ? undefined : await identify(bearer)
    if (caller === undefined) return failures.refuse(c, 'send a valid `Authorization: Bearer …`')
    if (!permitted(caller, role)) {
      onForbidden(caller, route)
      c.header('www-authenticate', 'Bearer error="insufficient_scope"')
      return c.json({ code: 'forbidden', message: forbidden(caller, role) }, 403)
    }
    c.set('caller', caller)
    return next()
  }
}

function permitted(caller: Caller, role: Exclude<Role, 'anyone'>): boolean {
  if (caller.kind === 'pep') return role === 'pep' || role === 'caller'
  if (role === 'pep') return false
  const roles = role === 'caller' ? EVERY_ROLE : role
  return caller.roles.some((one) => roles.includes(one))
}

function forbidden(caller: Caller, role: Exclude<Role, 'anyone'>): string {
  if (role === 'pep') return 'this is for enforcement points'
  const wanted = role === 'caller' ? EVERY_ROLE : role
  const who = caller.kind === 'pep' ? 'an enforcement point has no role' : rolesOf(caller)
  return `this is for operators with the role ${wanted.join(' or ')}; ${who}`
}

function rolesOf({ user, roles }: Operator): string {
  return roles.length === 0 ? `${user} has none` : `${user} has ${roles.join(', ')}`
}

/** RFC 6750 §2.1; two Authorization headers arrive joined by a comma and match nothing. */
function bearerOf(c: Context): string | undefined {
  const header = c.req.header('authorization') ?? ''
  if (header.length > TOKEN_LENGTH_MAX) return undefined
  return /^Bearer ([A-Za-z0-9_-]+)$/i.exec(header)?.[1]
}
