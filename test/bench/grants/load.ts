// Owns the decisions that are asked for meanwhile: so many a second, spread over the PDPs, of grants that are watched and
// of any others. Open loop: a slow answer delays no question.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Enforcer } from './enforcer.ts'
import type { Plan } from './plan.ts'
import type { Watched } from './watch.ts'

const TICK_MS = 5
const ERRORS_KEPT = 5

export type Load = {
  readonly stop: () => Promise<Asked>
}
/** `tookMs`: from the question to its committed record. `wrong`: answers that nobody may get, or none at all. */
export type Asked = {
  readonly seconds: number
  readonly decided: number
  readonly tookMs: readonly number[]
  readonly wrong: number
  readonly firstWrong: readonly string[]
}

/** `watched` are asked about at every PDP while they are in it. */
export function startLoad(
  enforcers: readonly Enforcer[],
  watched: ReadonlySet<Watched>,
  plan: Plan,
): Load {
  const tookMs: number[] = []
  const wrongs: string[] = []
  const underWay = new Set<Promise<void>>()
  const began = performance.now()
  const stopping = new AbortController()
  let [sent, probes] = [0, 0]

  const ask = async (pdp: number, index: number, of: Watched | undefined): Promise<void> => {
    const from = performance.now()
    try {
      const { said, at } = (await enforcers[pdp]?.ask(index)) ?? { said: 'nothing', at: from }
      if (of !== undefined) of.answered(pdp, said, at)
      else if (said !== 'allow') throw new Error(`a grant in force was answered ${said}`)
      tookMs.push(performance.now() - from)
    } catch (error) {
      wrongs.push(wordsOf(error))
    }
  }
  const next = (): Promise<void> => {
    const some = [...watched]
    const isProbe = some.length > 0 && sent % 10 < plan.watchedOfTen
    if (!isProbe) {
      const span = plan.grants - plan.revocations
      const index = plan.revocations + Math.floor(Math.random() * span)
      return ask(sent % enforcers.length, index, undefined)
    }
    const turn = probes++ % (some.length * enforcers.length)
    const of = some[Math.floor(turn / enforcers.length)]
    return ask(turn % enforcers.length, of?.index ?? 0, of)
  }
  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const due = ((performance.now() - began) / 1_000) * plan.perSecond
      for (; sent < due; sent++) {
        const asked = next()
        underWay.add(asked)
        asked.finally(() => underWay.delete(asked)).catch(() => {})
      }
      await sleep(TICK_MS)
    }
  }
  const running = run()
  return {
    async stop() {
      stopping.abort()
      await running
      await Promise.all(underWay)
      return {
        seconds: (performance.now() - began) / 1_000,
        decided: tookMs.length,
        tookMs,
        wrong: wrongs.length,
        firstWrong: wrongs.slice(0, ERRORS_KEPT),
      }
    },
  }
}

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
