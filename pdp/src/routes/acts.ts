// Owns what operators may see of what operators did: parse, call, serialise.
import type { Context } from 'hono'
import { z } from 'zod'
import { type ActRow, type ActsQuery, actsQuery } from '../../../schemas/admin-api.ts'
import { invalid } from './read.ts'
import type { GuardedRoute, PdpEnv } from './roles.ts'

type ActsPorts = { readonly listActs: (query: ActsQuery) => Promise<readonly ActRow[]> }

export function actRoutes({ listActs }: ActsPorts): GuardedRoute[] {
  return [{ method: 'GET', path: '/admin/v1/acts', role: ['admin', 'auditor'], handler: list }]

  async function list(c: Context<PdpEnv>): Promise<Response> {
    const query = actsQuery.safeParse(c.req.query())
    if (!query.success) return invalid(c, z.prettifyError(query.error))
    return c.json({ acts: await listActs(query.data) })
  }
}
