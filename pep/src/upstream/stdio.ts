// Owns a stdio server: one child per client session, bounded in number and idle time, all of them
// ended with the PEP. Legacy era only: a modern request gets the empty 400 that makes its client
// fall back to `initialize`.
import type { ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import type { Upstream } from '../../../schemas/pep-api.ts'
import type { Answer } from '../answer.ts'
import { GatewayError } from '../gateway-error.ts'
import type { Bindings } from '../inbound/bindings.ts'
import type { Inbound } from '../inbound/receive.ts'
import { CHILD_IDLE_MS_MAX, CHILDREN_MAX, CHILDREN_PER_GRANT_MAX } from '../limits.ts'
import { eventOf } from '../passage/events.ts'
import { toolsChangedFor } from '../passage/tools-changed.ts'
import type { Log, Monotonic } from '../ports.ts'
import type { RecordedCall } from '../record/record.ts'
import type { Streams } from '../streams.ts'
import { commandOf, type Surroundings, startChild } from './child.ts'
import { connectStdio } from './connect-stdio.ts'
import { StdioSession } from './stdio-session.ts'
import { addOrDestroy, isLasting } from './stream-answer.ts'
import type { Connection, Sending, UpstreamServer } from './upstream.ts'

export type StdioPorts = {
  readonly monotonic: Monotonic
  readonly bindings: Bindings
  readonly streams: Streams
  readonly surroundings: Surroundings
  readonly log: Log
}

type Held = { readonly session: StdioSession; usedAt: number }

const IDLE_CHECK_MS = 60_000
const NOTHING_SENT = { result: 'refused', status: 0, isError: true, bytes: 0 } as const

export class StdioServer implements UpstreamServer {
  readonly id: string
  readonly #upstream: Upstream
  readonly #ports: StdioPorts
  readonly #open = new Map<string, Held>()
  readonly #timer: NodeJS.Timeout
  /** Whose sessions are starting. */
  #starting: (string | null)[] = []

  constructor(upstream: Upstream, ports: StdioPorts) {
    this.id = upstream.id
    this.#upstream = upstream
    this.#ports = ports
    this.#timer = setInterval(() => this.#endIdle(), IDLE_CHECK_MS)
    this.#timer.unref()
  }

  readonly forward = async (call: RecordedCall, sending: Sending): Promise<Answer> => {
    if (call.of.era === 'modern') {
      sending.onEnded(NOTHING_SENT)
      return { status: 400, headers: {}, body: null }
    }
    return this.#handle(call, sending)
  }

  readonly connect = async (call: RecordedCall): Promise<Connection> => {
    return connectStdio(await this.#spawn(), call.open(this.#ports.monotonic()))
  }

  readonly revoke = (token: string): void => {
    for (const { session } of this.#open.values()) if (session.token === token) void session.close()
  }

  readonly stop = async (): Promise<void> => {
    clearInterval(this.#timer)
    await Promise.all([...this.#open.values()].map(({ session }) => session.close()))
  }

  async #handle(call: RecordedCall, sending: Sending): Promise<Answer> {
    const { monotonic } = this.#ports
    const held = await this.#hold(call.open(monotonic()))
    held.usedAt = monotonic()
    try {
      const inbound = call.open(monotonic())
      const response = await held.session.handle(inbound, sending)
      const isRefused = inbound.method === 'initialize' && response.status >= 400
      if (inbound.kind === 'end' || isRefused) await held.session.close()
      return await shape(response, { inbound, call, sending }, this.#ports)
    } catch (error) {
      if (call.of.method === 'initialize') await held.session.close()
      throw error
    }
  }

  /** The session a message belongs to; `initialize` makes one. */
  async #hold({ method, session: sessionId, token }: Inbound): Promise<Held> {
    if (method === 'initialize') return this.#start(token)
    const held = sessionId === undefined ? undefined : this.#open.get(sessionId)
    if (held !== undefined && held.session.token === token) return held
    throw new GatewayError('unknown_session', 'the session is over, or never was')
  }

  async #start(token: string | null): Promise<Held> {
    this.#makeRoom(token)
    this.#starting.push(token)
    try {
      const { log, monotonic } = this.#ports
      const child = await this.#spawn()
      const sessionId = randomUUID()
      const onClosed = () => void this.#open.delete(sessionId)
      const session = new StdioSession(child, {
        sessionId,
        token,
        server: this.id,
        log,
        onClosed,
      })
      const held = { session, usedAt: monotonic() }
      this.#open.set(sessionId, held)
      return held
    } finally {
      this.#starting.splice(this.#starting.indexOf(token), 1)
    }
  }

  /** Nobody's sessions shut others out: a grant that has its share gives up its oldest idle one, or gets no more. */
  #makeRoom(token: string | null): void {
    const own = [...this.#open.values()].filter(({ session }) => session.token === token)
    const starting = this.#starting.filter((of) => of === token).length
    if (own.length + starting < CHILDREN_PER_GRANT_MAX) {
      if (this.#open.size + this.#starting.length < CHILDREN_MAX) return
      throw new GatewayError('too_many_requests', `${CHILDREN_MAX} sessions of ${this.id} are open`)
    }
    const idle = own.filter(({ session }) => session.isIdle())
    const [oldest] = idle.toSorted((a, b) => a.usedAt - b.usedAt)
    if (oldest === undefined) {
      const message = `${CHILDREN_PER_GRANT_MAX} sessions of ${this.id} are busy for this token`
      throw new GatewayError('too_many_requests', message)
    }
    void oldest.session.close()
  }

  async #spawn(): Promise<ChildProcess> {
    const { surroundings, log } = this.#ports
    try {
      const child = await startChild(commandOf(this.#upstream, surroundings))
      child.stderr?.setEncoding('utf8').on('data', (output: string) => {
        log.debug({ server: this.id, output: output.trimEnd() }, 'output')
      })
      return child
    } catch (cause) {
      const message = `the server ${this.id} cannot be started`
      throw new GatewayError('upstream_unavailable', message, { cause })
    }
  }

  #endIdle(): void {
    for (const { session, usedAt } of this.#open.values()) {
      const idleMs = this.#ports.monotonic() - usedAt
      if (session.isIdle() && idleMs > CHILD_IDLE_MS_MAX) void session.close()
    }
  }
}

type Exchange = {
  readonly inbound: Inbound
  readonly call: RecordedCall
  readonly sending: Sending
}

/**
 * What the SDK's transport answered, as ours; the outcome of a request comes with the child's own
 * answer.
 */
async function shape(
  response: Response,
  { inbound, call, sending }: Exchange,
  ports: StdioPorts,
): Promise<Answer> {
  const headers = headersOf(response, inbound, call, ports.bindings)
  const { status, body } = response
  if (body === null || !(headers['content-type'] ?? '').startsWith('text/event-stream')) {
    const text = await response.text()
    const isError = status >= 400
    // What the transport refuses never reached the child.
    const result = isError ? 'refused' : 'forwarded'
    sending.onEnded({ result, status, isError, bytes: text.length })
    if (status === 400 && inbound.kind === 'request') {
      throw new GatewayError('not_a_message', `the transport of the server refused it: ${text}`)
    }
    return { status, headers, body: text === '' ? null : text }
  }
  const stream = Readable.fromWeb(body)
  const lasting = isLasting(inbound)
  const changed = toolsChangedFor(inbound)
  let write: ((bytes: Buffer) => void) | undefined
  const release = addOrDestroy(ports.streams, stream, {
    server: inbound.server,
    token: inbound.token,
    lasting,
    close: (why) => stream.destroy(why),
    sayToolsChanged: () => {
      if (changed !== undefined) write?.(eventOf(changed))
    },
  })
  const onEnd = (complete: boolean): undefined => {
    release()
    const result = complete ? 'forwarded' : 'unknown'
    if (lasting) sending.onEnded({ result, status, isError: false, bytes: 0 })
  }
  return {
    status,
    headers: { ...headers, 'x-accel-buffering': 'no' },
    body: {
      stream,
      whenGone: 'cancel',
      onEnd,
      onOpen(writeNow) {
        write = writeNow
      },
    },
  }
}

const PASSED = ['content-type', 'cache-control', 'allow'] as const

function headersOf(
  response: Response,
  { token, server }: Inbound,
  { verdict }: RecordedCall,
  bindings: Bindings,
): Record<string, string> {
  const headers: Record<string, string> = { 'cedargate-decision': verdict.decisionId }
  for (const name of PASSED) {
    const value = response.headers.get(name)
    if (value !== null) headers[name] = value
  }
  const sessionId = response.headers.get('mcp-session-id')
  if (sessionId !== null && token !== null) {
    headers['mcp-session-id'] = bindings.bind('session', { server, token }, sessionId)
  }
  return headers
}
