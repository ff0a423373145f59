// Owns what the benchmark `streams` tells its client process, and what that answers. Types only.
import type { StreamKind } from './plan.ts'

/** Where and as whom: the URL of an MCP endpoint, and what authenticates there. */
export type Target = {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** Whose it is; streams are counted and awaited by it. */
  readonly grant: number
}

export type Order =
  /** Answered when all are open. */
  | {
      readonly kind: 'open'
      readonly streams: readonly (Target & { readonly of: StreamKind })[]
      readonly children: readonly Target[]
    }
  /** Calls to each target in turn; one to each child every second. */
  | {
      readonly kind: 'traffic'
      readonly durationMs: number
      readonly callsPerSecond: number
      readonly calls: readonly Target[]
    }
  /** Answered when everything of this grant is gone, or after AWAIT_MS. */
  | { readonly kind: 'awaitEnd'; readonly grant: number }
  /** Answered when every stream that may be told was told that its tools changed, or after AWAIT_MS. */
  | { readonly kind: 'awaitTold' }
  | { readonly kind: 'close' }

export const AWAIT_MS = 15_000

export type Latency = { readonly p50: number; readonly p99: number; readonly max: number }
export type Tally = {
  readonly count: number
  readonly errors: number
  readonly firstError: string | null
  /** Milliseconds. */
  readonly tookMs: Latency
}

/** `retried`: requests that were refused at first. */
export type Opened = { readonly tookMs: number; readonly retried: number }
export type Traffic = {
  readonly streams: number
  readonly events: number
  /** Of each stream the longest time without an event; the beginning and the end of the window count as events. */
  readonly gapMs: Latency
  /** From the server that sent an event to the client that has it. */
  readonly eventMs: Latency
  readonly calls: Tally
  readonly childCalls: Tally
  /** Of each child the longest time without an answer. */
  readonly childGapMs: Latency
}
/** Times are milliseconds since 1970; NaN (null over IPC) of nothing. */
export type Ended = {
  readonly streams: number
  readonly children: number
  readonly lastStreamAt: number
  readonly lastChildAt: number
  /** What is still there of this grant. */
  readonly left: number
  /** What ended of other grants meanwhile. */
  readonly othersEnded: number
}
export type Told = {
  readonly told: number
  readonly missing: number
  readonly firstAt: number
  readonly lastAt: number
}
export type Closed = { readonly closed: number }

export type AnswerOf = {
  readonly open: Opened
  readonly traffic: Traffic
  readonly awaitEnd: Ended
  readonly awaitTold: Told
  readonly close: Closed
}
