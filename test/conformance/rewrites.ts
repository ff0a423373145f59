// Owns the one table of what the gateway changes on purpose. What is not in it must come through as it was.

import { LIST_TTL_MS_MAX } from '../../pep/src/limits.ts'
import { RPC } from '../../schemas/codes.ts'
import { META } from '../../schemas/mcp.ts'
import { dataOf, type Exchange, eventsOf, type Headers, isEventStream } from './exchange.ts'

/** One exchange of the direct run on its way to what is expected through the gateway. */
export type Expected = {
  readonly client: Exchange
  /** Undefined: it must not reach the server. */
  readonly upstream: Exchange | undefined
}

export type Rewrite = {
  readonly name: string
  readonly why: string
  /** What the direct exchange becomes. `through` is what the client saw in its place. */
  readonly expect?: (expected: Expected, through: Exchange) => Expected
  /** Of what the client saw through the gateway: what nobody can predict, made the same every time. */
  readonly settle?: (through: Exchange) => Exchange
}

type Rpc = {
  readonly id?: unknown
  readonly method?: string
  readonly result?: { readonly [key: string]: unknown }
  readonly error?: { readonly code: number; readonly data?: { readonly [key: string]: unknown } }
}

const WORDS = '<words of the gateway>'

/**
 * Requests that the gateway may refuse itself, in the form that the server would: the status, and the code where the
 * revision gives one. The server must not see them then.
 */
const REFUSALS: readonly {
  readonly why: string
  readonly status: number
  readonly code?: number
}[] = [
  { why: 'Host or Origin from elsewhere', status: 403 },
  { why: 'headers that differ from the body', status: 400, code: -32_020 },
  { why: 'a task of nobody, of a client that declares none', status: 400, code: -32_021 },
  { why: 'a revision that nobody here speaks', status: 400, code: -32_022 },
  { why: 'no envelope in a modern request', status: 400, code: -32_602 },
  { why: 'a method that the revision does not have', status: 404, code: -32_601 },
  {
    why: 'a tool or a task that there is not, or a state that was tampered with',
    status: 200,
    code: -32_602,
  },
  { why: 'a state that was tampered with', status: 400, code: -32_602 },
]

export const REWRITES: readonly Rewrite[] = [
  {
    name: 'headers of the request',
    why: 'an allow-list: what a client sends besides the protocol is not the business of a server',
    expect: ({ client, upstream }) => ({
      client,
      upstream: upstream && {
        ...upstream,
        request: { ...upstream.request, headers: only(upstream.request.headers, isOfProtocol) },
      },
    }),
  },
  {
    name: 'decision',
    why: 'whoever got an answer can ask how it came to be',
    expect: (expected, through) =>
      isOwn(through) && through.response?.headers['cedargate-decision'] === undefined
        ? expected
        : onAnswer(expected, (response) => ({
            ...response,
            headers: { ...response.headers, 'cedargate-decision': '<decision>' },
          })),
    settle: (through) =>
      onResponse(through, (response) => ({
        ...response,
        headers: Object.fromEntries(
          Object.entries(response.headers).map(([name, value]) => [
            name,
            name === 'cedargate-decision' ? value.replace(/^<decision \d+>$/, '<decision>') : value,
          ]),
        ),
      })),
  },
  {
    name: 'caching',
    why: 'what one person may see must not be cached for another, nor for longer than it takes to change it',
    expect: (expected) => {
      const method = methodOf(expected.client)
      if (!CACHED.has(method)) return expected
      const ttlMsMax = FILTERED.has(method) ? LIST_TTL_MS_MAX : Number.POSITIVE_INFINITY
      return onAnswer(expected, (response) =>
        onMessages(response, (message) => privately(message, ttlMsMax)),
      )
    },
  },
  {
    name: 'tools as reviewed',
    why: 'tools are listed as they were reviewed: the same definitions in the same order, their keys in another',
    expect: (expected) =>
      methodOf(expected.client) === 'tools/list'
        ? onAnswer(expected, (response) => onMessages(response, sorted))
        : expected,
    settle: (through) =>
      methodOf(through) === 'tools/list'
        ? onResponse(through, (response) => onMessages(response, sorted))
        : through,
  },
  {
    name: 'refused by the gateway',
    why: 'what the server would have to refuse does not reach it; the form is the same, the words are the gateway’s',
    expect: (expected, through) => {
      const { response } = expected.client
      if (response === undefined || !isOwn(through)) return expected
      const { error, ...rest } = messageOf(response.body)
      const known = REFUSALS.find(({ status, code }) => {
        return status === response.status && (code === undefined || code === error?.code)
      })
      if (known === undefined || error === undefined) return expected
      const said = { ...rest, error: ownError(known.code) }
      const decided = through.response?.headers['cedargate-decision'] !== undefined
      const headers = {
        'content-type': 'application/json',
        'cache-control': 'no-store',
        ...(decided ? { 'cedargate-decision': '<decision>' } : {}),
      }
      const body = JSON.stringify(sorted(withoutEmptyId(said)))
      const client = { ...expected.client, response: { ...response, headers, body } }
      return { client, upstream: undefined }
    },
    settle: (through) => {
      if (!isOwn(through)) return through
      return onResponse(through, (response) => {
        const { error, ...rest } = messageOf(response.body)
        if (error === undefined) return response
        const code = REFUSALS.find(({ status }) => status === response.status)?.code
        const said = { ...rest, error: ownError(code === undefined ? undefined : error.code) }
        return { ...response, body: JSON.stringify(sorted(withoutEmptyId(said))) }
      })
    },
  },
]

