// Owns one client session over one channel: the SDK's Streamable HTTP transport on one side, the channel on the other.
// Decides nothing: what comes here was allowed, and its text goes to the server as it was decided on.
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import {
  isJSONRPCErrorResponse,
  isJSONRPCResultResponse,
  type JSONRPCMessage,
} from '@modelcontextprotocol/sdk/types.js'
import { type RefusalCode, RPC } from '../../../schemas/codes.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import type { Credential } from '../credential.ts'
import { metaOf } from '../inbound/era.ts'
import type { RpcId } from '../inbound/parse.ts'
import type { Inbound } from '../inbound/receive.ts'
import { SESSION_ASKED_MAX, SESSION_WAITING_MESSAGES_MAX } from '../limits.ts'
import { TOOLS_CHANGED } from '../passage/notifications.ts'
import type { Passage, Passed } from '../passage/passage.ts'
import type { Log, Monotonic } from '../ports.ts'
import type { Opened } from '../record/record.ts'
import type { ChannelKind } from './channel.ts'
import { KeptChannel } from './kept-channel.ts'
import { faultOf, statusOf } from './stream-answer.ts'
import type { Ended, Sending } from './upstream.ts'

export type SessionOptions = {
  readonly sessionId: string
  /** Whose it is; null never is a client's. */
  readonly grant: string | null
  readonly server: string
  readonly kind: ChannelKind
  readonly credential: Credential | undefined
  /** Something that answers no call held it. */
  readonly onEchoed: () => void
  readonly monotonic: Monotonic
  readonly log: Log
  /** Once, when the session is over and its channel gone, for whatever reason. */
  readonly onClosed: () => void
}

const hand: WebStandardStreamableHTTPServerTransport['onmessage'] = (_parsed, extra) => {
  const handed = extra?.authInfo?.extra as Handed | undefined
  handed?.send()
}

/** What became of one message of the client. */
export type Handled = {
  readonly response: Response
  /** Whether it went to the server; the transport refuses some, and some are to a server that is gone. */
  readonly isSent: boolean
}

type InFlight = {
  readonly id: RpcId
  readonly progressToken: unknown
  readonly isInitialize: boolean
  readonly sending: Sending
}

/** What travels through the SDK's transport beside the message, which it parses anew. */
type Handed = { readonly send: () => void }

const FAILED: Ended = { result: 'failed', status: 0, isError: true, bytes: 0 }
const LOST = {
  child: 'the server ended and was started again; it remembers nothing of this session',
  stream:
    'the stream of the server ended and was opened again; it remembers nothing of this session',
}

/** A session over an open channel, before its `initialize`. Owns the channel: it ends with the session. */
export class ChannelSession {
  readonly grant: string | null
  readonly #options: SessionOptions
  readonly #transport: WebStandardStreamableHTTPServerTransport
  readonly #inFlight = new Map<string, InFlight>()
  /** Ids of what the server asked of the client, on this channel. */
  readonly #asked = new Map<string, RpcId>()
  /** Set before anybody has the session. */
  #channel: KeptChannel | undefined
  #closing: Promise<void> | undefined
  #waiting: JsonObject[] = []
  /** Of the session's last message: for what the server says without being asked. */
  #passage: Passage | undefined
  /** Messages of the server pass in their order: those that wait for one that is being decided. */
  #passing: Promise<void> | undefined
  #hasStream = false

