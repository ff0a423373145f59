// Owns the request that a test or an explanation is about: what the gateway would have made of such a message from
// such a caller. Pure: the time is passed in.
import { OWN_AGENT } from '../../../schemas/identifiers.ts'
import type { Era } from '../../../schemas/mcp.ts'
import { METHODS, senderOf } from '../../../schemas/mcp.ts'
import { type Ceilings, NO_CEILINGS } from '../../../schemas/scopes.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import type { AuthorizationRequest } from '../authorize/types.ts'
import { readMessage } from '../decide/read-message.ts'

const GRANT_LASTS_MS = 60 * 60 * 1000

/** `user` null: the agent acts for nobody. `era` and `definition` undefined: what the method has, the reviewed one. */
export type Caller = {
  readonly user: string | null
  readonly teams: readonly string[]
  readonly agent: string
  /** Default: nobody set a ceiling. */
  readonly scopes?: Ceilings
  readonly time: number
  readonly sourceIp: string
  readonly era: Era | undefined
}
export type SentMessage = {
  readonly server: string
  readonly method: string
  readonly params: JsonObject | undefined
  readonly definition?: string | undefined
}

/** The request of a caller whose grant `test` lasts for an hour; the gateway's own agent has none. */
export function requestOf(caller: Caller, message: SentMessage): AuthorizationRequest {
  const { user, teams, agent, scopes = NO_CEILINGS, time, sourceIp } = caller
  const eras = METHODS.get(message.method)?.eras ?? []
  const isGateway = user === null && agent === OWN_AGENT
  return {
    user,
    teams: user === null ? [] : teams,
    agent,
    grant: isGateway ? null : { id: 'test', expiresAt: time + GRANT_LASTS_MS },
    scopes,
    server: message.server,
    from: senderOf(message.method),
    method: message.method,
    params: message.params,
    definition: message.definition ?? null,
    definitionRequired: false,
    time,
    era: caller.era ?? (eras.includes('modern') ? 'modern' : 'legacy'),
    sourceIp,
  }
}

type Sent =
  | { readonly ok: true; readonly params: JsonObject | undefined }
  | { readonly ok: false; readonly detail: string }

/** `params` read as the decision point reads what a client sent, with the same limits. */
export function paramsAsSent(method: string, params: Readonly<Record<string, unknown>>): Sent {
  if (method.startsWith('http:')) return { ok: true, params: undefined }
  const named = method === 'response' ? {} : { method }
  return readMessage(method, JSON.stringify({ jsonrpc: '2.0', id: 1, ...named, params }))
}
