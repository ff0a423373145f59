// Owns the order of one call: decide, record, then answer or forward. There is no other way to a
// server.
import type { RefusalCode } from '../../schemas/codes.ts'
import type { DecideCall, Outcome, Verdict } from '../../schemas/pep-api.ts'
import type { JsonObject } from '../../schemas/strict-json.ts'
import type { Answer } from './answer.ts'
import type { Decide } from './decide.ts'
import { GatewayError } from './gateway-error.ts'
import type { Inbound } from './inbound/receive.ts'
import type { Metrics } from './metrics.ts'
import { asInbound } from './passage/asked.ts'
import { createPassage, type PassagePorts } from './passage/passage.ts'
import type { Monotonic, Uuid } from './ports.ts'
import type { IsRevoked, RecordedCall, RecordVerdict, Settled } from './record/record.ts'
import { denied } from './refuse.ts'
import type { Reporter } from './report.ts'
import { subscribedTo, subscribedUris, subscribing } from './subscription.ts'
import type { Ended, UpstreamServer } from './upstream/upstream.ts'

export type EnforcePorts = {
  readonly decide: Decide
  readonly record: RecordVerdict
  readonly reporter: Reporter
  readonly metrics: Metrics
  readonly monotonic: Monotonic
  /** Refused without asking. */
  readonly isRevoked: IsRevoked
  /** The PDP does not know this token, or as another grant's than it was taken for. */
  readonly forget: (token: string) => void
  readonly serverOf: (id: string) => UpstreamServer | undefined
  /** Fingerprint of a tool's definition as the server serves it to this caller now. */
  readonly definitionOf: (caller: Inbound, tool: string) => Promise<string | null> | string | null
  /** An answer of this server held the credential it was sent; it was masked. */
  readonly onEchoed: (server: string) => void
  readonly passage: Omit<PassagePorts, 'ask'>
  readonly uuid: Uuid
}

/**
 * The answer to one call. Order: a crash before the commit leaves nothing; after it, a record
 * without an outcome. Throws GatewayError with the PDP's rejection, or with what kept the call from
 * being decided, kept or answered. `signal` aborts when the client is gone; a legacy call goes on
 * all the same.
 */
export async function enforce(
  ports: EnforcePorts,
  inbound: Inbound,
  signal: () => AbortSignal,
): Promise<Answer> {
  const narrowed = await narrow(ports, inbound)
  const { call, verdict } = await permit(ports, narrowed)
  if (call === undefined) return denied(inbound, verdict)
  return forward(ports, narrowed, call, signal)
}

/** `call` is undefined where it was denied. */
export type Permitted = { readonly verdict: Settled; readonly call: RecordedCall | undefined }

/** Decides and records. */
export async function permit(ports: EnforcePorts, inbound: Inbound): Promise<Permitted> {
  const { monotonic, metrics } = ports
  if (ports.isRevoked(inbound.grant))
    throw new GatewayError('unauthenticated', 'the grant was revoked', { fault: 'revoked' })
  const { verdict, askedAt } = await decided(ports, inbound)
  const decidedAt = monotonic()
  metrics.decideSeconds((decidedAt - askedAt) / 1000)
  const call = await ports.record(inbound, verdict, askedAt)
  metrics.recordSeconds((monotonic() - decidedAt) / 1000)
  metrics.calls(verdict.decision)
  return { verdict: call?.verdict ?? verdict, call }
}

async function decided(
  ports: EnforcePorts,
  inbound: Inbound,
): Promise<{ readonly verdict: Verdict; readonly askedAt: number }> {
  const { token, grant } = inbound
  try {
    const { result, askedAt } = await ports.decide(await questionOf(ports, inbound), grant)
    if (result.kind === 'verdict') return { verdict: result, askedAt }
    throw new GatewayError(result.reason, 'the PDP rejects the caller')
  } catch (error) {
    if (token !== null && error instanceof GatewayError && MISNAMED.has(error.code))
      ports.forget(token)
    throw error
  }
}

