// Owns how operators sign in and out, and learn who they are: parse, call, serialise.
import type { Context } from 'hono'
import { type CreatedSession, type LoginInfo, loginRequest } from '../../../schemas/admin-api.ts'
import { TOKEN_LENGTH_MAX } from '../../../schemas/limits.ts'
import type { Bootstrap } from '../identity/bootstrap.ts'
import type { Login } from '../identity/login.ts'
import type { Sessions } from '../identity/sessions.ts'
import { withBody } from './body.ts'
import { addressOf, type Failures } from './failures.ts'
import { invalid, readBody } from './read.ts'
import type { Recorder } from './record-act.ts'
import { EVERY_ROLE, type GuardedRoute, operatorOf, type PdpEnv } from './roles.ts'

export type SessionPorts = {
  /** Where operators sign in; undefined without a login file. */
  readonly login: { readonly info: LoginInfo; readonly signIn: Login } | undefined
  readonly sessions: Sessions
  readonly bootstrap: Pick<Bootstrap, 'retire'>
}

/** Nobody is known yet: what they send is read no further than a token is long. */
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
      handler: withBody(BODY_BYTES_MAX, signIn),
    },
    { method: 'GET', path: '/admin/v1/whoami', role: EVERY_ROLE, handler: whoami },
    {
      method: 'DELETE',
      path: '/admin/v1/sessions/current',
      role: EVERY_ROLE,
      act: { name: 'sessions.end', body: null },
      handler: signOut,
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
      const made = await sessions.createSession({
        user,
        roles,
        idToken,
        source: addressOf(c) ?? null,
      })
      if (made === undefined) {
        return failures.refuse(c, 'somebody signed in with this ID token before; sign in again')
      }
      if (made.roles.includes('admin')) await bootstrap.retire()
      return c.json(made satisfies CreatedSession, 201)
    })
  }

  async function signOut(c: Context<PdpEnv>): Promise<Response> {
    const { session } = operatorOf(c)
    if (session === null) return invalid(c, 'the operator token of `dev` is no session')
    await sessions.endSession(session.id)
    return c.body(null, 204)
  }
}

/** Whoever speaks, to themselves. */
function whoami(c: Context<PdpEnv>): Response {
  const { user, roles, session } = operatorOf(c)
  const expiresAt = session === null ? null : new Date(session.expiresAt).toISOString()
  return c.json({ user, roles, expiresAt })
}

function noLogin(c: Context): Response {
  const message = 'nobody can sign in here: the PDP has no CEDARGATE_LOGIN_FILE'
  return c.json({ code: 'not_found', message }, 404)
}

function forbidden(c: Context, message: string): Response {
  return c.json({ code: 'forbidden', message }, 403)
}
