// Owns the clients of the benchmark `streams`: a process of its own, driven over IPC with one Order at a time. Every
// answer is checked; a wrong one is an error, and a stream that cannot be opened ends the benchmark.
import { setTimeout as sleep } from 'node:timers/promises'
import { isAlive } from '../../e2e/processes.ts'
import { call, type OpenStream, openGet, openSession, openStream } from './client-stream.ts'
import {
  type AnswerOf,
  AWAIT_MS,
  type Latency,
  type Order,
  type Tally,
  type Target,
} from './orders.ts'
import { quantile } from './plan.ts'
import { processOf } from './processes.ts'
import { CHILD_TOOL, nowMs } from './words.ts'

type Of<K extends Order['kind']> = Extract<Order, { kind: K }>
type Child = {
  readonly target: Target
  readonly session: Readonly<Record<string, string>>
  readonly pid: number
  endedAt: number | undefined
  lastAt: number
  longestGapMs: number
}
type Counted = { tookMs: number[]; errors: number; firstError: string | null }

const OPENING_AT_ONCE = 16
const TRIES = 5
const POLL_MS = 5
const SECOND_MS = 1_000

let streams: OpenStream[] = []
let children: Child[] = []
let retried = 0

async function open(order: Of<'open'>): Promise<AnswerOf['open']> {
  const began = nowMs()
  retried = 0
  const opening = [
    ...order.streams.map((target) => async () => {
      streams.push(await patiently(() => openStream(target.of, target)))
    }),
    ...order.children.map((target) => () => openChild(target)),
  ]
  const work = async (): Promise<void> => {
    for (let next = opening.shift(); next !== undefined; next = opening.shift()) await next()
  }
  await Promise.all(Array.from({ length: OPENING_AT_ONCE }, work))
  return { tookMs: nowMs() - began, retried }
}

async function openChild(target: Target): Promise<void> {
  const session = await patiently(() => openSession(target))
  streams.push(await patiently(() => openGet(target, session)))
  const text = await patiently(() => call(target, CHILD_TOOL.name, session))
  const title = /"text":"([^"]+)"/.exec(text)?.[1]
  const pid = title === undefined ? undefined : processOf(title)
  if (pid === undefined) throw new Error(`no child: ${text}`)
  children.push({ target, session, pid, endedAt: undefined, lastAt: 0, longestGapMs: 0 })
}

/** On a machine that is busy otherwise a verdict may expire while it is opened: as any client, it tries again. */
async function patiently<T>(act: () => Promise<T>): Promise<T> {
  for (let left = TRIES; ; left--) {
    try {
      return await act()
    } catch (error) {
      if (left === 1) throw error
      retried++
      await sleep(SECOND_MS)
    }
  }
}

async function traffic(order: Of<'traffic'>): Promise<AnswerOf['traffic']> {
  const [called, childCalled] = [counted(), counted()]
  const began = nowMs()
  const endMs = began + order.durationMs
  const watched = streams.filter((stream) => stream.endedAt() === undefined)
  const asked = children.filter(({ endedAt }) => endedAt === undefined)
  for (const stream of watched) stream.reset(began)
  for (const child of asked) Object.assign(child, { lastAt: began, longestGapMs: 0 })
  await Promise.all([
    callEvery(order, endMs, called),
    ...asked.map((child) => askChild(child, endMs, childCalled)),
  ])
  const now = nowMs()
  const delays = watched.flatMap((stream) => stream.delaysMs())
  return {
    streams: watched.length,
    events: delays.length,
    gapMs: latency(watched.map((stream) => stream.longestGapMs(Math.min(now, endMs)))),
    eventMs: latency(delays),
    calls: tallied(called),
    childCalls: tallied(childCalled),
    childGapMs: latency(asked.map(({ longestGapMs }) => longestGapMs)),
  }
}

/** An open loop: a call is sent when it is due, whether or not the one before it was answered. */
async function callEvery(order: Of<'traffic'>, endMs: number, into: Counted): Promise<void> {
  const under: Promise<void>[] = []
  for (let sent = 0, due = nowMs(); due < endMs; sent++, due += SECOND_MS / order.callsPerSecond) {
    await sleep(Math.max(due - nowMs(), 0))
    const target = order.calls[sent % order.calls.length]
    if (target !== undefined) under.push(timed(() => call(target, 'lookup'), into))
  }
  await Promise.all(under)
}

