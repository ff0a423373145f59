// The ends of an event stream that does not end by itself, at the edge of each limit, on a clock that the test turns.
import { PassThrough } from 'node:stream'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Verdict } from '../../../schemas/pep-api.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import type { Streamed } from '../answer.ts'
import { GatewayError } from '../gateway-error.ts'
import { createBindings } from '../inbound/bindings.ts'
import type { Inbound } from '../inbound/receive.ts'
import { ANSWER_CLOSE_MS, ANSWER_STREAM_BYTES_MAX, ANSWER_STREAM_MS_MAX } from '../limits.ts'
import { answerMask } from '../mask/answer-mask.ts'
import { createPassage } from '../passage/passage.ts'
import { createStreams } from '../streams.ts'
import { faultOf, streamAnswer } from './stream-answer.ts'
import type { Ended } from './upstream.ts'

const CALL: Inbound = {
  requestId: 'r-1', server: 'demo', from: 'client', grant: 'alice', token: null, jwt: null, expiresAt: null, era: 'modern', method: 'tools/call',
  kind: 'request', id: 1, tool: 'pay', params: { name: 'pay' }, text: '{}', session: undefined,
  headers: {}, client: null, sourceIp: null,
} // biome-ignore format: a request
const LISTEN: Inbound = { ...CALL, method: 'subscriptions/listen', tool: undefined }
const VERDICT = { decision: 'allow', visible: null } as unknown as Verdict
const COMMENT = Buffer.from(': still here\n\n')
const event = (message: JsonObject) =>
  Buffer.from(`data: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`)
const PROGRESS = event({
  method: 'notifications/progress',
  params: { progressToken: 1, progress: 1 },
})
const DONE = event({ id: 1, result: { content: [] } })
const ASKING = event({ id: 1, result: { inputRequests: { q: { method: 'roots/list' } } } })

let ended: Ended[]
beforeEach(() => {
  ended = []
  vi.useFakeTimers()
})
afterEach(() => vi.useRealTimers())

const NO_MASK = answerMask(
  () => [],
  () => undefined,
)

function opened(inbound: Inbound): { readonly stream: PassThrough; readonly streamed: Streamed } {
  const stream = new PassThrough()
  stream.on('error', () => undefined)
  const bindings = createBindings(() => 0)
  const ports = {
    bindings,
    showTools: () => [],
    onListed: () => undefined,
    onToolsChanged: () => undefined,
    passesInstructions: () => false,
    ask: () => Promise.resolve(VERDICT),
    log: pino({ level: 'silent' }),
  }
  const sending = {
    signal: undefined,
    onEnded: (of: Ended) => void ended.push(of),
    onEchoed: () => undefined,
    passage: createPassage(ports, inbound, VERDICT),
  }
  const streams = createStreams(Date.now)
  streams.watched(true)
  const of = { inbound, sending, status: 200, stream, tellServer: () => undefined, mask: NO_MASK }
  return { stream, streamed: streamAnswer(of, streams) }
}
/** What relay does with the end of it. */
const endOf = ({ streamed, stream }: ReturnType<typeof opened>): string | undefined =>
  streamed.onEnd(false, stream.errored ?? undefined)?.toString()

test.each([
  { name: 'says nothing but comments', chunk: COMMENT },
  { name: 'makes progress for ever', chunk: PROGRESS },
])('an answer that $name ends after ANSWER_STREAM_MS_MAX, and says so', ({ chunk }) => {
  const one = opened(CALL)
  for (let passed = 0; passed < ANSWER_STREAM_MS_MAX; passed += 60_000) {
    expect(one.streamed.onChunk?.(chunk)).toEqual(chunk)
    vi.advanceTimersByTime(passed + 60_000 < ANSWER_STREAM_MS_MAX ? 60_000 : 59_999)
  }
  expect(one.stream.destroyed).toBe(false)
  vi.advanceTimersByTime(1)
  expect(one.stream.destroyed).toBe(true)
  expect(endOf(one)).toContain('upstream_timeout')
  expect(ended).toMatchObject([{ result: 'unknown', status: 200, isError: false }])
})

test('an answer may have ANSWER_STREAM_BYTES_MAX bytes, and not one more', () => {
  const { streamed } = opened(CALL)
  const line = Buffer.alloc(1 << 20, 0x3a)
  line.write('\n\n', line.length - 2)
  for (let bytes = 0; bytes < ANSWER_STREAM_BYTES_MAX; bytes += line.length)
    void streamed.onChunk?.(line)
  expect(() => streamed.onChunk?.(Buffer.from(':'))).toThrow(
    expect.objectContaining({ code: 'upstream_invalid' }),
  )
})

describe('a stream that stays open after its answer', () => {
  test.each([
    { name: 'at once', chunk: DONE },
    { name: 'after something was decided', chunk: ASKING },
  ])('ends ANSWER_CLOSE_MS later, and is whole: answered $name', async ({ chunk }) => {
    const one = opened(CALL)
    await one.streamed.onChunk?.(chunk)
    vi.advanceTimersByTime(ANSWER_CLOSE_MS - 1)
    expect(one.stream.destroyed).toBe(false)
    vi.advanceTimersByTime(1)
    expect(one.stream.destroyed).toBe(true)
    expect(endOf(one)).toBe('')
    expect(ended).toMatchObject([{ result: 'forwarded', isError: false }])
  })

  test('is not kept by more words', () => {
    const one = opened(CALL)
    for (const chunk of [DONE, PROGRESS, DONE]) void one.streamed.onChunk?.(chunk)
    vi.advanceTimersByTime(ANSWER_CLOSE_MS)
    expect(one.stream.destroyed).toBe(true)
  })
})

test('a subscription has no end of its own', () => {
  const one = opened(LISTEN)
  vi.advanceTimersByTime(2 * ANSWER_STREAM_MS_MAX)
  expect(one.stream.destroyed).toBe(false)
})

test.each([
  { code: 'UND_ERR_HEADERS_TIMEOUT', want: 'upstream_timeout' },
  { code: 'UND_ERR_BODY_TIMEOUT', want: 'upstream_timeout' },
  { code: 'UND_ERR_SOCKET', want: 'upstream_unavailable' },
  { code: 'ECONNRESET', want: 'upstream_unavailable' },
])('$code is $want', ({ code, want }) => {
  expect(faultOf(Object.assign(new Error('x'), { code }))).toBe(want)
  expect(faultOf(new GatewayError('upstream_invalid', 'x'))).toBe('upstream_invalid')
})
