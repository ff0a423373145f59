// Owns what the PDP counts. Labels are bounded sets; no person, tool or argument is ever one.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { DecideResult, ToolState } from '../../schemas/pep-api.ts'
import type { ActivationStatus } from './activation/activation.ts'
import type { Authorization } from './authorize/types.ts'
import type { RenewalResult } from './credentials/renewal.ts'
import type { LedgerStats } from './ledger/types.ts'

export type Metrics = {
  readonly registry: Registry
  /** Counts what policies that fail, and shadow policies, make of one decision. */
  readonly countAuthorization: (authorization: Authorization) => void
  readonly countResults: (results: readonly DecideResult[], seconds: number) => void
  /** A definition was seen on a server for the first time. */
  readonly countSighting: (state: ToolState) => void
  /** An access token was to be renewed. */
  readonly countRenewal: (result: RenewalResult) => void
}

type Sources = {
  readonly ledger: () => LedgerStats
  readonly bundle: () => ActivationStatus
  /** Held tools of each server; while it rejects, no server has a value. */
  readonly heldCounts: () => Promise<ReadonlyMap<string, number>>
}

export function createMetrics({ ledger: ledgerStats, bundle, heldCounts }: Sources): Metrics {
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
  registerLedger(registry, ledgerStats)
  const policyErrors = new Counter({
    name: 'cedargate_policy_errors_total',
    help: 'Decisions denied because this policy failed to evaluate',
    labelNames: ['policy'],
    registers: [registry],
  })
  const shadowed = new Counter({
    name: 'cedargate_shadow_total',
    help: 'Decisions that shadow policies could apply to: what was decided, what they would decide',
    labelNames: ['verdict', 'shadow'],
    registers: [registry],
  })
  const sightings = new Counter({
    name: 'cedargate_definitions_seen_total',
    help: 'Tool definitions seen on a server for the first time, by how they stand to the reviewed',
    labelNames: ['state'],
    registers: [registry],
  })
  const renewals = new Counter({
    name: 'cedargate_token_renewals_total',
    help: 'Access tokens asked for at authorization servers, by what came of it',
    labelNames: ['result'],
    registers: [registry],
  })
  registry.registerMetric(heldGauge(heldCounts))
  registerBundle(registry, bundle)
  return {
    registry,
    countAuthorization: ({ decision, errors, shadow }) => {
      for (const policy of errors) policyErrors.inc({ policy })
      if (shadow !== null) shadowed.inc({ verdict: decision, shadow: shadow.decision })
    },
    countSighting: (state) => sightings.inc({ state }),
    countRenewal: (result) => renewals.inc({ result }),
    countResults: (results, seconds) => {
      duration.observe(seconds)
      for (const result of results) {
        if (result.kind === 'verdict') decisions.inc({ code: result.code })
        else rejections.inc({ reason: result.reason })
      }
    },
  }
}

function registerLedger(registry: Registry, ledgerStats: () => LedgerStats): void {
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

/** Findings told by name; whoever has more has one trouble, not hundreds. */
const FINDINGS_MAX = 20

/** Which bundle decides, since when it is confirmed, and where the one that is refused is wrong. */
function registerBundle(registry: Registry, status: () => ActivationStatus): void {
  const gauge = (
    name: string,
    help: string,
    labelNames: string[],
    collect: (to: Gauge) => void,
  ) => {
    const made: Gauge = new Gauge({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        made.reset()
        collect(made)
      },
    })
  }
  gauge('cedargate_bundle_info', 'The bundle that decides', ['bundle', 'commit'], (to) => {
    const { bundle, commit } = status()
    to.set({ bundle: bundle.id, commit: commit ?? '' }, 1)
  })
  gauge(
    'cedargate_bundle_confirmed_seconds',
    'When its source was last seen to hold it',
    [],
    (to) => to.set(status().confirmedAt / 1000),
  )
  gauge('cedargate_bundle_stale', '1: too old, every call is denied', [], (to) =>
    to.set(Number(status().stale)),
  )
  gauge('cedargate_bundle_refused', '1: what the source holds is not active', [], (to) =>
    to.set(Number(status().problem !== null)),
  )
  const labels = ['file', 'line', 'column']
  gauge('cedargate_bundle_finding', 'Where the refused bundle is wrong', labels, (to) => {
    for (const { file, line, column } of status().problem?.findings.slice(0, FINDINGS_MAX) ?? []) {
      to.set({ file, line: String(line), column: String(column) }, 1)
    }
  })
}
