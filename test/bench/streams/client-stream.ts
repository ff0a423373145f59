// Owns one open stream as a client has it: when events arrived, when it was told of its tools, when it ended. And one
// session with a child, whose calls are made over it.
import { Agent, request as ask, type Dispatcher } from 'undici'
import { createSseReader } from '../../../pep/src/sse.ts'
import type { Target } from './orders.ts'
import type { StreamKind } from './plan.ts'
import { callOf, cancelOf, initializeOf, LEGACY, listenOf, MODERN, nowMs, sentAt } from './words.ts'

const agent = new Agent({ bodyTimeout: 0, headersTimeout: 30_000 })
const EVENT_BYTES_MAX = 64 * 1024
const TOOLS_CHANGED = 'notifications/tools/list_changed'

export type OpenStream = {
  readonly grant: number
  /** Whether it is of a kind that is told of changed tools. */
  readonly mayBeTold: boolean
  /** These three since `reset`. */
  readonly longestGapMs: (untilMs: number) => number
  readonly delaysMs: () => readonly number[]
  readonly toldAt: () => number | undefined
  readonly reset: (nowMs: number) => void
  /** Milliseconds since 1970; undefined while it is open. */
  readonly endedAt: () => number | undefined
  /** A call is cancelled, anything else closed. */
  readonly close: () => void
}

let lastId = 0

export async function exchange(
  { url, headers }: Target,
  body: string,
  own: Readonly<Record<string, string>> = {},
): Promise<{ readonly text: string; readonly session: string | undefined }> {
  const answer = await post(url, { 'mcp-protocol-version': LEGACY, ...headers, ...own }, body)
  const text = await answer.body.text()
  if (answer.statusCode >= 300) throw new Error(`status ${answer.statusCode}: ${text}`)
  const session = answer.headers['mcp-session-id']
  return { text, session: typeof session === 'string' ? session : undefined }
}

/** One `tools/call`, answered whole. Throws on any answer but a result that is no error. */
export async function call(
  target: Target,
  tool: string,
  own: Readonly<Record<string, string>> = {},
): Promise<string> {
  lastId += 1
  const { text } = await exchange(target, callOf(lastId, tool), own)
  const isGood = text.includes('"result"') && !text.includes('"isError":true')
  if (!isGood) throw new Error(`no good answer: ${text.slice(0, 300)}`)
  return text
}

/** A legacy session, initialised; the headers that name it. */
export async function openSession(target: Target): Promise<Record<string, string>> {
  lastId += 1
  const { text, session } = await exchange(target, initializeOf(lastId))
  if (session === undefined) throw new Error(`no session: ${text.slice(0, 300)}`)
  const named = { 'mcp-session-id': session }
  await exchange(target, '{"jsonrpc":"2.0","method":"notifications/initialized"}', named)
  return named
}

export async function openStream(of: StreamKind, target: Target): Promise<OpenStream> {
  if (of === 'get') return openGet(target, await openSession(target))
  const { url, headers } = target
  lastId += 1
  const id = lastId
  const ending = new AbortController()
  const [version, method, body] =
    of === 'listen'
      ? [MODERN, 'subscriptions/listen', listenOf(id)]
      : [LEGACY, 'tools/call', callOf(id, 'follow')]
  const own = { ...headers, 'mcp-protocol-version': version, 'mcp-method': method }
  const answer = await post(url, own, body, ending)
  const opened = await read(answer, target, ending, of !== 'post')
  if (of !== 'post') return opened
  const cancel = cancelOf(id)
  return { ...opened, close: () => void exchange(target, cancel).catch(() => ending.abort()) }
}

export async function openGet(
  target: Target,
  session: Readonly<Record<string, string>>,
): Promise<OpenStream> {
  const ending = new AbortController()
  const { signal } = ending
  const accept = { accept: 'text/event-stream', 'mcp-protocol-version': LEGACY }
  const headers = { ...target.headers, ...session, ...accept }
  const answer = await ask(target.url, { method: 'GET', headers, signal, dispatcher: agent })
  return read(answer, target, ending, true)
}

function post(
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string,
  ending?: AbortController,
): Promise<Dispatcher.ResponseData> {
  const both = 'application/json, text/event-stream'
  return ask(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: both, ...headers },
    body,
    dispatcher: agent,
    ...(ending === undefined ? {} : { signal: ending.signal }),
  })
}

async function read(
  answer: Dispatcher.ResponseData,
  { grant }: Target,
  ending: AbortController,
  mayBeTold: boolean,
): Promise<OpenStream> {
  const type = String(answer.headers['content-type'])
  if (answer.statusCode !== 200 || !type.startsWith('text/event-stream'))
    throw new Error(`no stream, ${answer.statusCode}: ${await answer.body.text()}`)
  const reader = createSseReader(EVENT_BYTES_MAX)
  let [last, longest] = [nowMs(), 0]
  let delays: number[] = []
  let toldAt: number | undefined
  let endedAt: number | undefined
  answer.body.on('data', (chunk: Buffer) => {
    for (const { data } of reader.push(chunk)) {
      if (data === undefined) continue
      const now = nowMs()
      if (data.includes(TOOLS_CHANGED)) toldAt ??= now
      const sent = sentAt(data)
      if (sent === undefined) continue
      delays.push(now - sent)
      longest = Math.max(longest, now - last)
      last = now
    }
  })
  answer.body.on('error', () => undefined)
  answer.body.once('close', () => {
    endedAt = nowMs()
  })
  return {
    grant,
    mayBeTold,
    longestGapMs: (untilMs) => Math.max(longest, untilMs - last),
    delaysMs: () => delays,
    reset(now) {
      ;[last, longest, delays, toldAt] = [now, 0, [], undefined]
    },
    toldAt: () => toldAt,
    endedAt: () => endedAt,
    close: () => ending.abort(),
  }
}
