// Owns what operators may see of what operators did: parse, call, serialise.
import type { Context } from 'hono'
import { type ActRow, type ActsQuery, actsQuery } from '../../../schemas/admin-api.ts'
import { readQuery } from './read.ts'
import type { GuardedRoute, PdpEnv } from './roles.ts'

type ActsPorts = { readonly listActs: (query: ActsQuery) => Promise<readonly ActRow[]> }

export function actRoutes({ listActs }: ActsPorts): GuardedRoute[] {
  return [{ method: 'GET', path: '/admin/v1/acts', role: ['admin', 'auditor'], handler: list }]

  async function list(c: Context<PdpEnv>): Promise<Response> {
    const query = readQuery(c, actsQuery)
    if (query instanceof Response) return query
    return c.json({ acts: await listActs(query) })
  }
}
