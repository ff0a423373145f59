// Owns the load: a closed loop over N connections, each sending its next call when the last one is answered. A process of
// its own, driven over IPC with one LoadOrder at a time. Every answer is checked; a wrong one is an error, not a sample.
import { Pool } from 'undici'
import { answerFault, callText, MCP_HEADERS } from './workload.ts'

export type LoadOrder = {
  /** Where calls go: the whole URL of an MCP endpoint. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly connections: number
  readonly warmupMs: number
  readonly durationMs: number
}
/** `answered` counts every good answer, warm-up included: what the upstream must have seen. */
export type LoadResult = {
  readonly answered: number
  readonly perSecond: number
  readonly p50Us: number
  readonly p99Us: number
  readonly errors: number
  readonly firstError: string | null
}

type Tally = { answered: number; errors: number; firstError: string | null; samplesUs: number[] }

let nextId = 1

async function callOnce(pool: Pool, path: string, order: LoadOrder): Promise<string | undefined> {
  const id = nextId++
  const { statusCode, body } = await pool.request({
    method: 'POST',
    path,
    headers: { ...MCP_HEADERS, ...order.headers },
    body: callText(id),
  })
  return answerFault(id, statusCode, await body.text())
}

/** One connection's loop until `endMs` (of performance.now); samples only what began at or after `fromMs`. */
async function loop(pool: Pool, order: LoadOrder, fromMs: number, endMs: number, tally: Tally) {
  const path = new URL(order.url).pathname
  for (let beganMs = performance.now(); beganMs < endMs; beganMs = performance.now()) {
    const fault = await callOnce(pool, path, order).catch((error: unknown) => String(error))
    if (fault === undefined) {
      tally.answered++
      if (beganMs >= fromMs) tally.samplesUs.push((performance.now() - beganMs) * 1000)
    } else {
      tally.errors++
      tally.firstError ??= fault
    }
  }
}

async function run(order: LoadOrder): Promise<LoadResult> {
  const pool = new Pool(new URL(order.url).origin, { connections: order.connections })
  const tally: Tally = { answered: 0, errors: 0, firstError: null, samplesUs: [] }
  const fromMs = performance.now() + order.warmupMs
  const loops = Array.from({ length: order.connections }, () =>
    loop(pool, order, fromMs, fromMs + order.durationMs, tally),
  )
  await Promise.all(loops)
  const seconds = (performance.now() - fromMs) / 1000
  await pool.close()
  const sorted = Float64Array.from(tally.samplesUs).toSorted()
  return {
    answered: tally.answered,
    perSecond: sorted.length / seconds,
    p50Us: sorted[Math.floor(sorted.length * 0.5)] ?? 0,
    p99Us: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
    errors: tally.errors,
    firstError: tally.firstError,
  }
}

process.on('disconnect', () => process.exit(0))
process.on('message', (order: LoadOrder) => {
  run(order).then(
    (result) => process.send?.(result),
    (error: unknown) => {
      throw error
    },
  )
})