/** Methods whose answers the gateway filters. */
const FILTERED: ReadonlySet<string> = new Set([
  'tools/list', 'prompts/list', 'resources/list', 'resources/templates/list', 'server/discover',
]) // biome-ignore format: a list
/** Methods whose answers say how long they may be kept, and for whom. */
const CACHED: ReadonlySet<string> = new Set([...FILTERED, 'resources/read'])

function isOfProtocol(name: string): boolean {
  return /^(content-type|accept|last-event-id|traceparent|tracestate|mcp-.+)$/.test(name)
}

function methodOf({ request }: Exchange): string {
  return messageOf(request.body).method ?? ''
}

/** Whether the gateway wrote that answer itself: it signs with what its log or its records know it by. */
function isOwn({ response }: Exchange): boolean {
  if (response === undefined) return false
  const { error, result } = messageOf(response.body)
  const meta = result?.['_meta'] as { readonly [key: string]: unknown } | undefined
  const data = error?.data
  if (error?.code === RPC.denied || meta?.[META.decision] !== undefined) return true
  return data !== undefined && ('requestId' in data || 'decisionId' in data)
}

function ownError(code: number | undefined): object {
  return { message: WORDS, ...(code === undefined ? {} : { code }) }
}

/** Where no request was read, some answer `id: null` and some none: neither is anybody's. */
function withoutEmptyId(message: { readonly id?: unknown }): object {
  const { id, ...rest } = message
  return id === null || id === undefined ? rest : message
}

function privately(message: Rpc, ttlMsMax: number): Rpc {
  const { result } = message
  if (result === undefined || !('cacheScope' in result)) return message
  const ttlMs = Math.min(Number(result['ttlMs']), ttlMsMax)
  return { ...message, result: { ...result, ttlMs, cacheScope: 'private' } }
}

/** Keys in one order, at every depth; arrays stay. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, own]) => [key, sorted(own)]))
}

type Response = NonNullable<Exchange['response']>

function onAnswer({ client, upstream }: Expected, change: (response: Response) => Response) {
  return { client: onResponse(client, change), upstream }
}

function onResponse(exchange: Exchange, change: (response: Response) => Response): Exchange {
  const { response } = exchange
  return response === undefined ? exchange : { ...exchange, response: change(response) }
}

/** Every message of an answer; in an event only its data changes. */
function onMessages(response: Response, change: (message: Rpc) => unknown): Response {
  const { body, headers } = response
  if (!isEventStream(headers))
    return body === '' ? response : { ...response, body: JSON.stringify(change(messageOf(body))) }
  const events = eventsOf(body).map((event) => {
    const data = dataOf(event)
    return data === undefined
      ? event
      : event.replace(data, () => JSON.stringify(change(messageOf(data))))
  })
  return { ...response, body: events.map((event) => `${event}\n\n`).join('') }
}

function messageOf(text: string): Rpc {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}

function only(headers: Headers, isKept: (name: string) => boolean): Headers {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => isKept(name)))
}
