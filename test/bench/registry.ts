// Owns the list of benchmarks: `npm run bench -- <name>` runs one of these.
import { gatewayBench } from './gateway/bench.ts'
import { startBench } from './start/bench.ts'

export type BenchOptions = {
  /** One short pass, to see that it works; its figures mean little. */
  readonly quick: boolean
  /** Prints progress and tables. */
  readonly say: (text: string) => void
}
export type Bench = {
  readonly name: string
  readonly about: string
  /** Answers what is written under its name to bench/results.json. Throws when a single answer was wrong. */
  readonly run: (options: BenchOptions) => Promise<object>
}

export const BENCHES: readonly Bench[] = [gatewayBench, startBench]
