// Owns who may go on connecting an account, at every step anew, and that what comes back is taken once. Never sends anybody
// anywhere.
import type { Pending } from './code-flow.ts'
import type { ConnectPorts } from './connect-ports.ts'
import { ConnectRefused, tooOld } from './connect-refused.ts'
import type { OauthTarget } from './discover.ts'
import { OauthError } from './oauth-error.ts'
import { openOnce } from './once.ts'
import type { Step } from './steps.ts'

type Asked = Pick<Step<'consent'>, 'server' | 'user' | 'by'>

export type ConnectGate = {
  /** Rejects with ConnectRefused, in the same words for no such server and for one that they may not use. */
  readonly targetFor: (asked: Asked) => Promise<OauthTarget>
  /** Throws ConnectRefused unless the query is what this browser was sent for, and the first such. */
  readonly takeOnce: (query: string, pending: Pending) => void
  /** An OauthError as ConnectRefused, and told to the log once, however many wait for it. `isFailure`: of their source. */
  readonly orRefused: <Value>(work: Promise<Value>, isFailure?: boolean) => Promise<Value>
}

type Ports = Pick<ConnectPorts, 'targetOf' | 'mayConnect' | 'clock' | 'onFailure'>

export function openConnectGate({ targetOf, mayConnect, clock, onFailure }: Ports): ConnectGate {
  const once = openOnce(clock)
  const told = new WeakSet<OauthError>()
  return {
    async targetFor({ server, user, by }) {
      const target = targetOf(server)
      const { declaration } = target ?? {}
      const isOwners =
        declaration?.kind === 'oauth' && (declaration.per === 'user') === (user !== null)
      if (target !== undefined && isOwners && (await mayConnect(by, { server, user })))
        return target
      throw new ConnectRefused(403, noAccess(server, by.user))
    },
    takeOnce(query, { state }) {
      const isAsked = new URLSearchParams(query).get('state') === state
      if (!isAsked || !once(state)) throw tooOld()
    },
    async orRefused(work, isFailure = false) {
      try {
        return await work
      } catch (error) {
        if (!(error instanceof OauthError)) throw error
        if (!told.has(error)) onFailure(error)
        told.add(error)
        throw new ConnectRefused(502, error.message, isFailure)
      }
    },
  }
}

function noAccess(server: string, by: string): string {
  return `${by} may connect no account to ${server}: nobody gave you access to it, or its account is one for all, which somebody with the role admin or credential-admin connects`
}
