// Owns the operator face of users: parse, call, serialise. Roles are given elsewhere.
import type { Context } from 'hono'
import {
  type Offboarded,
  type UserRequest,
  type UserRow,
  type UsersQuery,
  userRequest,
  usersQuery,
} from '../../../schemas/admin-api.ts'
import { subjectId } from '../../../schemas/identifiers.ts'
import { missing } from './missing.ts'
import { noId, orRefused, readBody, readId, readQuery } from './read.ts'
import { EVERY_ROLE, type GuardedRoute, type PdpEnv } from './roles.ts'

export type UserPorts = {
  /** Throws Refused where it cannot be. */
  readonly putUser: (id: string, request: UserRequest) => Promise<UserRow>
  readonly listUsers: (query: UsersQuery) => Promise<readonly UserRow[]>
  /** These are undefined when there is no such user. */
  readonly showUser: (id: string) => Promise<UserRow | undefined>
  readonly offboardUser: (id: string) => Promise<Offboarded | undefined>
  readonly reinstateUser: (id: string) => Promise<UserRow | undefined>
  /** Throws Refused for who is offboarded. */
  readonly unlinkUser: (id: string) => Promise<UserRow | undefined>
}

export function userRoutes(ports: UserPorts): GuardedRoute[] {
  const at = '/admin/v1/users/:id'
  return [
    { method: 'GET', path: '/admin/v1/users', role: EVERY_ROLE, handler: list },
    { method: 'GET', path: at, role: EVERY_ROLE, handler: on(ports.showUser) },
    {
      method: 'PUT',
      path: at,
      role: ['admin'],
      act: { name: 'users.put', body: userRequest },
      handler: put,
    },
    {
      method: 'POST',
      path: `${at}/offboard`,
      role: ['admin', 'approver'],
      act: { name: 'users.offboard', body: null },
      handler: on(ports.offboardUser, NEVER_CAME),
    },
    {
      method: 'POST',
      path: `${at}/reinstate`,
      role: ['admin'],
      act: { name: 'users.reinstate', body: null },
      handler: on(ports.reinstateUser),
    },
    {
      method: 'DELETE',
      path: `${at}/link`,
      role: ['admin'],
      act: { name: 'users.unlink', body: null },
      handler: on(ports.unlinkUser),
    },
  ]

  async function list(c: Context<PdpEnv>): Promise<Response> {
    const query = readQuery(c, usersQuery)
    if (query instanceof Response) return query
    return c.json({ users: await ports.listUsers(query) })
  }

  async function put(c: Context<PdpEnv>): Promise<Response> {
    const body = readBody(c, userRequest)
    if (body instanceof Response) return body
    const id = readId(c, subjectId)
    if (id === '') return noId(c, 'user', subjectId)
    return orRefused(c, async () => c.json(await ports.putUser(id, body)))
  }
}

const NEVER_CAME = 'to keep out somebody who never came: `cedargate users add <id>`, then offboard'

/** What is done to one user who must exist. `more`: what to do where they do not. */
function on(act: (id: string) => Promise<UserRow | Offboarded | undefined>, more?: string) {
  return async function onUser(c: Context<PdpEnv>): Promise<Response> {
    return orRefused(c, async () => {
      const answer = await act(readId(c, subjectId))
      return answer === undefined ? missing(c, 'user', 'cedargate users ls', more) : c.json(answer)
    })
  }
}
