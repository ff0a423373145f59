// Owns how operators sign in and out, who they are, and what makes them operators: parse, call, serialise.
import type { Context } from 'hono'
import {
  bootstrapRequest,
  type CreatedSession,
  type LoginInfo,
  loginRequest,
  rolesRequest,
  type UserRow,
} from '../../../schemas/admin-api.ts'
import { TOKEN_LENGTH_MAX } from '../../../schemas/limits.ts'
import type { OperatorRole } from '../../../schemas/roles.ts'
import type { Bootstrap } from '../identity/bootstrap.ts'
import type { Login } from '../identity/login.ts'
import type { Sessions } from '../identity/sessions.ts'
import { keepBody } from './body.ts'
import { addressOf, type Failures } from './failures.ts'
import { missing } from './missing.ts'
import { invalid, readBody } from './read.ts'
import type { Recorder } from './record-act.ts'
import { EVERY_ROLE, type GuardedRoute, operatorOf, type PdpEnv } from './roles.ts'

export type SessionPorts = {
  /** Where operators sign in; undefined without a login file. */
  readonly login: { readonly info: LoginInfo; readonly signIn: Login } | undefined
  readonly sessions: Sessions
  readonly bootstrap: Pick<Bootstrap, 'isWaiting' | 'use' | 'retire'>
  /** Undefined: there is no such user. */
  readonly setRoles: (user: string, roles: readonly OperatorRole[]) => Promise<UserRow | undefined>
}

/** What a request that carries a token may weigh. */
const BODY_BYTES_MAX = 2 * TOKEN_LENGTH_MAX

export function sessionRoutes(
  ports: SessionPorts,
  record: Recorder,
  failures: Failures,
): GuardedRoute[] {
  const { login, sessions, bootstrap } = ports
  return [
    { method: 'GET', path: '/admin/v1/login', role: 'anyone', handler: loginInfo },
    {
      method: 'POST',
      path: '/admin/v1/sessions',
      role: 'anyone',
      act: { name: 'sessions.create', body: 'handler' },
      handler: withBody(signIn),
    },
    {
      method: 'POST',
      path: '/admin/v1/bootstrap',
      role: 'anyone',
      act: { name: 'bootstrap', body: 'handler' },
      handler: withBody(becomeAdmin),
    },
    { method: 'GET', path: '/admin/v1/whoami', role: EVERY_ROLE, handler: whoami },
    {
      method: 'DELETE',
      path: '/admin/v1/sessions/current',
      role: EVERY_ROLE,
      act: { name: 'sessions.end', body: null },
      handler: signOut,
    },
    {
      method: 'PUT',
      path: '/admin/v1/users/:id/roles',
      role: ['admin'],
      act: { name: 'users.roles', body: rolesRequest },
      handler: setRoles,
    },
  ]

  function loginInfo(c: Context<PdpEnv>): Response {
    return login === undefined ? noLogin(c) : c.json(login.info)
  }

  async function signIn(c: Context<PdpEnv>): Promise<Response> {
    if (login === undefined) return noLogin(c)
    const body = readBody(c, loginRequest)
    if (body instanceof Response) return body
    const person = await login.signIn(body.idToken)
    if ('why' in person) {
      return person.known ? forbidden(c, person.why) : failures.refuse(c, person.why)
    }
    const { user, roles, idToken } = person
    return record(c, { user, act: 'sessions.create', what: { roles } }, async () => {
      const made = await sessions.createSession({ user, roles, idToken, source: sourceOf(c) })
      if (made === undefined) {
        return failures.refuse(c, 'somebody signed in with this ID token before; sign in again')
      }
      if (made.roles.includes('admin')) await bootstrap.retire()
      return c.json(made satisfies CreatedSession, 201)
    })
  }

  async function becomeAdmin(c: Context<PdpEnv>): Promise<Response> {
    const body = readBody(c, bootstrapRequest)
    if (body instanceof Response) return body
    const { token, user } = body
    const used = 'this bootstrap token is unknown, used or expired; see `cedargate db bootstrap`'
    if (!(await bootstrap.isWaiting(token))) return failures.refuse(c, used)
    return record(c, { user, act: 'bootstrap', what: { user } }, async () => {
      if (!(await bootstrap.use(token, user))) return failures.refuse(c, used)
      const made = await sessions.createSession({ user, roles: [], source: sourceOf(c) })
      return made === undefined ? forbidden(c, `${user} is offboarded`) : c.json(made, 201)
    })
  }

  function whoami(c: Context<PdpEnv>): Response {
    const { user, roles, session } = operatorOf(c)
    const expiresAt = session === null ? null : new Date(session.expiresAt).toISOString()
    return c.json({ user, roles, expiresAt })
  }

  async function signOut(c: Context<PdpEnv>): Promise<Response> {
    const { session } = operatorOf(c)
    if (session === null) return invalid(c, 'the operator token of `dev` is no session')
    await sessions.endSession(session.id)
    return c.body(null, 204)
  }

  async function setRoles(c: Context<PdpEnv>): Promise<Response> {
    const body = readBody(c, rolesRequest)
    if (body instanceof Response) return body
    const changed = await ports.setRoles(c.req.param('id') ?? '', body.roles)
    return changed === undefined ? missing(c, 'user', 'cedargate users ls') : c.json(changed)
  }
}

/** Nobody is known yet: what they send is read no further than a token is long. */
function withBody(handler: (c: Context<PdpEnv>) => Promise<Response>) {
  return async function bounded(c: Context<PdpEnv>): Promise<Response> {
    const refused = await keepBody(BODY_BYTES_MAX)(c, async () => undefined)
    return refused instanceof Response ? refused : handler(c)
  }
}

function sourceOf(c: Context): string | null {
  return addressOf(c) ?? null
}

function noLogin(c: Context): Response {
  const message = 'nobody can sign in here: the PDP has no CEDARGATE_LOGIN_FILE'
  return c.json({ code: 'not_found', message }, 404)
}

function forbidden(c: Context, message: string): Response {
  return c.json({ code: 'forbidden', message }, 403)
}
