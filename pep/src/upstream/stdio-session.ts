// Owns one client session with one child: the SDK's Streamable HTTP transport on one side, lines on
// the other. Decides nothing: what comes here was allowed, and its text goes to the child as it was
// decided on.
import type { ChildProcess } from 'node:child_process'
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import {
  isJSONRPCErrorResponse,
  isJSONRPCResultResponse,
  type JSONRPCMessage,
} from '@modelcontextprotocol/sdk/types.js'
import { RPC } from '../../../schemas/codes.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { metaOf } from '../inbound/era.ts'
import type { RpcId } from '../inbound/parse.ts'
import type { Inbound } from '../inbound/receive.ts'
import { CHILD_WAITING_MESSAGES_MAX } from '../limits.ts'
import { filterMessage, type ListFilter } from '../list.ts'
import type { Log } from '../ports.ts'
import { exitOf, stopChild } from './child.ts'
import { isErrorMessage, TOOLS_CHANGED } from './inspect.ts'
import { type Lines, speakLines } from './lines.ts'
import type { Ended, Sending } from './upstream.ts'

export type SessionOptions = {
  readonly sessionId: string
  /** Whose it is; null never is a client's. */
  readonly token: string | null
  readonly server: string
  readonly log: Log
  /** Once, when the child is gone, for whatever reason. */
  readonly onClosed: () => void
  readonly onToolsChanged: () => void
}

type InFlight = {
  readonly id: RpcId
  readonly progressToken: unknown
  readonly filter: ListFilter | undefined
  readonly onEnded: Sending['onEnded']
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
      for (const entry of this.#inFlight.values()) this.#fail(entry, 'the server ended')
      this.#inFlight.clear()
      await this.#transport.close()
      onClosed()
    })
  }

  /** Hands one allowed message to the child; the answer is the client's. */
  async handle(
    inbound: Inbound,
    filter: ListFilter | undefined,
    sending: Sending,
  ): Promise<Response> {
    const { id, kind, text } = inbound
    if (kind !== 'request' || id === undefined) return this.#exchange(inbound)
    const key = keyOf(id)
    if (this.#inFlight.has(key)) return duplicateId(id)
    const progressToken = progressTokenOf(text)
    this.#inFlight.set(key, { id, progressToken, filter, onEnded: sending.onEnded })
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
    const { id, method } = message
    if (typeof method === 'string') {
      if (method === TOOLS_CHANGED) this.#options.onToolsChanged()
      if (id !== undefined && method === 'roots/list') this.#refuseRoots(message)
      else this.#toClient(message)
      return
    }
    const key = typeof id === 'string' || typeof id === 'number' ? keyOf(id) : ''
    const entry = this.#inFlight.get(key)
    if (entry === undefined) {
      this.#options.log.debug({ server: this.#options.server }, 'an answer to nothing asked')
      return
    }
    this.#inFlight.delete(key)
    this.#answer(entry, message)
  }

  /** A client must not choose what a process of the gateway's may touch. */
  #refuseRoots({ id }: JsonObject): void {
    const error = { code: -32601, message: 'roots are not offered through this gateway' }
    this.#lines.send(JSON.stringify({ jsonrpc: '2.0', id: id ?? null, error }))
  }

  #answer(entry: InFlight, message: JsonObject): void {
    try {
      const shown: unknown =
        entry.filter === undefined ? message : filterMessage(message, entry.filter)
      if (!isJSONRPCResultResponse(shown) && !isJSONRPCErrorResponse(shown)) {
        throw new TypeError('it is no JSON-RPC response')
      }
      const [isError, bytes] = [isErrorMessage(shown), JSON.stringify(shown).length]
      this.#deliver(shown, entry, { result: 'forwarded', status: 200, isError, bytes })
    } catch (error) {
      const { log, server } = this.#options
      log.info({ server, err: error }, 'an answer of the server could not be used')
      this.#fail(entry, 'the answer of the server could not be used')
    }
  }

  #fail(entry: InFlight, message: string): void {
    const error = { code: RPC.unavailable, message, data: { code: 'upstream_invalid' } }
    const ended: Ended = { result: 'failed', status: 0, isError: true, bytes: 0 }
    this.#deliver({ jsonrpc: '2.0', id: entry.id, error }, entry, ended)
  }

  #deliver(message: JSONRPCMessage, { onEnded }: InFlight, ended: Ended): void {
    this.#transport.send(message).then(
      () => onEnded(ended),
      () => onEnded({ ...ended, result: 'unknown' }), // The client is gone; the server finished.
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
