// Owns the operator face of the PDP, for the CLI: parse, call, serialise.
import type { Context } from 'hono'
import { stream } from 'hono/streaming'
import { z } from 'zod'
import {
  type BundleInfo,
  type CreatedGrant,
  type CreatedPep,
  type FsckLine,
  type GrantRequest,
  type GrantRow,
  grantRequest,
  type PepRow,
  pepRequest,
} from '../../../schemas/admin-api.ts'
import { type BundlePorts, bundleRoutes } from './bundles.ts'
import { type DecisionPorts, decisionRoutes } from './decisions.ts'
import { missing } from './missing.ts'
import { invalid, readBody } from './read.ts'
import type { Recorder } from './record-act.ts'
import { EVERY_ROLE, type GuardedRoute, type PdpEnv } from './roles.ts'

export type AdminPorts = BundlePorts &
  DecisionPorts & {
    readonly createGrant: (request: GrantRequest) => Promise<CreatedGrant>
    readonly listGrants: () => Promise<readonly GrantRow[]>
    /** false when there is no such grant; revoking twice is fine. */
    readonly revokeGrant: (id: string) => Promise<boolean>
    readonly enrollPep: (servers: readonly string[]) => Promise<CreatedPep>
    readonly listPeps: () => Promise<readonly PepRow[]>
    readonly revokePep: (id: string) => Promise<boolean>
    readonly fsck: () => AsyncIterable<FsckLine>
    readonly bundleInfo: () => BundleInfo
  }

export function adminRoutes(ports: AdminPorts, record: Recorder): GuardedRoute[] {
  return [
    {
      method: 'POST',
      path: '/admin/v1/grants',
      role: ['admin'],
      act: { name: 'grants.create', body: grantRequest },
      handler: createGrant,
    },
    { method: 'GET', path: '/admin/v1/grants', role: EVERY_ROLE, handler: listGrants },
    {
      method: 'DELETE',
      path: '/admin/v1/grants/:id',
      role: ['admin', 'approver'],
      act: { name: 'grants.revoke', body: null },
      handler: revokeGrant,
    },
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
  ]

  async function createGrant(c: Context<PdpEnv>): Promise<Response> {
    const body = readBody(c, grantRequest)
    if (body instanceof Response) return body
    const unknown = unknownServers(ports.bundleInfo(), body.servers)
    return unknown === undefined ? c.json(await ports.createGrant(body), 201) : invalid(c, unknown)
  }

  async function listGrants(c: Context<PdpEnv>): Promise<Response> {
    return c.json({ grants: await ports.listGrants() })
  }

  async function revokeGrant(c: Context<PdpEnv>): Promise<Response> {
    const id = identifier(c)
    const found = z.uuid().safeParse(id).success && (await ports.revokeGrant(id))
    return found ? c.body(null, 204) : missing(c, 'grant', 'cedargate grants ls')
  }

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
    const found = await ports.revokePep(identifier(c))
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

function unknownServers({ servers }: BundleInfo, asked: readonly string[]): string | undefined {
  const known = servers.map(({ id }) => id)
  const unknown = asked.filter((id) => !known.includes(id))
  if (unknown.length === 0) return undefined
  return `the bundle has no server ${unknown.join(', ')}; it has ${known.join(', ') || 'none'}`
}

function identifier(c: Context<PdpEnv>): string {
  return c.req.param('id') ?? ''
}
