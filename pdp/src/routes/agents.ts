// Owns the operator face of agents: parse, call, serialise.
import type { Context } from 'hono'
import { type AgentRequest, type AgentRow, agentRequest } from '../../../schemas/admin-api.ts'
import { OWN_AGENT, subjectId } from '../../../schemas/identifiers.ts'
import { invalid, noId, readBody, readId } from './read.ts'
import { EVERY_ROLE, type GuardedRoute, type PdpEnv } from './roles.ts'

export type AgentPorts = {
  readonly putAgent: (id: string, request: AgentRequest) => Promise<AgentRow>
  readonly listAgents: () => Promise<readonly AgentRow[]>
}

export function agentRoutes(ports: AgentPorts): GuardedRoute[] {
  return [
    { method: 'GET', path: '/admin/v1/agents', role: EVERY_ROLE, handler: list },
    {
      method: 'PUT',
      path: '/admin/v1/agents/:id',
      role: ['admin'],
      act: { name: 'agents.put', body: agentRequest },
      handler: put,
    },
  ]

  async function list(c: Context<PdpEnv>): Promise<Response> {
    return c.json({ agents: await ports.listAgents() })
  }

  async function put(c: Context<PdpEnv>): Promise<Response> {
    const body = readBody(c, agentRequest)
    if (body instanceof Response) return body
    const id = readId(c, subjectId)
    if (id === '') return noId(c, 'agent', subjectId)
    if (id === OWN_AGENT) return invalid(c, `the agent id ${OWN_AGENT} is the gateway's own`)
    return c.json(await ports.putAgent(id, body))
  }
}
