// Owns the operator face of grants that stand for access tokens: parse, call, serialise.
import type { Context } from 'hono'
import {
  type ClientGrantRequest,
  clientGrantRequest,
  type GrantRow,
} from '../../../schemas/admin-api.ts'
import { orRefused, readBody } from './read.ts'
import type { GuardedRoute, PdpEnv } from './roles.ts'

export type ClientGrantPorts = {
  /** Throws Refused where it cannot be. */
  readonly createClientGrant: (request: ClientGrantRequest) => Promise<GrantRow | undefined>
}

export function clientGrantRoutes(ports: ClientGrantPorts): GuardedRoute[] {
  return [
    {
      method: 'POST',
      path: '/admin/v1/client-grants',
      role: ['admin'],
      act: { name: 'client-grants.create', body: clientGrantRequest },
      handler: create,
    },
  ]

  async function create(c: Context<PdpEnv>): Promise<Response> {
    const body = readBody(c, clientGrantRequest)
    if (body instanceof Response) return body
    return orRefused(c, async () => c.json(await ports.createClientGrant(body), 201))
  }
}
