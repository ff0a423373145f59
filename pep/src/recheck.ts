// Owns asking again about what stays open: whether its caller may still listen, and whether what a list would show them
// is what it showed. Decides nothing: the PDP answers, and what it does not answer changes nothing.
import { LIST_CALLERS_MAX } from '../../schemas/limits.ts'
import { listResponse, type Visible } from '../../schemas/pep-api.ts'
import { GatewayError } from './gateway-error.ts'
import { LISTED_CALLERS_MAX, PDP_TIMEOUT_MS } from './limits.ts'
import type { Log, PdpPort } from './ports.ts'
import type { Caller, Reviewed } from './reviewed.ts'
import type { Stream, Streams } from './streams.ts'

export type RecheckPorts = {
  readonly pdp: PdpPort
  readonly log: Log
  readonly streams: Streams
  readonly reviewed: Pick<Reviewed, 'stateOf'>
}

export type Recheck = {
  /** A list of tools was shown to this caller. The callers of longest ago are forgotten beyond LISTED_CALLERS_MAX. */
  readonly listed: (caller: Caller, visible: Visible | null) => void
  /**
   * Asks about every lasting stream, or those of one grant. `mayHaveChanged`: callers of whom it is not known what they
   * were shown are told too. Never rejects.
   */
  readonly check: (mayHaveChanged: boolean, grant?: string) => Promise<void>
}

type Asked = {
  readonly grant: string
  readonly server: string
  readonly streams: readonly Stream[]
}

const ENDED = new GatewayError('unauthenticated', 'the caller may not speak to the server any more')

export function createRecheck({ pdp, log, streams, reviewed }: RecheckPorts): Recheck {
  const shown = new Map<string, string>()
  const stateOf = (server: string, { tools }: Visible) => reviewed.stateOf(server, tools.toSorted())
  const remember = (caller: Caller, state: string): void => {
    shown.delete(keyOf(caller))
    shown.set(keyOf(caller), state)
    const [oldest] = shown.keys()
    if (shown.size > LISTED_CALLERS_MAX && oldest !== undefined) shown.delete(oldest)
  }
  const settle = (asked: Asked, visible: Visible | null, mayHaveChanged: boolean): void => {
    if (visible === null) {
      for (const stream of asked.streams) stream.close(ENDED)
      return
    }
    const before = shown.get(keyOf(asked))
    const now = stateOf(asked.server, visible)
    remember(asked, now)
    const isOther = before === undefined ? mayHaveChanged : before !== now
    if (isOther) for (const stream of asked.streams) stream.sayToolsChanged?.()
  }
  return {
    listed(caller, visible) {
      if (visible !== null) remember(caller, stateOf(caller.server, visible))
    },
    async check(mayHaveChanged, grant) {
      const lasting = streams.lasting()
      const all = callersOf(
        grant === undefined ? lasting : lasting.filter((one) => one.grant === grant),
      )
      for (let from = 0; from < all.length; from += LIST_CALLERS_MAX) {
        const batch = all.slice(from, from + LIST_CALLERS_MAX)
        try {
          const visible = await ask(pdp, batch)
          for (const [index, asked] of batch.entries())
            settle(asked, visible[index] ?? null, mayHaveChanged)
        } catch (error) {
          log.warn({ err: error }, 'it could not be asked whether streams may stay open')
        }
      }
    },
  }
}

function keyOf({ grant, server }: Caller): string {
  return `${server} ${grant}`
}

function callersOf(streams: readonly Stream[]): Asked[] {
  const byCaller = Map.groupBy(streams, keyOf)
  return [...byCaller.values()].flatMap((own) => {
    const [first] = own
    if (first === undefined || first.grant === null) return []
    return [{ grant: first.grant, server: first.server, streams: own }]
  })
}

async function ask(pdp: PdpPort, asked: readonly Asked[]): Promise<readonly (Visible | null)[]> {
  const callers = asked.map(({ grant, server }) => ({ grant, server }))
  const answer = await pdp.post('/pep/v1/list', JSON.stringify({ callers }), PDP_TIMEOUT_MS)
  if (answer.status !== 200) throw new Error(`the PDP answered ${answer.status}`)
  const { visible } = listResponse.parse(JSON.parse(answer.body))
  if (visible.length !== asked.length) throw new Error('the PDP answered another number of callers')
  return visible
}