async function askChild(child: Child, endMs: number, into: Counted): Promise<void> {
  await sleep(Math.random() * SECOND_MS)
  for (let due = nowMs(); due < endMs; due += SECOND_MS) {
    await sleep(Math.max(due - nowMs(), 0))
    await timed(() => call(child.target, CHILD_TOOL.name, child.session), into)
    const now = nowMs()
    child.longestGapMs = Math.max(child.longestGapMs, now - child.lastAt)
    child.lastAt = now
  }
}

async function timed(act: () => Promise<unknown>, into: Counted): Promise<void> {
  const began = nowMs()
  try {
    await act()
    into.tookMs.push(nowMs() - began)
  } catch (error) {
    into.errors++
    into.firstError ??= String(error)
  }
}

async function awaitEnd({ grant }: Of<'awaitEnd'>): Promise<AnswerOf['awaitEnd']> {
  const ownStreams = streams.filter((stream) => stream.grant === grant)
  const ownChildren = children.filter(({ target }) => target.grant === grant)
  const others = () =>
    streams.filter((stream) => stream.grant !== grant && stream.endedAt() === undefined).length +
    children.filter(({ target, pid }) => target.grant !== grant && isAlive(pid)).length
  const before = others()
  const left = () => {
    for (const child of ownChildren) if (!isAlive(child.pid)) child.endedAt ??= nowMs()
    return [...ownStreams.map((it) => it.endedAt()), ...ownChildren.map((it) => it.endedAt)].filter(
      (endedAt) => endedAt === undefined,
    ).length
  }
  await until(() => left() === 0)
  const ended = {
    streams: ownStreams.length,
    children: ownChildren.length,
    lastStreamAt: Math.max(...ownStreams.map((it) => it.endedAt() ?? Number.NaN)),
    lastChildAt: Math.max(...ownChildren.map(({ endedAt }) => endedAt ?? Number.NaN)),
    left: left(),
    othersEnded: before - others(),
  }
  streams = streams.filter((stream) => stream.grant !== grant)
  children = children.filter(({ target }) => target.grant !== grant)
  return ended
}

async function awaitTold(): Promise<AnswerOf['awaitTold']> {
  const listening = streams.filter((it) => it.mayBeTold && it.endedAt() === undefined)
  for (const stream of listening) stream.reset(nowMs())
  const told = () => listening.flatMap((stream) => stream.toldAt() ?? [])
  await until(() => told().length === listening.length)
  const times = told()
  return {
    told: times.length,
    missing: listening.length - times.length,
    firstAt: Math.min(...times),
    lastAt: Math.max(...times),
  }
}

async function close(): Promise<AnswerOf['close']> {
  const closing = streams
  for (const stream of closing) stream.close()
  await until(() => closing.every((stream) => stream.endedAt() !== undefined))
  for (const { target, session } of children) await endSession(target, session)
  await until(() => children.every(({ pid }) => !isAlive(pid)))
  ;[streams, children] = [[], []]
  return { closed: closing.length }
}

async function endSession({ url, headers }: Target, session: Child['session']): Promise<void> {
  await fetch(url, { method: 'DELETE', headers: { ...headers, ...session } })
}

async function until(isDone: () => boolean): Promise<void> {
  const deadline = nowMs() + AWAIT_MS
  while (!isDone() && nowMs() < deadline) await sleep(POLL_MS)
}

function counted(): Counted {
  return { tookMs: [], errors: 0, firstError: null }
}

function tallied({ tookMs, errors, firstError }: Counted): Tally {
  return { count: tookMs.length, errors, firstError, tookMs: latency(tookMs) }
}

function latency(values: readonly number[]): Latency {
  const of = (part: number) => quantile(values, part)
  return { p50: of(0.5), p99: of(0.99), max: of(1) }
}

function follow(order: Order): Promise<AnswerOf[Order['kind']]> {
  switch (order.kind) {
    case 'open':
      return open(order)
    case 'traffic':
      return traffic(order)
    case 'awaitEnd':
      return awaitEnd(order)
    case 'awaitTold':
      return awaitTold()
    default:
      return close()
  }
}

process.on('disconnect', () => process.exit(0))
process.on('message', (order: Order) => {
  follow(order).then(
    (answer) => process.send?.(answer),
    (error: unknown) => {
      throw error
    },
  )
})
