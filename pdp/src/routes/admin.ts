// Owns the operator face of the PDP, for the CLI: parse, call, serialise.
import type { Context } from 'hono'
import { stream } from 'hono/streaming'
import {
  type CreatedPep,
  type FsckLine,
  type PepRow,
  pepRequest,
} from '../../../schemas/admin-api.ts'
import { type AgentPorts, agentRoutes } from './agents.ts'
import { type BundlePorts, bundleRoutes } from './bundles.ts'
import { type ClientGrantPorts, clientGrantRoutes } from './client-grants.ts'
import { type CredentialAdminPorts, credentialRoutes } from './credentials.ts'
import { type DecisionPorts, decisionRoutes } from './decisions.ts'
import { type GrantPorts, grantRoutes, unknownServers } from './grants.ts'
import { missing } from './missing.ts'
import { invalid, readBody, readId } from './read.ts'
import type { Recorder } from './record-act.ts'
import { EVERY_ROLE, type GuardedRoute, type PdpEnv } from './roles.ts'
import { type UserPorts, userRoutes } from './users.ts'

export type AdminPorts = BundlePorts &
  DecisionPorts &
  GrantPorts &
  ClientGrantPorts &
  UserPorts &
  AgentPorts &
  CredentialAdminPorts & {
    readonly enrollPep: (servers: readonly string[]) => Promise<CreatedPep>
    readonly listPeps: () => Promise<readonly PepRow[]>
    readonly revokePep: (id: string) => Promise<boolean>
    readonly fsck: () => AsyncIterable<FsckLine>
  }

export function adminRoutes(ports: AdminPorts, record: Recorder): GuardedRoute[] {
  return [
    {
      method: 'POST',
      path: '/admin/v1/peps',
      role: ['admin'],
      act: { name: 'peps.enroll', body: pepRequest },
      handler: enrollPep,
    },
    { method: 'GET', path: '/admin/v1/peps', role: EVERY_ROLE, handler: listPeps },
    {
      method: 'DELETE',
      path: '/admin/v1/peps/:id',
      role: ['admin', 'approver'],
      act: { name: 'peps.revoke', body: null },
      handler: revokePep,
    },
    { method: 'GET', path: '/admin/v1/ledger/fsck', role: ['admin', 'auditor'], handler: fsck },
    { method: 'GET', path: '/admin/v1/bundle', role: EVERY_ROLE, handler: bundle },
    ...decisionRoutes(ports, record),
    ...bundleRoutes(ports),
    ...grantRoutes(ports),
    ...clientGrantRoutes(ports),
    ...userRoutes(ports),
    ...agentRoutes(ports),
    ...credentialRoutes(ports),
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
