// Owns asking the PDP: batched, bounded in time, and only its own answer believed. Decides nothing
// itself.
import { hash } from 'node:crypto'
import {
  DECIDE_CALLS_MAX,
  DECIDE_MESSAGES_LENGTH_MAX,
  DECIDE_TIMEOUT_MS,
} from '../../schemas/limits.ts'
import type { DecideCall, Rejection, Verdict } from '../../schemas/pep-api.ts'
import { createBatcher } from './batch.ts'
import { GatewayError } from './gateway-error.ts'
import { DECIDES_IN_FLIGHT_MAX, WAITING_MAX } from './limits.ts'
import type { Monotonic, PdpPort } from './ports.ts'
import { readVerdict } from './verdict.ts'

/** A verdict or a rejection, and when it was asked for: its age counts from there. */
export type Decided = { readonly result: Verdict | Rejection; readonly askedAt: number }
/** `grant`: whose call it was taken for. */
export type Decide = (call: DecideCall, grant: string | null) => Promise<Decided>

export type DecidePorts = { readonly pdp: PdpPort; readonly monotonic: Monotonic }

type Asking = {
  readonly call: DecideCall
  readonly grant: string | null
  readonly since: number
}

/**
 * Asks for one verdict. Throws pdp_unavailable (no answer within DECIDE_TIMEOUT_MS of sending,
 * nonsense, or too many waiting), verdict_mismatch. A call that waited that long already is not
 * sent any more.
 */
export function createDecide({ pdp, monotonic }: DecidePorts): Decide {
  const ask = createBatcher<Asking, Decided | GatewayError>({
    countMax: DECIDE_CALLS_MAX,
    weightMax: DECIDE_MESSAGES_LENGTH_MAX,
    weigh: ({ call }) => call.message.length + (call.jwt?.length ?? 0),
    inFlightMax: DECIDES_IN_FLIGHT_MAX,
    waitingMax: WAITING_MAX,
    full: () => new GatewayError('pdp_unavailable', `${WAITING_MAX} calls wait for a verdict`),
    send: (asking) => askAll(pdp, asking, monotonic()),
  })
  return async (call, grant) => {
    const decided = await ask({ call, grant, since: monotonic() })
    if (decided instanceof GatewayError) throw decided
    return decided
  }
}

async function askAll(
  pdp: PdpPort,
  asking: readonly Asking[],
  askedAt: number,
): Promise<(Decided | GatewayError)[]> {
  const fresh = asking.filter(({ since }) => askedAt - since < DECIDE_TIMEOUT_MS)
  const results = fresh.length === 0 ? [] : await post(pdp, fresh)
  const answers = results.values()
  return asking.map(({ call, grant, since }) => {
    if (askedAt - since >= DECIDE_TIMEOUT_MS) {
      return new GatewayError('pdp_unavailable', 'the call waited too long to be decided')
    }
    return believe(answers.next().value, { call, grant }, askedAt)
  })
}

async function post(pdp: PdpPort, asking: readonly Asking[]): Promise<readonly unknown[]> {
  const body = JSON.stringify({ calls: asking.map(({ call }) => call) })
  try {
    const answer = await pdp.post('/pep/v1/decide', body, DECIDE_TIMEOUT_MS)
    if (answer.status !== 200) throw new Error(`the PDP answered ${answer.status}`)
    const { results } = read(answer.body)
    if (!Array.isArray(results) || results.length !== asking.length) {
      throw new Error('the PDP answered another number of calls')
    }
    return results
  } catch (cause) {
    throw new GatewayError('pdp_unavailable', 'the PDP gave no verdict', { cause })
  }
}

/** Whatever is wrong with it is not said: the error of a parser quotes what it read, and there are credentials in it. */
function read(body: string): { readonly results?: unknown } {
  try {
    return Object(JSON.parse(body)) as { results?: unknown }
  } catch {
    throw new Error('the PDP answered what is no JSON')
  }
}

/** One odd verdict refuses its own call, not its neighbours. */
function believe(
  value: unknown,
  { call, grant }: Pick<Asking, 'call' | 'grant'>,
  askedAt: number,
): Decided | GatewayError {
  const { requestId, server } = call
  try {
    const messageDigest = hash('sha256', call.message)
    return { result: readVerdict(value, { requestId, server, messageDigest, grant }), askedAt }
  } catch (error) {
    if (error instanceof GatewayError) return error
    throw error
  }
}
