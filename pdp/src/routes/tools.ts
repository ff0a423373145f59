// Owns what operators ask of the tools that were seen: parse, call, serialise.
import type { Context } from 'hono'
import {
  type SeenDefinition,
  type ToolRow,
  type ToolsQuery,
  toolsQuery,
} from '../../../schemas/admin-api.ts'
import { sha256Hex } from '../../../schemas/identifiers.ts'
import { missing } from './missing.ts'
import { readId, readQuery } from './read.ts'
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
    const query = readQuery(c, toolsQuery)
    if (query instanceof Response) return query
    return c.json({ tools: await ports.listTools(query) })
  }

  async function definition(c: Context<PdpEnv>): Promise<Response> {
    const found = await ports.showDefinition(readId(c, sha256Hex))
    return found === undefined ? missing(c, 'definition', 'cedargate tools ls') : c.json(found)
  }
}
