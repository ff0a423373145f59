// Owns the list of benchmarks: `npm run bench -- <name>` runs one of these.
import { cedarBench } from './cedar/bench.ts'
import { credentialsBench } from './credentials/bench.ts'
import { gatewayBench } from './gateway/bench.ts'
import { grantsBench } from './grants/bench.ts'
import { startBench } from './start/bench.ts'
import { streamsBench } from './streams/bench.ts'

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
  readonly run: (options: BenchOptions) => Promise<Figures>
}
/** `goals` are figures to reach; a benchmark whose run misses one fails. */
export type Figures = { readonly goals?: readonly Goal[] } & object
export type Goal = { readonly name: string; readonly value: number; readonly most: number }

export const BENCHES: readonly Bench[] = [
  gatewayBench,
  startBench,
  cedarBench,
  streamsBench,
  grantsBench,
  credentialsBench,
]
