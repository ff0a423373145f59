// Owns the operator's routes about bundles: parse, call, serialise.
import type { Context } from 'hono'
import type { BundleRow, BundleState } from '../../../schemas/admin-api.ts'
import { sha256Hex } from '../../../schemas/identifiers.ts'
import { missing } from './missing.ts'
import { readId } from './read.ts'
import { EVERY_ROLE, type GuardedRoute, type PdpEnv } from './roles.ts'

export type BundlePorts = {
  readonly bundleState: () => BundleState
  /** All that were ever active, newest first. */
  readonly listBundles: () => Promise<readonly BundleRow[]>
  readonly bundleContent: (id: string) => Promise<string | undefined>
  /** Holds every PDP at a stored bundle, or lets them follow their source. false: there is no such bundle. */
  readonly pinBundle: (id: string | undefined) => Promise<boolean>
}

export function bundleRoutes(ports: BundlePorts): GuardedRoute[] {
  return [
    { method: 'GET', path: '/admin/v1/bundles', role: EVERY_ROLE, handler: list },
    { method: 'GET', path: '/admin/v1/bundles/:id', role: EVERY_ROLE, handler: show },
    {
      method: 'POST',
      path: '/admin/v1/bundles/:id/pin',
      role: ['policy-author'],
      act: { name: 'bundles.pin', body: null },
      handler: pin,
    },
    {
      method: 'DELETE',
      path: '/admin/v1/bundles/pin',
      role: ['policy-author'],
      act: { name: 'bundles.unpin', body: null },
      handler: unpin,
    },
  ]

  async function list(c: Context<PdpEnv>): Promise<Response> {
    return c.json({ state: ports.bundleState(), bundles: await ports.listBundles() })
  }

  async function show(c: Context<PdpEnv>): Promise<Response> {
    const content = await ports.bundleContent(readId(c, sha256Hex))
    if (content === undefined) return missing(c, 'bundle', 'cedargate bundles ls')
    return c.body(content, 200, { 'content-type': 'application/json' })
  }

  async function pin(c: Context<PdpEnv>): Promise<Response> {
    const found = await ports.pinBundle(readId(c, sha256Hex))
    if (!found) return missing(c, 'bundle', 'cedargate bundles ls')
    return c.json({ state: ports.bundleState() })
  }

  async function unpin(c: Context<PdpEnv>): Promise<Response> {
    await ports.pinBundle(undefined)
    return c.json({ state: ports.bundleState() })
  }
}
