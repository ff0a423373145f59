// Owns one client session with one child: the SDK's Streamable HTTP transport on one side, lines on
// the other. Decides nothing: what comes here was allowed, and its text goes to the child as it was
// decided on.
import type { ChildProcess } from 'node:child_process'
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js'
import { type RefusalCode, RPC } from '../../../schemas/codes.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { metaOf } from '../inbound/era.ts'
import type { RpcId } from '../inbound/parse.ts'
import type { Inbound } from '../inbound/receive.ts'
import { CHILD_WAITING_MESSAGES_MAX } from '../limits.ts'
import type { Passage, Passed } from '../passage/passage.ts'
import type { Log } from '../ports.ts'
import { exitOf, stopChild } from './child.ts'
import { type Lines, speakLines } from './lines.ts'
import { faultOf } from './stream-answer.ts'
import type { Ended, Sending } from './upstream.ts'

export type SessionOptions = {
  readonly sessionId: string
  /** Whose it is; null never is a client's. */
  readonly token: string | null
  readonly server: string
  readonly log: Log
  /** Once, when the child is gone, for whatever reason. */
  readonly onClosed: () => void
}

type InFlight = {
  readonly id: RpcId
  readonly progressToken: unknown
  readonly sending: Sending
}

/**
 * What travels through the SDK's transport beside the message, which it parses anew: the text that
 * was decided on.
 */
type Handed = { readonly text: string }

/** A session over a running child, before its `initialize`. Owns the child: they end together. */
export class StdioSession {
  readonly token: string | null
  readonly #child: ChildProcess
  readonly #options: SessionOptions
  readonly #transport: WebStandardStreamableHTTPServerTransport
  readonly #lines: Lines
  readonly #inFlight = new Map<string, InFlight>()
  #waiting: JsonObject[] = []
  /** Of the session's last message: for what the child says without being asked. */
  #passage: Passage | undefined
  /** Messages of the child pass in their order: those that wait for one that is being decided. */
  #passing: Promise<void> | undefined
  #hasStream = false

  constructor(child: ChildProcess, options: SessionOptions) {
    const { sessionId, token, server, log, onClosed } = options
    this.token = token
    this.#child = child
    this.#options = options
    this.#transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => sessionId,
    })
    const onmessage: WebStandardStreamableHTTPServerTransport['onmessage'] = (_parsed, extra) => {
      const handed = extra?.authInfo?.extra as Handed | undefined
      if (handed !== undefined) this.#lines.send(handed.text)
    }
    Object.assign(this.#transport, { onmessage })
    this.#lines = speakLines(child, {
      onMessage: (message) => this.#fromChild(message),
      onNoise: (line) => log.debug({ server, line: line.slice(0, 1_024) }, 'not a message'),
      onOverflow: () => {
        log.warn({ server }, 'a message of the server is too long; ending it')
        void stopChild(child)
      },
    })
    void exitOf(child).then(async () => {
      for (const entry of this.#inFlight.values()) this.#fail(entry, 'upstream_unavailable')
      this.#inFlight.clear()
      await this.#transport.close()
      onClosed()
    })
  }

  /** Hands one allowed message to the child; the answer is the client's. */
  async handle(inbound: Inbound, sending: Sending): Promise<Response> {
    const { id, kind, text } = inbound
    this.#passage = sending.passage
    if (kind !== 'request' || id === undefined) return this.#exchange(inbound)
    const key = keyOf(id)
    if (this.#inFlight.has(key)) return duplicateId(id)
    this.#inFlight.set(key, { id, progressToken: progressTokenOf(text), sending })
    const response = await this.#exchange(inbound)
    if (response.status >= 400) this.#inFlight.delete(key)
    return response
  }

  /** Whether nothing is under way and nobody listens. */
  isIdle(): boolean {
    return this.#inFlight.size === 0 && !this.#hasStream
  }

  async close(): Promise<void> {
    await this.#transport.close()
    await stopChild(this.#child)
  }

  async #exchange(inbound: Inbound): Promise<Response> {
    const { kind, text } = inbound
    const request = requestOf(inbound, this.#options.sessionId)
    const response = await this.#transport.handleRequest(request, {
      ...(text === '' ? {} : { parsedBody: JSON.parse(text) as unknown }),
      authInfo: { token: '', clientId: '', scopes: [], extra: { text } satisfies Handed },
    })
    return kind === 'stream' && response.status === 200 ? this.#stream(response) : response
  }

  #stream(response: Response): Response {
    this.#hasStream = true
    for (const message of this.#waiting.splice(0)) this.#toClient(message)
    return whenClosed(response, () => {
      this.#hasStream = false
    })
  }

  #fromChild(message: JsonObject): void {
    if (this.#passing !== undefined) {
      this.#passing = this.#passing.then(() => this.#take(message))
      return
    }
    const taking = this.#take(message)
    if (taking === undefined) return
    const passing: Promise<void> = taking.finally(() => {
      if (this.#passing === passing) this.#passing = undefined
    })
    this.#passing = passing
  }

  /** A promise only where something has to be decided first. Never rejects. */
  #take(message: JsonObject): Promise<void> | undefined {
    const { id, method } = message
    if (method === 'roots/list' && id !== undefined) {
      this.#refuseRoots(message)
      return undefined
    }
    const isAnswer = typeof method !== 'string'
    const key = typeof id === 'string' || typeof id === 'number' ? keyOf(id) : ''
    const entry = isAnswer ? this.#inFlight.get(key) : this.#relatedTo(message)
    if (isAnswer) this.#inFlight.delete(key)
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
      const passed = passage.pass(message, (text) => this.#lines.send(text))
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
      this.#toClient(passed)
      return
    }
    const isError = answered.sending.passage.answered()?.isError ?? false
    const bytes = Buffer.byteLength(JSON.stringify(passed))
    this.#deliver(passed, answered, { result: 'forwarded', status: 200, isError, bytes })
  }

  /** A client must not choose what a process of the gateway's may touch. */
  #refuseRoots({ id }: JsonObject): void {
    const message = 'roots are not offered through this gateway'
    const error = { code: RPC.methodNotFound, message }
    this.#lines.send(JSON.stringify({ jsonrpc: '2.0', id: id ?? null, error }))
  }

  #fail(entry: InFlight, code: RefusalCode): void {
    const message = entry.sending.passage.refuse(code)
    const ended: Ended = { result: 'failed', status: 0, isError: true, bytes: 0 }
    if (message !== undefined) this.#deliver(message, entry, ended)
  }

  #deliver(message: JsonObject, { id, sending }: InFlight, ended: Ended): void {
    // Its own id: the transport knows the request by it.
    this.#transport.send({ ...message, id } as unknown as JSONRPCMessage).then(
      () => sending.onEnded(ended),
      () => sending.onEnded({ ...ended, result: 'unknown' }), // The client is gone; the server finished.
    )
  }

  /**
   * Onto the request it belongs to, the open stream, or whatever is under way; else it waits for a
   * stream.
   */
  #toClient(message: JsonObject): void {
    const related = this.#relatedTo(message)
    if (related === undefined && !this.#hasStream) {
      this.#waiting = [...this.#waiting, message].slice(-CHILD_WAITING_MESSAGES_MAX)
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
  return new Request('http://stdio.invalid/mcp', { method, headers })
}

function duplicateId(id: RpcId): Response {
  const error = { code: RPC.invalidRequest, message: 'a request with this id is under way' }
  return Response.json({ jsonrpc: '2.0', id, error }, { status: 400 })
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
