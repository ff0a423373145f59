// Owns the operator face of grants: parse, call, serialise.
import type { Context } from 'hono'
import { z } from 'zod'
import {
  type BundleInfo,
  type CreatedGrant,
  type GrantRequest,
  type GrantRow,
  type GrantsQuery,
  grantRequest,
  grantsQuery,
  type revokedGrant,
} from '../../../schemas/admin-api.ts'
import type { RevokedGrant } from '../identity/grants.ts'
import { missing } from './missing.ts'
import { invalid, orRefused, readBody, readId, readQuery } from './read.ts'
import { EVERY_ROLE, type GuardedRoute, type PdpEnv } from './roles.ts'

export type GrantPorts = {
  /** Throws Refused where it cannot be. */
  readonly createGrant: (request: GrantRequest) => Promise<CreatedGrant>
  readonly listGrants: (query: GrantsQuery) => Promise<readonly GrantRow[]>
  readonly showGrant: (id: string) => Promise<GrantRow | undefined>
  /** Undefined when there is no such grant; throws Refused where it cannot be. */
  readonly rotateGrant: (id: string) => Promise<CreatedGrant | undefined>
  /** Undefined when there is no such grant; revoking twice is fine. */
  readonly revokeGrant: (id: string) => Promise<RevokedGrant | undefined>
  readonly bundleInfo: () => BundleInfo
}

export function grantRoutes(ports: GrantPorts): GuardedRoute[] {
  return [
    {
      method: 'POST',
      path: '/admin/v1/grants',
      role: ['admin'],
      act: { name: 'grants.create', body: grantRequest },
      handler: create,
    },
    { method: 'GET', path: '/admin/v1/grants', role: EVERY_ROLE, handler: list },
    { method: 'GET', path: '/admin/v1/grants/:id', role: EVERY_ROLE, handler: show },
    {
      method: 'POST',
      path: '/admin/v1/grants/:id/rotate',
      role: ['admin'],
      act: { name: 'grants.rotate', body: null },
      handler: rotate,
    },
    {
      method: 'DELETE',
      path: '/admin/v1/grants/:id',
      role: ['admin', 'approver'],
      act: { name: 'grants.revoke', body: null },
      handler: revoke,
    },
  ]

  async function create(c: Context<PdpEnv>): Promise<Response> {
    const body = readBody(c, grantRequest)
    if (body instanceof Response) return body
    const unknown = unknownServers(ports.bundleInfo(), body.servers)
    if (unknown !== undefined) return invalid(c, unknown)
    return orRefused(c, async () => c.json(await ports.createGrant(body), 201))
  }

  async function list(c: Context<PdpEnv>): Promise<Response> {
    const query = readQuery(c, grantsQuery)
    if (query instanceof Response) return query
    return c.json({ grants: await ports.listGrants(query) })
  }

  async function show(c: Context<PdpEnv>): Promise<Response> {
    const id = grantId(c)
    const found = id === '' ? undefined : await ports.showGrant(id)
    return found === undefined ? noGrant(c) : c.json(found)
  }

  async function rotate(c: Context<PdpEnv>): Promise<Response> {
    const id = grantId(c)
    return orRefused(c, async () => {
      const rotated = id === '' ? undefined : await ports.rotateGrant(id)
      return rotated === undefined ? noGrant(c) : c.json(rotated)
    })
  }

  async function revoke(c: Context<PdpEnv>): Promise<Response> {
    const id = grantId(c)
    const revoked = id === '' ? undefined : await ports.revokeGrant(id)
    if (revoked === undefined) return noGrant(c)
    const revokedAt = new Date(revoked.revokedAt).toISOString()
    return c.json({ id, revokedAt } satisfies z.infer<typeof revokedGrant>)
  }
}

/** One line that names them, where the bundle lacks some. */
export function unknownServers(
  { servers }: BundleInfo,
  asked: readonly string[],
): string | undefined {
  const known = servers.map(({ id }) => id)
  const unknown = asked.filter((id) => !known.includes(id))
  if (unknown.length === 0) return undefined
  return `the bundle has no server ${unknown.join(', ')}; it has ${known.join(', ') || 'none'}`
}

function grantId(c: Context<PdpEnv>): string {
  return readId(c, z.uuid())
}

function noGrant(c: Context<PdpEnv>): Response {
  return missing(c, 'grant', 'cedargate grants ls')
}
