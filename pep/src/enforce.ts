// Owns the order of one call: decide, record, then answer or forward. There is no other way to a
// server.
import type { DecideCall } from '../../schemas/pep-api.ts'
import type { Answer } from './answer.ts'
import type { Decide } from './decide.ts'
import { GatewayError } from './gateway-error.ts'
import type { Inbound } from './inbound/receive.ts'
import type { Metrics } from './metrics.ts'
import type { Monotonic } from './ports.ts'
import type { RecordedCall, RecordVerdict } from './record/record.ts'
import { denied } from './refuse.ts'
import type { Reporter } from './report.ts'
import type { Caller } from './reviewed.ts'
import type { Ended, UpstreamServer } from './upstream/upstream.ts'

export type EnforcePorts = {
  readonly decide: Decide
  readonly record: RecordVerdict
  readonly reporter: Reporter
  readonly metrics: Metrics
  readonly monotonic: Monotonic
  /**
   * Tokens whose revocation was heard: refused without asking. Not hearing of one allows nothing.
   */
  readonly isRevoked: (token: string | null) => boolean
  readonly serverOf: (id: string) => UpstreamServer | undefined
  /** Fingerprint of a tool's definition as the server serves it to this caller now. */
  readonly definitionOf: (caller: Caller, tool: string) => Promise<string | null> | string | null
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
  const permitted = await permit(ports, inbound)
  if ('answer' in permitted) return permitted.answer
  return forward(ports, inbound, permitted.call, signal)
}

export type Permitted = { readonly call: RecordedCall } | { readonly answer: Answer }

/** Decides and records: the call if it may be sent, else the answer to its denial. */
export async function permit(ports: EnforcePorts, inbound: Inbound): Promise<Permitted> {
  const { monotonic, metrics } = ports
  if (ports.isRevoked(inbound.token)) throw new GatewayError('unauthenticated', 'it was revoked')
  const { result, askedAt } = await ports.decide(await questionOf(ports, inbound))
  const decidedAt = monotonic()
  metrics.decideSeconds((decidedAt - askedAt) / 1000)
  if (result.kind === 'rejection')
    throw new GatewayError(result.reason, 'the PDP rejects the caller')
  const call = await ports.record(inbound, result, askedAt)
  metrics.recordSeconds((monotonic() - decidedAt) / 1000)
  metrics.calls(result.decision)
  return call === undefined ? { answer: denied(inbound, result) } : { call }
}

async function questionOf(ports: EnforcePorts, inbound: Inbound): Promise<DecideCall> {
  const { requestId, token, server, method, era, client, sourceIp, tool } = inbound
  const definition = tool === undefined ? null : await ports.definitionOf(inbound, tool)
  return {
    requestId,
    token,
    server,
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
  const onEnded = reportOnce(ports, call)
  try {
    const server = ports.serverOf(inbound.server)
    if (server === undefined) {
      throw new GatewayError(
        'upstream_unavailable',
        `this PEP does not serve ${inbound.server} yet`,
      )
    }
    const cancels = inbound.era === 'modern' || inbound.kind === 'stream'
    return await server.forward(call, { signal: cancels ? signal() : undefined, onEnded })
  } catch (error) {
    // Whoever sent something has told how that ended; else nothing was sent.
    onEnded({ result: 'refused', status: 0, isError: true, bytes: 0 })
    throw error
  }
}

/** The first end counts. */
function reportOnce(ports: EnforcePorts, { verdict }: RecordedCall): (ended: Ended) => void {
  const sentAt = ports.monotonic()
  let isOver = false
  return ({ result, status, isError, bytes }) => {
    if (isOver) return
    isOver = true
    const { decisionId } = verdict
    const upstreamMs = Math.round(ports.monotonic() - sentAt)
    ports.reporter.report({ decisionId, result, status, upstreamMs, isError, bytes })
  }
}
