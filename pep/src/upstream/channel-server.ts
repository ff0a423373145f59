// Owns a server that is a channel of messages: one channel per client session, bounded in number and idle time, all of them
// ended with the PEP. Legacy era only: a modern request gets the empty 400 that makes its client fall back to
// `initialize`.
import type { Answer } from '../answer.ts'
import type { Credential } from '../credential.ts'
import { GatewayError } from '../gateway-error.ts'
import { SESSION_IDLE_MS_MAX, SESSIONS_MAX, SESSIONS_PER_GRANT_MAX } from '../limits.ts'
import type { Log, Monotonic, Uuid } from '../ports.ts'
import type { Opened, RecordedCall } from '../record/record.ts'
import type { ChannelKind } from './channel.ts'
import { ChannelSession } from './channel-session.ts'
import { connectChannel } from './connect-channel.ts'
import { type AnswerPorts, answerOfSession } from './session-answer.ts'
import { statusOf } from './stream-answer.ts'
import type { Connection, Sending, UpstreamServer } from './upstream.ts'

export type ChannelServerPorts = AnswerPorts & {
  readonly monotonic: Monotonic
  readonly uuid: Uuid
  /** Names this PEP among those of its fleet: a session that is open here is open nowhere else. */
  readonly instance: string
  readonly log: Log
  /** What this server said of itself, or to the gateway, held a credential that it was sent. */
  readonly onEchoed: (server: string) => void
}

type Held = { readonly session: ChannelSession; usedAt: number }

const IDLE_CHECK_MS = 60_000
const NOTHING_SENT = { result: 'refused', status: 0, isError: true, bytes: 0 } as const

export class ChannelServer implements UpstreamServer {
  readonly id: string
  readonly #kind: ChannelKind
  readonly #ports: ChannelServerPorts
  readonly #open = new Map<string, Held>()
  readonly #timer: NodeJS.Timeout
  /** Whose sessions are starting. */
  readonly #starting: (string | null)[] = []
  #isStopped = false

  constructor(id: string, kind: ChannelKind, ports: ChannelServerPorts) {
    this.id = id
    this.#kind = kind
    this.#ports = ports
    this.#timer = setInterval(() => this.#endIdle(), IDLE_CHECK_MS)
    this.#timer.unref()
  }

  readonly forward = async (call: RecordedCall, sending: Sending): Promise<Answer> => {
    if (call.of.era === 'modern') {
      sending.onEnded(NOTHING_SENT)
      return { status: 400, headers: {}, body: null }
    }
    try {
      return await this.#handle(call, sending)
    } catch (error) {
      const status = statusOf(error)
      if (status !== 0) sending.onEnded({ result: 'failed', status, isError: true, bytes: 0 })
      throw error
    }
  }

  readonly connect = async (call: RecordedCall): Promise<Connection> => {
    const { monotonic, onEchoed } = this.#ports
    return connectChannel(this.#kind.open, call.open(monotonic()), () => onEchoed(this.id))
  }

  readonly end = (grant: string): void => {
    for (const { session } of this.#open.values())
      if (session.grant === grant) void session.close(true)
  }

  readonly stop = async (): Promise<void> => {
    this.#isStopped = true
    clearInterval(this.#timer)
    await Promise.all([...this.#open.values()].map(({ session }) => session.close()))
    await this.#kind.stop()
  }

  async #handle(call: RecordedCall, sending: Sending): Promise<Answer> {
    const { monotonic } = this.#ports
    const first = call.open(monotonic())
    const { session } = await this.#hold(first)
    try {
      // What waits for no answer is for the child that there is.
      if (call.of.kind === 'request') await session.ready(first.credential)
      // What was allowed may have grown too old meanwhile.
      const opened = call.open(monotonic())
      const { inbound } = opened
      const handled = await session.handle(opened, sending)
      const isRefused = inbound.method === 'initialize' && handled.response.status >= 400
      if (inbound.kind === 'end' || isRefused) await session.close()
      return await answerOfSession(handled, { inbound, call, sending }, this.#ports)
    } catch (error) {
      // Its grant may be gone.
      if (call.of.method === 'initialize') await session.close(true)
      throw error
    }
  }

  /** The session a message belongs to; `initialize` makes one. */
  async #hold({ inbound, credential }: Opened): Promise<Held> {
    const { method, session: sessionId, grant } = inbound
    if (method === 'initialize') return this.#start(grant, credential)
    if (sessionId?.startsWith(this.#prefix()) === false)
      throw new GatewayError('unknown_session', 'another PEP holds the session, or did')
    const held = sessionId === undefined ? undefined : this.#open.get(sessionId)
    if (held === undefined || held.session.grant !== grant || held.session.isOver())
      throw new GatewayError('unknown_session', 'the session is over, or never was')
    held.usedAt = this.#ports.monotonic()
    return held
  }

  #prefix(): string {
    return `${this.#ports.instance}.`
  }

  async #start(grant: string | null, credential: Credential | undefined): Promise<Held> {
    this.#starting.push(grant)
    try {
      await this.#makeRoom(grant)
      const { log, monotonic, uuid, onEchoed } = this.#ports
      const sessionId = `${this.#prefix()}${uuid()}`
      const session = await ChannelSession.open({
        sessionId,
        grant,
        server: this.id,
        kind: this.#kind,
        credential,
        monotonic,
        onEchoed: () => onEchoed(this.id),
        log,
        onClosed: () => void this.#open.delete(sessionId),
      })
      const held = { session, usedAt: monotonic() }
      this.#open.set(sessionId, held)
      if (!this.#isStopped) return held
      await session.close()
      throw new GatewayError('upstream_unavailable', 'the PEP stops')
    } finally {
      this.#starting.splice(this.#starting.indexOf(grant), 1)
    }
  }

  /**
   * Nobody's sessions shut others out: a grant that has its share gives up its oldest idle one, or gets no more. Room
   * is there when that one's channel is gone.
   */
  async #makeRoom(grant: string | null): Promise<void> {
    const own = [...this.#open.values()].filter(({ session }) => session.grant === grant)
    const starting = this.#starting.filter((of) => of === grant).length
    if (own.length + starting > SESSIONS_PER_GRANT_MAX) {
      const idle = own.filter(({ session }) => session.isIdle() && !session.isOver())
      const [oldest] = idle.toSorted((a, b) => a.usedAt - b.usedAt)
      if (oldest === undefined) {
        const message = `${SESSIONS_PER_GRANT_MAX} sessions of ${this.id} are busy for this grant`
        throw new GatewayError('too_many_requests', message)
      }
      await oldest.session.close()
    }
    if (this.#open.size + this.#starting.length > SESSIONS_MAX)
      throw new GatewayError('too_many_requests', `${SESSIONS_MAX} sessions of ${this.id} are open`)
  }

  #endIdle(): void {
    for (const { session, usedAt } of this.#open.values()) {
      const idleMs = this.#ports.monotonic() - usedAt
      if (session.isIdle() && idleMs > SESSION_IDLE_MS_MAX) void session.close()
    }
  }
}