  private constructor(options: SessionOptions) {
    this.grant = options.grant
    this.#options = options
    this.#transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => options.sessionId,
    })
    Object.assign(this.#transport, { onmessage: hand })
  }

  /** Opens the channel. Rejects with GatewayError. */
  static async open(options: SessionOptions): Promise<ChannelSession> {
    const session = new ChannelSession(options)
    const { kind, monotonic, credential, grant: caller } = options
    session.#channel = await KeptChannel.open({
      ...kind,
      monotonic,
      caller,
      credential,
      onMessage: (message, isMasked) => session.#fromServer(message, isMasked),
      onLost: (why) => session.#lose(why),
      onLostForGood: () => void session.close(),
      onReopened: () => session.#tellOfLoss(),
    })
    return session
  }

  /** As of a KeptChannel. */
  async ready(credential: Credential | undefined): Promise<void> {
    await this.#channel?.ready(credential)
  }

  /** Hands one allowed message to the server; the answer is the client's. */
  async handle(opened: Opened, sending: Sending): Promise<Handled> {
    const { inbound, credential } = opened
    const { id, kind, text, method } = inbound
    this.#passage = sending.passage
    this.#channel?.noteGreeting(inbound)
    if (kind !== 'request' || id === undefined) return this.#tell(opened, sending)
    const key = keyOf(id)
    if (this.#inFlight.has(key)) return { response: duplicateId(id), isSent: false }
    const isInitialize = method === 'initialize'
    const entry = { id, isInitialize, progressToken: progressTokenOf(text), sending }
    this.#inFlight.set(key, entry)
    const response = await this.#exchange(inbound, () => {
      if (!this.#hasStream) this.#deliverWaiting()
      this.#channel?.sendWith(credential, text).catch((error: unknown) => {
        if (this.#inFlight.delete(key)) this.#fail(entry, faultOf(error), statusOf(error))
      })
    })
    if (response.status >= 400) this.#inFlight.delete(key)
    return { response, isSent: response.status < 400 }
  }

  /** Whether nothing is under way and nobody listens. */
  isIdle(): boolean {
    return this.#inFlight.size === 0 && !this.#hasStream && this.#channel?.isReopening() !== true
  }

  isOver(): boolean {
    return this.#closing !== undefined
  }

  /** Resolves when the channel is gone. `isUrgent` as of a channel: hastens an end that has begun, too. */
  close(isUrgent = false): Promise<void> {
    if (isUrgent && this.#closing !== undefined) void this.#channel?.close(true)
    this.#closing ??= this.#close(isUrgent)
    return this.#closing
  }

  async #close(isUrgent: boolean): Promise<void> {
    await this.#transport.close()
    await this.#channel?.close(isUrgent)
    this.#failAll()
    this.#options.onClosed()
  }

  /** Calls under way are told, and the client that nobody waits for what it was asked. */
  #lose(why: string): void {
    const { server, log } = this.#options
    log.info({ server, why }, 'a session lost its channel')
    this.#failAll()
    for (const requestId of this.#asked.values()) {
      const params = { requestId, reason: 'the server ended' }
      this.#toClient({ jsonrpc: '2.0', method: 'notifications/cancelled', params })
    }
    this.#asked.clear()
  }

  #tellOfLoss(): void {
    const data = this.#options.kind.isOwn ? LOST.child : LOST.stream
    const params = { level: 'warning', logger: 'cedargate', data }
    this.#toClient({ jsonrpc: '2.0', method: 'notifications/message', params })
    this.#toClient({ jsonrpc: '2.0', method: TOOLS_CHANGED })
  }

  /** What waits for no answer. To a server that is gone nothing is told: the next one knows nothing of it. */
  async #tell({ inbound, credential }: Opened, sending: Sending): Promise<Handled> {
    const isMeant = inbound.kind !== 'response' || this.#asked.delete(keyOf(inbound.id ?? ''))
    let sent: Promise<void> | undefined
    const response = await this.#exchange(inbound, () => {
      if (isMeant && this.#channel?.isOpen() === true)
        sent = this.#channel.sendWith(credential, inbound.text)
    })
    try {
      await sent
    } catch (error) {
      sending.onEnded({ ...FAILED, status: statusOf(error) })
      throw error
    }
    const isSent = sent !== undefined || inbound.text === ''
    return { response, isSent }
  }

  async #exchange(inbound: Inbound, send: () => void): Promise<Response> {
    const { kind, text } = inbound
    const request = requestOf(inbound, this.#options.sessionId)
    const response = await this.#transport.handleRequest(request, {
      ...(text === '' ? {} : { parsedBody: JSON.parse(text) as unknown }),
      authInfo: { token: '', clientId: '', scopes: [], extra: { send } satisfies Handed },
    })
    return kind === 'stream' && response.status === 200 ? this.#stream(response) : response
  }

  #stream(response: Response): Response {
    this.#hasStream = true
    this.#deliverWaiting()
    return whenClosed(response, () => {
      this.#hasStream = false
    })
  }

  #deliverWaiting(): void {
    for (const message of this.#waiting.splice(0)) this.#toClient(message)
  }

  #fromServer(message: JsonObject, isMasked: boolean): void {
    if (this.#passing !== undefined) {
      this.#passing = this.#passing.then(() => this.#take(message, isMasked))
      return
    }
    const taking = this.#take(message, isMasked)
    if (taking === undefined) return
    const passing: Promise<void> = taking.finally(() => {
      if (this.#passing === passing) this.#passing = undefined
    })
    this.#passing = passing
  }

  /** A promise only where something has to be decided first. Never rejects. */
  #take(message: JsonObject, isMasked: boolean): Promise<void> | undefined {
    const { id, method } = message
    if (this.#options.kind.isOwn && method === 'roots/list' && id !== undefined) {
      this.#refuseRoots(message)
      return undefined
    }
    const isAnswer = typeof method !== 'string'
    const key = typeof id === 'string' || typeof id === 'number' ? keyOf(id) : ''
    const entry = isAnswer ? this.#inFlight.get(key) : this.#relatedTo(message)
    if (isAnswer) this.#inFlight.delete(key)
    if (isMasked) (entry?.sending ?? this.#options).onEchoed()
    const passage = entry?.sending.passage ?? this.#passage
    if (passage === undefined || (isAnswer && entry === undefined)) {
      this.#options.log.debug({ server: this.#options.server }, 'an answer to nothing asked')
      return undefined
    }
    const deliver = (passed: Passed) => this.#pass(passed, isAnswer ? entry : undefined)
    const fail = (error: unknown) => {
      this.#options.log.warn({ server: this.#options.server, err: error }, 'a message is unusable')
      if (isAnswer && entry !== undefined) this.#fail(entry, faultOf(error))
    }
    try {
      const passed = passage.pass(message, (text) => this.#answerServer(text))
      if (passed instanceof Promise) return passed.then(deliver, fail)
      deliver(passed)
    } catch (error) {
      fail(error)
    }
    return undefined
  }

  #pass(passed: Passed, answered: InFlight | undefined): void {
    if (passed === null) return
    if (answered === undefined) {
      this.#noteAsked(passed)
      this.#toClient(passed)
      return
    }
    if (!isTaken({ ...passed, id: answered.id })) {
      this.#fail(answered, 'upstream_invalid')
      return
    }
    const isError = answered.sending.passage.answered()?.isError ?? false
    if (answered.isInitialize && !isError) this.#channel?.markGreeted()
    const bytes = Buffer.byteLength(JSON.stringify(passed))
    this.#deliver(passed, answered, { result: 'forwarded', status: 200, isError, bytes })
  }

  /** A server that asks without end loses the answers to what it asked first. */
  #noteAsked({ method, id }: JsonObject): void {
    if (method === undefined || (typeof id !== 'string' && typeof id !== 'number')) return
    const [oldest] = this.#asked.keys()
    if (this.#asked.size >= SESSION_ASKED_MAX && oldest !== undefined) this.#asked.delete(oldest)
    this.#asked.set(keyOf(id), id)
  }

  /** A client must not choose what a process of the gateway's may touch. */
  #refuseRoots({ id }: JsonObject): void {
    const message = 'roots are not offered through this gateway'
    const error = { code: RPC.methodNotFound, message }
    this.#answerServer(JSON.stringify({ jsonrpc: '2.0', id: id ?? null, error }))
  }

  /** Nobody waits for it: a server that cannot be told goes on waiting. */
  #answerServer(text: string): void {
    this.#channel?.send(text).catch((error: unknown) => {
      this.#options.log.warn({ server: this.#options.server, err: error }, 'not told')
    })
  }

  #failAll(): void {
    for (const entry of this.#inFlight.values()) this.#fail(entry, 'upstream_unavailable')
    this.#inFlight.clear()
  }

  #fail(entry: InFlight, code: RefusalCode, status = 0): void {
    const message = entry.sending.passage.refuse(code)
    if (message !== undefined) this.#deliver(message, entry, { ...FAILED, status })
  }

  #deliver(message: JsonObject, { id, sending }: InFlight, ended: Ended): void {
    // Its own id: the transport knows the request by it.
    this.#transport.send({ ...message, id } as unknown as JSONRPCMessage).then(
      () => sending.onEnded(ended),
      () => sending.onEnded({ ...ended, result: 'unknown' }), // The client is gone; the server finished.
    )
  }

  /**
   * Onto the request it belongs to, the open stream, or whatever is under way; else it waits for one
   * of these.
   */
  #toClient(message: JsonObject): void {
    const related = this.#relatedTo(message)
    if (related === undefined && !this.#hasStream) {
      this.#waiting = [...this.#waiting, message].slice(-SESSION_WAITING_MESSAGES_MAX)
      return
    }
    const options = related === undefined ? {} : { relatedRequestId: related.id }
    this.#transport
      .send(message as unknown as JSONRPCMessage, options)
      .catch((error: unknown) => this.#options.log.debug({ err: error }, 'found no stream'))
  }

  #relatedTo({ method, params }: JsonObject): InFlight | undefined {
    const entries = [...this.#inFlight.values()]
    if (method !== 'notifications/progress') return this.#hasStream ? undefined : entries.at(-1)
    const token = (params as JsonObject | undefined)?.['progressToken']
    return entries.find(({ progressToken }) => progressToken === token)
  }
}

