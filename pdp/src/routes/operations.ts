// Owns what orchestrators and scrapers ask: alive, ready, counters. No personal data, no credential needed.
import type { Context } from 'hono'
import type { Registry } from 'prom-client'
import type { BundleState } from '../../../schemas/admin-api.ts'
import type { GuardedRoute, PdpEnv } from './roles.ts'

type OperationsPorts = {
  readonly registry: Registry
  /** Undefined when this PDP can decide and record now; else what it lacks, for the operator. */
  readonly unready: () => Promise<string | undefined>
  /** A bundle that is refused does not make this PDP unready: the one before decides on. */
  readonly bundle: () => BundleState
}

export function operationsRoutes({ registry, unready, bundle }: OperationsPorts): GuardedRoute[] {
  return [
    { method: 'GET', path: '/healthz', role: 'anyone', handler: healthz },
    { method: 'GET', path: '/readyz', role: 'anyone', handler: readyz },
    { method: 'GET', path: '/metrics', role: 'anyone', handler: metrics },
  ]

  async function readyz(c: Context<PdpEnv>): Promise<Response> {
    const lack = await unready()
    return lack === undefined
      ? c.json({ status: 'ready', bundle: bundle() })
      : c.json({ status: 'unready', lack }, 503)
  }

  async function metrics(c: Context<PdpEnv>): Promise<Response> {
    return c.body(await registry.metrics(), 200, { 'content-type': registry.contentType })
  }
}

function healthz(c: Context<PdpEnv>): Response {
  return c.json({ status: 'alive' })
}
