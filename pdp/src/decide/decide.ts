// Owns one decision from a PEP's question to a signed verdict: grant → message → authorization → record.
// Never writes the record of an enforced decision (the PEP does, before it acts) and never contacts a server.
import { hash } from 'node:crypto'
import type { ReleasedCredential } from '../../../schemas/credentials.ts'
import { OWN_AGENT } from '../../../schemas/identifiers.ts'
import type { DecideCall, DecideResult, Rejection, Verdict } from '../../../schemas/pep-api.ts'
import type { Clock } from '../../../schemas/ports.ts'
import { NO_CEILINGS } from '../../../schemas/scopes.ts'
import type { Authorizer } from '../authorize/authorizer.ts'
import { denied } from '../authorize/denial.ts'
import type { OwnAuthorizer } from '../authorize/own.ts'
import type { Authorization, AuthorizationRequest } from '../authorize/types.ts'
import type { Bundle } from '../bundle/bundle.ts'
import type { Broker } from '../credentials/broker.ts'
import type { Grant, ResolveCallers } from '../identity/grant.ts'
import type { GrantResolver } from '../identity/resolve.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { explainRefusal } from './explain.ts'
import { readMessage } from './read-message.ts'

export type Enforcer = { readonly id: string; readonly servers: readonly string[] }

export type DecidePorts = {
  /** What decides now. Asked once per request: all its calls are decided by one bundle. */
  readonly active: () => Active
  readonly resolveCallers: ResolveCallers
  readonly position: GrantResolver['position']
  readonly stillHold: GrantResolver['stillHold']
  /** Told of each grant that is used, and from where; must not throw. */
  readonly onUsed: (grant: string, source: string | null) => void
  readonly ledger: Ledger
  readonly clock: Clock
  readonly release: Broker['release']
  /** Told of each credential that is released; must not throw. */
  readonly onReleased: (credential: string) => void
  /** Told of each decision; must not throw. */
  readonly onDecided: (authorization: Authorization) => void
}

/** A bundle, and what decides by it. */
export type Active = {
  readonly bundle: Bundle
  readonly authorizer: Authorizer
  /** Decides on types beyond MCP that the bundle brings. */
  readonly own: OwnAuthorizer
}

/** Decides a list of calls of one PEP. Same length, same order; a call that cannot be decided denies by itself. */
export type Decide = (pep: Enforcer, calls: readonly DecideCall[]) => Promise<DecideResult[]>

type Asked = {
  readonly call: DecideCall
  readonly grant: Grant | null
  readonly request: AuthorizationRequest
  /** Why our own strict reading refuses the message, though its PEP accepted it: the authorizer is not asked then. */
  readonly unreadable: string | undefined
}

/** A grant that changes while its call is decided is decided anew, so often in all. */
const ATTEMPTS_MAX = 3

/**
 * INVARIANT: no allow is sealed unless its grant, as it was decided by, held less than GRANT_AGE_MS_MAX before. Throws when
 * that cannot be known.
 */
export function createDecide(ports: DecidePorts): Decide {
  return async function decide(pep, calls) {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const { bundle, items, since } = await decideOnce(ports, pep, calls)
      const allowed = items.flatMap((item) => allowedGrant(item) ?? [])
      if (allowed.length > 0 && !(await ports.stillHold(allowed, since))) continue
      return items.map((item) => {
        if (!('authorization' in item)) return item
        ports.onDecided(item.authorization)
        if (item.credential !== null) ports.onReleased(item.credential.id)
        return seal(ports.ledger, bundle, item)
      })
    }
    throw new Error('who may call changed again and again while it was decided')
  }
}

async function decideOnce(ports: DecidePorts, pep: Enforcer, calls: readonly DecideCall[]) {
  const { bundle, authorizer } = ports.active()
  const since = ports.position()
  const callers = await ports.resolveCallers(
    calls.flatMap(({ token, jwt }) => (token === null ? [] : [{ token, jwt }])),
  )
  const now = ports.clock.now()
  const asked = calls.map((call) => identify(bundle, pep, call, callers, now))
  const accepted = asked.filter((item): item is Asked => 'request' in item)
  for (const { grant, call } of accepted) if (grant !== null) ports.onUsed(grant.id, call.sourceIp)
  const readable = accepted.filter(({ unreadable }) => unreadable === undefined)
  const [authorizations] = await Promise.all([
    authorizer.authorize(readable.map(({ request }) => request)),
    ports.ledger.prepare(accepted.map(({ request }) => request.user), now),
  ]) // biome-ignore format: two independent waits
  const answers = authorizations.values()
  const items = asked.map((item): Decided | Rejection => {
    if (!('request' in item)) return item
    const authorization =
      item.unreadable === undefined
        ? answers.next().value
        : denied({ code: 'invalid_request', detail: item.unreadable })
    if (authorization === undefined) throw new Error('the authorizer answered too few requests')
    return { pep, asked: item, authorization, credential: null }
  })
  return { bundle, items: await withCredentials(ports, items), since }
}

