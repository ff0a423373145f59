// Owns the order of measuring: passes over every arm at every number of connections, interleaved, so that a machine that
// slows down slows all of them. Never averages: medians, with the smallest and the largest pass beside them.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { LoadOrder, LoadResult } from './load.ts'

/** One way from the load to the upstream. `url` is an MCP endpoint that answers the workload. */
export type Arm = {
  readonly key: string
  readonly label: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

export type Plan = {
  readonly passes: number
  /** Every arm is driven this long first, uncounted: a service that has just started runs unoptimised code. */
  readonly heatMs: number
  readonly connections: readonly number[]
  readonly warmupMs: number
  readonly durationMs: number
}

export type Spread = { readonly median: number; readonly min: number; readonly max: number }
export type Measured = {
  readonly arm: string
  readonly connections: number
  readonly perSecond: Spread
  readonly p50Us: Spread
  readonly p99Us: Spread
}

type Progress = (text: string) => void

/**
 * Runs the plan. Throws at the first wrong answer, and when the upstream did not see exactly the calls that were
 * answered: then something else answered, or a call was made twice.
 */
export async function measure(
  arms: readonly Arm[],
  upstreamUrl: string,
  plan: Plan,
  progress: Progress,
): Promise<Measured[]> {
  const load = fork(fileURLToPath(new URL('load.ts', import.meta.url)))
  const results = new Map<string, LoadResult[]>()
  try {
    const most = Math.max(...plan.connections)
    for (const arm of arms)
      await measureOnce(load, arm, most, upstreamUrl, { ...plan, durationMs: plan.heatMs })
    for (let pass = 0; pass < plan.passes; pass++) {
      for (const connections of plan.connections) {
        for (const arm of rotated(arms, pass)) {
          const result = await measureOnce(load, arm, connections, upstreamUrl, plan)
          const key = `${arm.key} ${connections}`
          results.set(key, [...(results.get(key) ?? []), result])
          progress(`pass ${pass + 1}/${plan.passes}  ${describe(arm, connections, result)}`)
        }
      }
    }
  } finally {
    load.disconnect()
  }
  return arms.flatMap((arm) =>
    plan.connections.map((connections) =>
      summarise(arm, connections, results.get(`${arm.key} ${connections}`) ?? []),
    ),
  )
}

async function measureOnce(
  load: ChildProcess,
  arm: Arm,
  connections: number,
  upstreamUrl: string,
  plan: Plan,
): Promise<LoadResult> {
  const before = await upstreamCalls(upstreamUrl)
  const { warmupMs, durationMs } = plan
  const order: LoadOrder = { url: arm.url, headers: arm.headers, connections, warmupMs, durationMs }
  load.send(order)
  const [result] = (await once(load, 'message')) as [LoadResult]
  if (result.errors > 0)
    throw new Error(`${arm.label}: ${result.errors} wrong answers, the first: ${result.firstError}`)
  const seen = (await upstreamCalls(upstreamUrl)) - before
  if (seen !== result.answered)
    throw new Error(`${arm.label}: ${result.answered} answers, but the upstream saw ${seen} calls`)
  return result
}

async function upstreamCalls(upstreamUrl: string): Promise<number> {
  return Number(await (await fetch(new URL('/calls', upstreamUrl))).text())
}

/** Each pass begins with another arm, so that none always follows the same neighbour. */
function rotated<T>(items: readonly T[], by: number): T[] {
  const start = by % items.length
  return [...items.slice(start), ...items.slice(0, start)]
}

function summarise(arm: Arm, connections: number, passes: readonly LoadResult[]): Measured {
  return {
    arm: arm.key,
    connections,
    perSecond: spread(passes.map((pass) => pass.perSecond)),
    p50Us: spread(passes.map((pass) => pass.p50Us)),
    p99Us: spread(passes.map((pass) => pass.p99Us)),
  }
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const median = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
  return { median, min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN }
}

function describe(arm: Arm, connections: number, result: LoadResult): string {
  const rate = Math.round(result.perSecond)
  return `${arm.label} × ${connections}: ${rate}/s, p50 ${Math.round(result.p50Us)} µs, p99 ${Math.round(result.p99Us)} µs`
}
