// Owns what the PDP counts. Labels are bounded sets; no person, tool or argument is ever one.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { DecideResult, ToolState } from '../../schemas/pep-api.ts'
import type { LedgerStats } from './ledger/types.ts'

export type Metrics = {
  readonly registry: Registry
  readonly countResults: (results: readonly DecideResult[], seconds: number) => void
  /** A definition was seen on a server for the first time. */
  readonly countSighting: (state: ToolState) => void
}

/** `heldCounts`: held tools of each server; while it rejects, no server has a value. */
export function createMetrics(
  ledgerStats: () => LedgerStats,
  heldCounts: () => Promise<ReadonlyMap<string, number>>,
): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const decisions = new Counter({
    name: 'cedargate_decisions_total',
    help: 'Decisions by verdict code',
    labelNames: ['code'],
    registers: [registry],
  })
  const rejections = new Counter({
    name: 'cedargate_rejections_total',
    help: 'Calls that were not decided: unknown caller or server',
    labelNames: ['reason'],
    registers: [registry],
  })
  const duration = new Histogram({
    name: 'cedargate_decide_seconds',
    help: 'Time to decide one request of a PEP, whatever its number of calls',
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1],
    registers: [registry],
  })
  for (const key of [
    'issued',
    'unconfirmed',
    'backfilled',
    'displaced',
    'sweepFailures',
  ] as const) {
    registry.registerMetric(
      new Gauge({
        name: `cedargate_ledger_${key.replace(/[A-Z]/, (letter) => `_${letter.toLowerCase()}`)}`,
        help: `Leaves of this instance: ${key}`,
        registers: [],
        collect() {
          this.set(ledgerStats()[key])
        },
      }),
    )
  }
  const sightings = new Counter({
    name: 'cedargate_definitions_seen_total',
    help: 'Tool definitions seen on a server for the first time, by how they stand to the reviewed',
    labelNames: ['state'],
    registers: [registry],
  })
  registry.registerMetric(heldGauge(heldCounts))
  return {
    registry,
    countSighting: (state) => sightings.inc({ state }),
    countResults: (results, seconds) => {
      duration.observe(seconds)
      for (const result of results) {
        if (result.kind === 'verdict') decisions.inc({ code: result.code })
        else rejections.inc({ reason: result.reason })
      }
    },
  }
}

function heldGauge(heldCounts: () => Promise<ReadonlyMap<string, number>>): Gauge {
  return new Gauge({
    name: 'cedargate_tools_held',
    help: 'Tools of a server that are changed or unknown, as the last look saw them',
    labelNames: ['server'],
    registers: [],
    async collect() {
      const counts = await heldCounts().catch(() => undefined) // /readyz says what is wrong.
      this.reset()
      for (const [server, count] of counts ?? []) this.set({ server }, count)
    },
  })
}