/**
 * INVARIANT: a credential goes out with an allow alone. An allow that lacks the one it needs is a deny: it would reach the
 * server as somebody else, or nobody.
 */
async function withCredentials(
  { release }: DecidePorts,
  items: readonly (Decided | Rejection)[],
): Promise<(Decided | Rejection)[]> {
  const needing = items.filter((item): item is Decided => {
    return 'authorization' in item && (isSent(item) || isBlind(item))
  })
  if (needing.length === 0) return [...items]
  const answers = await release(
    needing.map(({ asked }) => ({ server: asked.call.server, user: asked.request.user })),
  )
  const released = new Map(
    needing.map((item, index) => [item as Decided | Rejection, answers[index]]),
  )
  return items.map((item) => {
    const answer = released.get(item)
    if (answer === undefined || !('authorization' in item)) return item
    if ('unavailable' in answer)
      return { ...item, authorization: unavailable(item.authorization, answer.unavailable) }
    return isSent(item) ? { ...item, credential: answer.credential } : item
  })
}

/**
 * Nobody could look at the tools of the server: where that is for want of a credential, its holder must be told so, and
 * not that there is no such tool.
 */
function isBlind({ authorization: { code }, asked: { call } }: Decided): boolean {
  return code === 'unknown_tool' && call.definition === null && call.from === 'client'
}

/** Whether anything of it goes to the server. */
function isSent({ authorization, asked: { call } }: Decided): boolean {
  return authorization.decision === 'allow' && call.from === 'client' && call.method !== LISTENED
}

/** What was asked of Cedar stays in the record: policy permits it, all the same. */
function unavailable(authorization: Authorization, detail: string): Authorization {
  return {
    ...authorization,
    decision: 'deny',
    code: 'credential_unavailable',
    policies: [],
    visible: null,
    concealed: false,
    detail,
  }
}

function allowedGrant(item: Decided | Rejection): Grant | null {
  if (!('authorization' in item) || item.authorization.decision === 'deny') return null
  return item.asked.grant
}

function identify(
  bundle: Bundle,
  pep: Enforcer,
  call: DecideCall,
  grants: ReadonlyMap<string, Grant>,
  now: number,
): Asked | Rejection {
  const reject = (reason: Rejection['reason']): Rejection => {
    return { kind: 'rejection', requestId: call.requestId, reason }
  }
  const grant = call.token === null ? null : grants.get(call.token)
  if (grant === undefined) return reject('unauthenticated')
  if (!bundle.servers.has(call.server) || !pep.servers.includes(call.server)) {
    return reject('unknown_server')
  }
  if (grant !== null && !grant.servers.includes(call.server)) return reject('server_not_granted')
  const message = readMessage(call.method, call.message)
  return {
    call,
    grant,
    unreadable: message.ok ? undefined : message.detail,
    request: {
      user: grant?.user ?? null,
      teams: grant?.teams ?? [],
      agent: grant?.agent ?? OWN_AGENT,
      grant: grant === null ? null : { id: grant.id, expiresAt: grant.expiresAt },
      scopes: grant?.scopes ?? NO_CEILINGS,
      server: call.server,
      from: call.from,
      method: call.method,
      params: message.ok ? message.params : undefined,
      definition: call.definition,
      definitionRequired: true,
      time: now,
      era: call.era,
      sourceIp: call.sourceIp,
    },
  }
}

type Decided = {
  readonly pep: Enforcer
  readonly asked: Asked
  readonly authorization: Authorization
  /** What the call is sent with; null: nothing. */
  readonly credential: ReleasedCredential | null
}

/** A resource of a subscription is decided by itself; the subscription is what goes to the server. */
const LISTENED = 'listen:resource'

/** What is said of a tool that does not exist; the record keeps what was decided of the one that does. */
const NONEXISTENT = { code: 'unknown_tool', policies: [], errors: [] } as const

function seal(ledger: Ledger, bundle: Bundle, decided: Decided): Verdict {
  const { pep, asked, authorization, credential } = decided
  const { call, grant, request } = asked
  const { id, record } = ledger.seal({
    pep: pep.id,
    user: request.user,
    agent: request.agent,
    grantId: grant?.id ?? null,
    server: call.server,
    method: call.method,
    definition: call.definition,
    bundle: bundle.id,
    digests: bundle.digests,
    authorization,
    time: request.time,
    mode: 'enforced',
    identity: call.token ?? '',
    ...(credential === null ? {} : { credential }),
  })
  const { server, from, method } = call
  const what = { server, from, method, tool: authorization.tool }
  const shown = authorization.concealed ? { ...authorization, ...NONEXISTENT } : authorization
  return {
    kind: 'verdict',
    requestId: call.requestId,
    server: call.server,
    messageDigest: hash('sha256', call.message),
    grant: grant?.id ?? null,
    decisionId: id,
    decision: authorization.decision,
    code: shown.code,
    policies: [...shown.policies],
    text:
      authorization.decision === 'allow'
        ? ''
        : explainRefusal({ ...shown, what, decisionId: id, access: bundle.access }),
    visible: authorization.visible,
    record,
    ...(credential === null ? {} : { credential }),
  }
}
