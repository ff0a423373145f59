// Owns telling the PDP how calls ended, in batches, after the fact. Never holds a call up: what
// cannot be told is dropped and counted, and a missing outcome means *unknown*.
import type { Outcome } from '../../schemas/pep-api.ts'
import {
  PDP_TIMEOUT_MS,
  REPORT_DELAY_MS,
  REPORT_OUTCOMES_MAX,
  REPORT_WAITING_MAX,
} from './limits.ts'
import type { Log, PdpPort } from './ports.ts'

export type Reporter = {
  readonly report: (outcome: Outcome) => void
  /** Sends what waits; for the end of the process. */
  readonly flush: () => Promise<void>
  /** Outcomes that were never told. */
  readonly dropped: () => number
}

/**
 * One report at a time, REPORT_DELAY_MS after its first outcome. A report that fails is not
 * repeated.
 */
export function createReporter(pdp: PdpPort, log: Log): Reporter {
  let waiting: Outcome[] = []
  let dropped = 0
  let timer: NodeJS.Timeout | undefined
  let sending: Promise<void> | undefined

  const schedule = () => {
    if (timer !== undefined || sending !== undefined || waiting.length === 0) return
    timer = setTimeout(() => void send(), REPORT_DELAY_MS)
  }
  const send = (): Promise<void> => {
    clearTimeout(timer)
    timer = undefined
    const outcomes = waiting.slice(0, REPORT_OUTCOMES_MAX)
    waiting = waiting.slice(REPORT_OUTCOMES_MAX)
    if (outcomes.length === 0) return Promise.resolve()
    sending = post(pdp, outcomes)
      .catch((error: unknown) => {
        dropped += outcomes.length
        log.warn({ err: error, count: outcomes.length }, 'outcomes could not be reported')
      })
      .finally(() => {
        sending = undefined
        schedule()
      })
    return sending
  }
  return {
    report(outcome) {
      if (waiting.length >= REPORT_WAITING_MAX) {
        dropped += 1
        return
      }
      waiting.push(outcome)
      schedule()
    },
    async flush() {
      await sending
      while (waiting.length > 0) await send()
      clearTimeout(timer)
    },
    dropped: () => dropped,
  }
}

async function post(pdp: PdpPort, outcomes: readonly Outcome[]): Promise<void> {
  const { status } = await pdp.post(
    '/pep/v1/outcomes',
    JSON.stringify({ outcomes }),
    PDP_TIMEOUT_MS,
  )
  if (status >= 300) throw new Error(`the PDP answered ${status}`)
}
