// Owns what the PEP counts. Labels come from closed sets only: never a token, a name a client
// chose, or an id.
import { Counter, Gauge, Histogram, Registry } from 'prom-client'

export type Metrics = {
  /** `result`: `allow`, `deny` or a refusal code. */
  readonly calls: (result: string) => void
  readonly decideSeconds: (seconds: number) => void
  readonly recordSeconds: (seconds: number) => void
  /** An answer of this server held the credential it was sent. */
  readonly credentialEchoes: (server: string) => void
  /** Prometheus text. */
  readonly text: () => Promise<string>
  readonly contentType: string
}

const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2]

export function createMetrics(droppedOutcomes: () => number): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const calls = new Counter({
    name: 'cedargate_pep_calls_total',
    help: 'Requests of clients, by how they were answered',
    labelNames: ['result'],
    registers,
  })
  const echoes = new Counter({
    name: 'cedargate_pep_credential_echoes_total',
    help: 'Answers of servers that held the credential they were sent; it was masked',
    labelNames: ['server'],
    registers,
  })
  const histogram = (name: string, help: string) =>
    new Histogram({ name, help, buckets: BUCKETS, registers })
  const decide = histogram('cedargate_pep_decide_seconds', 'Waiting for a verdict')
  const record = histogram('cedargate_pep_record_seconds', 'Waiting for the commit of a record')
  registers[0]?.registerMetric(
    new Gauge({
      name: 'cedargate_pep_outcomes_dropped',
      help: 'Outcomes that could not be reported',
      registers: [],
      collect() {
        this.set(droppedOutcomes())
      },
    }),
  )
  return {
    calls: (result) => calls.inc({ result }),
    decideSeconds: (seconds) => decide.observe(seconds),
    recordSeconds: (seconds) => record.observe(seconds),
    credentialEchoes: (server) => echoes.inc({ server }),
    text: () => registry.metrics(),
    contentType: registry.contentType,
  }
}