function requestOf(inbound: Inbound, sessionId: string): Request {
  const version = inbound.headers['mcp-protocol-version']
  const headers = {
    accept: 'application/json, text/event-stream',
    'content-type': 'application/json',
    'mcp-session-id': sessionId,
    ...(version === undefined ? {} : { 'mcp-protocol-version': version }),
  }
  const method = inbound.kind === 'stream' ? 'GET' : inbound.kind === 'end' ? 'DELETE' : 'POST'
  return new Request('http://session.invalid/mcp', { method, headers })
}

function duplicateId(id: RpcId): Response {
  const error = { code: RPC.invalidRequest, message: 'a request with this id is under way' }
  return Response.json({ jsonrpc: '2.0', id, error }, { status: 400 })
}

/** What the transport does not take for an answer would be lost, and its client wait for ever. */
function isTaken(answer: JsonObject): boolean {
  return isJSONRPCResultResponse(answer) || isJSONRPCErrorResponse(answer)
}

/** Calls back once when the body ends or is cancelled. */
function whenClosed(response: Response, onClosed: () => void): Response {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  void response.body?.pipeTo(writable).then(onClosed, onClosed)
  return new Response(readable, { status: response.status, headers: response.headers })
}

/** 1 and "1" are two ids. */
function keyOf(id: RpcId): string {
  return `${typeof id}:${id}`
}

function progressTokenOf(text: string): unknown {
  if (!text.includes('"progressToken"')) return undefined
  const { params } = JSON.parse(text) as { params?: JsonObject }
  return metaOf(params)?.['progressToken']
}
