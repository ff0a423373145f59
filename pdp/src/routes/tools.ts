// Owns what operators ask of the tools that were seen: parse, call, serialise.
import type { Context } from 'hono'
import { z } from 'zod'
import {
  type SeenDefinition,
  type ToolRow,
  type ToolsQuery,
  toolsQuery,
} from '../../../schemas/admin-api.ts'
import { sha256Hex } from '../../../schemas/identifiers.ts'
import { missing } from './missing.ts'
import { invalid } from './read.ts'
import { EVERY_ROLE, type GuardedRoute, type PdpEnv } from './roles.ts'

export type ToolPorts = {
  readonly listTools: (query: ToolsQuery) => Promise<readonly ToolRow[]>
  readonly showDefinition: (sha256: string) => Promise<SeenDefinition | undefined>
}

export function toolRoutes(ports: ToolPorts): GuardedRoute[] {
  return [
    { method: 'GET', path: '/admin/v1/tools', role: EVERY_ROLE, handler: tools },
    { method: 'GET', path: '/admin/v1/definitions/:id', role: EVERY_ROLE, handler: definition },
  ]

  async function tools(c: Context<PdpEnv>): Promise<Response> {
    const query = toolsQuery.safeParse(c.req.query())
    if (!query.success) return invalid(c, z.prettifyError(query.error))
    return c.json({ tools: await ports.listTools(query.data) })
  }

  async function definition(c: Context<PdpEnv>): Promise<Response> {
    const sha256 = sha256Hex.safeParse(c.req.param('id'))
    const found = sha256.success ? await ports.showDefinition(sha256.data) : undefined
    return found === undefined ? missing(c, 'definition', 'cedargate tools ls') : c.json(found)
  }
}