/** The token may not be the grant's any more that it was taken for. */
const MISNAMED: ReadonlySet<RefusalCode> = new Set(['unauthenticated', 'verdict_mismatch'])

/**
 * Decides what a server asks of the client of `inbound`, and records it; an allow is on its way to the client then. Throws
 * what `permit` throws.
 */
async function ask(ports: EnforcePorts, inbound: Inbound, request: JsonObject): Promise<Settled> {
  const { verdict, call } = await permit(ports, asInbound(inbound, ports.uuid(), request))
  if (call === undefined) return verdict
  const { inbound: asked } = call.open(ports.monotonic())
  const bytes = asked.text.length
  reportOnce(ports, call)({ result: 'forwarded', status: 0, isError: false, bytes })
  return verdict
}

/** A subscription to what its caller may not read is none: each resource of it is decided by itself. */
async function narrow(ports: EnforcePorts, inbound: Inbound): Promise<Inbound> {
  const uris = subscribedUris(inbound)
  if (uris.length === 0) return inbound
  const requests = uris.map((uri) => subscribing(inbound, ports.uuid(), uri))
  const permitted = await Promise.all(requests.map((request) => permit(ports, request)))
  const allowed = permitted.flatMap(({ call }, index) => {
    if (call === undefined) return []
    reportOnce(ports, call)({ result: 'forwarded', status: 0, isError: false, bytes: 0 })
    return [uris[index] ?? '']
  })
  return subscribedTo(inbound, allowed)
}

async function questionOf(ports: EnforcePorts, inbound: Inbound): Promise<DecideCall> {
  const { requestId, token, jwt, server, from, method, era, client, sourceIp, tool } = inbound
  const definition = tool === undefined ? null : await ports.definitionOf(inbound, tool)
  return {
    requestId,
    token,
    jwt,
    server,
    from,
    method,
    message: inbound.text,
    era,
    definition,
    client,
    sourceIp,
  }
}

async function forward(
  ports: EnforcePorts,
  inbound: Inbound,
  call: RecordedCall,
  signal: () => AbortSignal,
): Promise<Answer> {
  const sent = { credential: call.credential(), isEchoed: false }
  const onEnded = reportOnce(ports, call, sent)
  const onEchoed = () => {
    if (!sent.isEchoed) ports.onEchoed(inbound.server)
    sent.isEchoed = true
  }
  try {
    const server = ports.serverOf(inbound.server)
    if (server === undefined) {
      throw new GatewayError(
        'upstream_unavailable',
        `this PEP does not serve ${inbound.server} yet`,
      )
    }
    const passage = createPassage(
      { ...ports.passage, ask: (of, request) => ask(ports, of, request) },
      inbound,
      call.verdict,
    )
    const cancels = inbound.era === 'modern' || inbound.kind === 'stream'
    const own = cancels ? signal() : undefined
    return await server.forward(call, { signal: own, onEnded, onEchoed, passage })
  } catch (error) {
    // Whoever sent something has told how that ended; else nothing was sent.
    onEnded({ result: 'refused', status: 0, isError: true, bytes: 0 })
    throw error
  }
}

/** What a call is sent with, and whether its answer held it. */
type Sent = { readonly credential: ReturnType<RecordedCall['credential']>; isEchoed: boolean }

/** The first end counts. */
function reportOnce(
  ports: EnforcePorts,
  { verdict }: RecordedCall,
  sent?: Sent,
): (ended: Ended) => void {
  const sentAt = ports.monotonic()
  let isOver = false
  return ({ result, status, isError, bytes }) => {
    if (isOver) return
    isOver = true
    const { decisionId } = verdict
    const upstreamMs = Math.round(ports.monotonic() - sentAt)
    ports.reporter.report({
      decisionId,
      result,
      status,
      upstreamMs,
      isError,
      bytes,
      ...(result === 'refused' ? {} : sentWith(sent)),
    })
  }
}

function sentWith(sent: Sent | undefined): Pick<Outcome, 'credential'> {
  if (sent?.credential === undefined) return {}
  return { credential: { ...sent.credential, echoed: sent.isEchoed } }
}
