// Owns how somebody becomes an operator: the first admin by the bootstrap token, others by an admin. Parse, call, serialise.
import type { Context } from 'hono'
import { bootstrapRequest, rolesRequest, type UserRow } from '../../../schemas/admin-api.ts'
import { subjectId } from '../../../schemas/identifiers.ts'
import type { OperatorRole } from '../../../schemas/roles.ts'
import type { Bootstrap } from '../identity/bootstrap.ts'
import type { Sessions } from '../identity/sessions.ts'
import { withBody } from './body.ts'
import { addressOf, type Failures } from './failures.ts'
import { missing } from './missing.ts'
import { orRefused, readBody, readId } from './read.ts'
import type { Recorder } from './record-act.ts'
import type { GuardedRoute, PdpEnv } from './roles.ts'

export type BootstrapPorts = {
  readonly sessions: Pick<Sessions, 'createSession'>
  readonly bootstrap: Pick<Bootstrap, 'isWaiting' | 'use'>
  /** Undefined: there is no such user. Throws Refused where it cannot be. */
  readonly setRoles: (user: string, roles: readonly OperatorRole[]) => Promise<UserRow | undefined>
}

const BODY_BYTES_MAX = 1_024

export function bootstrapRoutes(
  ports: BootstrapPorts,
  record: Recorder,
  failures: Failures,
): GuardedRoute[] {
  const { sessions, bootstrap } = ports
  return [
    {
      method: 'POST',
      path: '/admin/v1/bootstrap',
      role: 'anyone',
      act: { name: 'bootstrap', body: 'handler' },
      handler: withBody(BODY_BYTES_MAX, becomeAdmin),
    },
    {
      method: 'PUT',
      path: '/admin/v1/users/:id/roles',
      role: ['admin'],
      act: { name: 'users.roles', body: rolesRequest },
      handler: setRoles,
    },
  ]

  async function becomeAdmin(c: Context<PdpEnv>): Promise<Response> {
    const body = readBody(c, bootstrapRequest)
    if (body instanceof Response) return body
    const { token, user } = body
    const used = 'this bootstrap token is unknown, used or expired; see `cedargate db bootstrap`'
    if (!(await bootstrap.isWaiting(token))) return failures.refuse(c, used)
    const work = async (): Promise<Response> => {
      if (!(await bootstrap.use(token, user))) return failures.refuse(c, used)
      const made = await sessions.createSession({ user, roles: [], source: addressOf(c) ?? null })
      return made === undefined ? offboarded(c, user) : c.json(made, 201)
    }
    return record(c, { user, act: 'bootstrap', what: { user } }, () => orRefused(c, work))
  }

  async function setRoles(c: Context<PdpEnv>): Promise<Response> {
    const body = readBody(c, rolesRequest)
    if (body instanceof Response) return body
    return orRefused(c, async () => {
      const changed = await ports.setRoles(readId(c, subjectId), body.roles)
      return changed === undefined ? missing(c, 'user', 'cedargate users ls') : c.json(changed)
    })
  }
}

function offboarded(c: Context, user: string): Response {
  return c.json({ code: 'forbidden', message: `${user} is offboarded` }, 403)
}
