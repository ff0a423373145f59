// Owns how the PDP reaches what somebody named: identity providers and authorization servers. Holds every connection to
// the addresses of schemas/dial.ts; never follows a redirect, and asks no proxy.
import { Agent, type RequestInit as SendInit, fetch as send } from 'undici'
import { DialRefused, guardedLookup, type Lookup, urlRefusal } from '../../../schemas/dial.ts'
import {
  DIAL_ANSWER_BYTES_MAX,
  DIAL_ANSWER_TIMEOUT_MS,
  DIAL_CONNECT_TIMEOUT_MS,
  DIAL_CONNECTIONS_MAX,
  DIAL_ORIGINS_MAX,
} from '../../../schemas/limits.ts'

export type Fetch = (url: string, init: RequestInit) => Promise<Response>

/**
 * A fetch that opens https to public addresses, and to these origins (`https://host:port`) wherever they are, http
 * included; to what schemas/dial.ts calls `never`, never. Rejects with DialRefused. Never follows a redirect: its answer
 * is what the caller gets.
 */
export type Dialer = (privateOrigins: readonly string[]) => Fetch

export type OpenDialer = Dialer & {
  /** Breaks off what is under way. */
  readonly close: () => Promise<void>
}

const SETTING = '`private: true` beside the setting that names it'

export function openDialer({ lookup }: { readonly lookup?: Lookup } = {}): OpenDialer {
  // Each has connections of its own: one opened for a private origin is never used for who may not go there.
  const [toPublic, toPrivate] = [way(false, lookup), way(true, lookup)]
  const dial: Dialer = (privateOrigins) => async (url, init) => {
    const target = URL.parse(url)
    if (target === null) throw new DialRefused('what is to be dialled is no URL')
    const { rules, agent } = privateOrigins.includes(target.origin) ? toPrivate : toPublic
    const refused = urlRefusal(target, rules)
    if (refused !== undefined) throw refused
    const guarded = { ...init, redirect: 'manual', dispatcher: agent } as SendInit
    return await send(target, guarded).catch(throwRefusal)
  }
  const close = async (): Promise<void> => {
    await Promise.all([toPublic.agent.destroy(), toPrivate.agent.destroy()])
  }
  return Object.assign(dial, { close })
}

function way(mayBePrivate: boolean, lookup: Lookup | undefined) {
  const rules = { mayBePrivate, setting: SETTING, lookup }
  const agent = new Agent({
    allowH2: false,
    connect: { lookup: guardedLookup(rules), timeout: DIAL_CONNECT_TIMEOUT_MS },
    connections: DIAL_CONNECTIONS_MAX,
    maxOrigins: DIAL_ORIGINS_MAX,
    headersTimeout: DIAL_ANSWER_TIMEOUT_MS,
    bodyTimeout: DIAL_ANSWER_TIMEOUT_MS,
    maxResponseSize: DIAL_ANSWER_BYTES_MAX,
  })
  return { rules, agent }
}

/** undici hides why a connection failed behind `fetch failed`. */
function throwRefusal(error: unknown): never {
  throw error instanceof TypeError && error.cause instanceof DialRefused ? error.cause : error
}
