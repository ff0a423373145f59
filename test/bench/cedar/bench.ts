// Owns the benchmark `cedar`: what a decision, a list and an activation cost as the number of policies grows.
import type { Bench, BenchOptions, Figures } from '../registry.ts'
import { measureActivations } from './activations.ts'
import {
  authorizerHere,
  cedarHere,
  loadBench,
  type Percentiles,
  percentiles,
  requestOf,
  timeDecisions,
} from './decisions.ts'

export const cedarBench: Bench = {
  name: 'cedar',
  about: 'one decision at 10 to 10,000 policies over 400 tools, a list of 400 tools, activations',
  run,
}

const SIZES = [10, 100, 1_000, 10_000] as const

async function run({ quick, say }: BenchOptions): Promise<Figures> {
  await cedarHere()
  const decisions = await measureDecisions(quick ? [10, 1_000] : SIZES, quick, say)
  const list = await measureList(quick, say)
  const small = await measureActivations(10, quick ? 1 : 3, say)
  const activations = await measureActivations(1_000, quick ? 2 : 50, say)
  const [least, most] = [decisions[0], decisions.at(-1)]
  const early = median(activations.residentMiB.slice(5, 15))
  const late = median(activations.residentMiB.slice(-10))
  const figures = {
    decisions,
    list,
    saveSmall: { activeMs: median(small.activeMs) },
    activation: {
      policies: 1_000,
      count: activations.activeMs.length,
      activeMs: { median: median(activations.activeMs), most: Math.max(...activations.activeMs) },
      decided: activations.decided,
      failed: activations.failed,
      waitedMostMs: activations.waitedMostMs,
      residentMiB: { early, late },
    },
  }
  say(JSON.stringify(figures.activation))
  const ratio = (most?.sliced.p50Ms ?? 0) / (least?.sliced.p50Ms ?? 1)
  return {
    ...figures,
    goals: [
      { name: `${most?.policies} policies over 10, p50`, value: ratio, most: 1.5 },
      {
        name: 'one decision at the most policies, p50 ms',
        value: most?.sliced.p50Ms ?? 0,
        most: 0.35,
      },
      { name: 'tools/list of 400 tools, warm, p50 ms', value: list.again.p50Ms, most: 20 },
      {
        name: 'from a save to an active small bundle, ms',
        value: median(small.activeMs),
        most: 2_000,
      },
      {
        name: 'from a save to 1,000 active policies, ms',
        value: figures.activation.activeMs.most,
        most: 5_000,
      },
      { name: 'decisions that failed meanwhile', value: activations.failed, most: 0 },
      {
        name: 'longest wait of a decision meanwhile, ms',
        value: activations.waitedMostMs,
        most: 50,
      },
      {
        name: 'resident memory, last ten over early ten activations',
        value: late / early,
        most: 1.1,
      },
    ],
  }
}

type Lists = { readonly first: Percentiles; readonly again: Percentiles }

type Decisions = {
  readonly policies: number
  readonly sliced: Percentiles
  readonly unsliced: Percentiles | null
}

/** Rounds over every size, so that a machine that slows down slows all of them; the median round of each counts. */
async function measureDecisions(
  sizes: readonly number[],
  quick: boolean,
  say: (text: string) => void,
): Promise<Decisions[]> {
  const arms = []
  for (const policies of sizes) {
    const bundle = await loadBench(policies)
    arms.push({ policies, sliced: authorizerHere(bundle), whole: authorizerHere(bundle, true) })
    say(`${policies} policies are loaded`)
  }
  const rounds = quick ? 2 : 7
  const taken = new Map<number, Percentiles[]>()
  for (const { sliced } of arms) await timeDecisions(sliced, quick ? 200 : 2_000)
  for (let round = 0; round < rounds; round++) {
    for (const { policies, sliced } of arms) {
      const figures = await timeDecisions(sliced, quick ? 200 : 1_500)
      taken.set(policies, [...(taken.get(policies) ?? []), figures])
    }
  }
  const found: Decisions[] = []
  for (const { policies, whole } of arms) {
    const of = taken.get(policies) ?? []
    const sliced = {
      p50Ms: median(of.map(({ p50Ms }) => p50Ms)),
      p99Ms: median(of.map(({ p99Ms }) => p99Ms)),
    }
    const unsliced = await timeDecisions(whole, Math.max(10, Math.min(300, 100_000 / policies)))
    found.push({ policies, sliced, unsliced })
    say(
      `${policies} policies: p50 ${sliced.p50Ms.toFixed(3)} ms, unsliced ${unsliced.p50Ms.toFixed(2)} ms`,
    )
  }
  return found
}

/** One server with 400 tools and the policies of fifty teams: the first list of a person, and the lists after it. */
async function measureList(quick: boolean, say: (text: string) => void): Promise<Lists> {
  const authorizer = authorizerHere(await loadBench(1_000, 1, 400))
  const first: number[] = []
  const again: number[] = []
  for (let index = 0; index < (quick ? 5 : 60); index++) {
    const request = { ...requestOf(index), server: 'server-0', method: 'tools/list', params: {} }
    for (const times of [first, again]) {
      const began = performance.now()
      const [answer] = await authorizer.authorize([{ ...request, time: request.time + 1 }])
      if (index >= 3) times.push(performance.now() - began)
      if (answer?.visible?.tools.length !== 400) throw new Error('the list is not whole')
    }
  }
  const figures = { first: percentiles(first), again: percentiles(again) }
  say(
    `a list of 400 tools: p50 ${figures.first.p50Ms.toFixed(1)} ms, then ${figures.again.p50Ms.toFixed(2)} ms`,
  )
  return figures
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}
