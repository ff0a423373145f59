// Owns the operator face of the PDP, for the CLI: parse, call, serialise.
import type { Context } from 'hono'
import { stream } from 'hono/streaming'
import { z } from 'zod'
import {
  type CreatedPep,
  type DecisionRow,
  type DecisionsQuery,
  decisionsQuery,
  type FsckLine,
  type PepRow,
  pepRequest,
} from '../../../schemas/admin-api.ts'
import { type AgentPorts, agentRoutes } from './agents.ts'
import { type BundlePorts, bundleRoutes } from './bundles.ts'
import { type ClientGrantPorts, clientGrantRoutes } from './client-grants.ts'
import { type GrantPorts, grantRoutes, unknownServers } from './grants.ts'
import { missing } from './missing.ts'
import { invalid, readBody, readId, readQuery } from './read.ts'
import type { GuardedRoute, PdpEnv } from './roles.ts'
import { type UserPorts, userRoutes } from './users.ts'

export type AdminPorts = BundlePorts &
  GrantPorts &
  ClientGrantPorts &
  UserPorts &
  AgentPorts & {
    readonly enrollPep: (servers: readonly string[]) => Promise<CreatedPep>
    readonly listPeps: () => Promise<readonly PepRow[]>
    readonly revokePep: (id: string) => Promise<boolean>
    readonly listDecisions: (query: DecisionsQuery) => Promise<readonly DecisionRow[]>
    readonly showDecision: (id: string) => Promise<DecisionRow | undefined>
    readonly fsck: () => AsyncIterable<FsckLine>
  }

export function adminRoutes(ports: AdminPorts): GuardedRoute[] {
  return [
    { method: 'POST', path: '/admin/v1/peps', role: 'operator', handler: enrollPep },
    { method: 'GET', path: '/admin/v1/peps', role: 'operator', handler: listPeps },
    { method: 'DELETE', path: '/admin/v1/peps/:id', role: 'operator', handler: revokePep },
    { method: 'GET', path: '/admin/v1/decisions', role: 'operator', handler: listDecisions },
    { method: 'GET', path: '/admin/v1/decisions/:id', role: 'operator', handler: showDecision },
    { method: 'GET', path: '/admin/v1/ledger/fsck', role: 'operator', handler: fsck },
    { method: 'GET', path: '/admin/v1/bundle', role: 'operator', handler: bundle },
    ...bundleRoutes(ports),
    ...grantRoutes(ports),
    ...clientGrantRoutes(ports),
    ...userRoutes(ports),
    ...agentRoutes(ports),
  ]

  async function enrollPep(c: Context<PdpEnv>): Promise<Response> {
    const body = readBody(c, pepRequest)
    if (body instanceof Response) return body
    const unknown = unknownServers(ports.bundleInfo(), body.servers)
    return unknown === undefined
      ? c.json(await ports.enrollPep(body.servers), 201)
      : invalid(c, unknown)
  }

  async function listPeps(c: Context<PdpEnv>): Promise<Response> {
    return c.json({ peps: await ports.listPeps() })
  }

  async function revokePep(c: Context<PdpEnv>): Promise<Response> {
    const found = await ports.revokePep(readId(c))
    return found ? c.body(null, 204) : missing(c, 'pep', 'cedargate peps ls')
  }

  async function listDecisions(c: Context<PdpEnv>): Promise<Response> {
    const query = readQuery(c, decisionsQuery)
    if (query instanceof Response) return query
    return c.json({ decisions: await ports.listDecisions(query) })
  }

  async function showDecision(c: Context<PdpEnv>): Promise<Response> {
    const id = readId(c)
    const found = z.uuid().safeParse(id).success ? await ports.showDecision(id) : undefined
    return found === undefined ? missing(c, 'decision', 'cedargate decisions ls') : c.json(found)
  }

  function fsck(c: Context<PdpEnv>): Response {
    c.header('content-type', 'application/x-ndjson')
    return stream(c, async (lines) => {
      for await (const line of ports.fsck()) {
        if (lines.aborted) return
        await lines.write(`${JSON.stringify(line)}\n`)
      }
    })
  }

  function bundle(c: Context<PdpEnv>): Response {
    return c.json(ports.bundleInfo())
  }
}
