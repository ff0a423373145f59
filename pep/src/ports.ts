// Owns what the PEP needs from outside: the PDP, clock, randomness, log. Types only; `main.ts`
// makes the real ones.
import type { Logger } from 'pino'

export type PdpAnswer = { readonly status: number; readonly body: string }

/**
 * The PDP as a PEP reaches it: `/pep/v1/*` with the PEP's own key. Each rejects when no whole
 * answer came.
 */
export type PdpPort = {
  readonly post: (path: string, body: string, timeoutMs: number) => Promise<PdpAnswer>
  readonly get: (path: string, timeoutMs: number) => Promise<PdpAnswer>
  /**
   * Bytes of `GET /pep/v1/events` until it ends or the signal aborts; rejects when it cannot be
   * opened.
   */
  readonly events: (signal: AbortSignal) => AsyncIterable<Uint8Array>
  readonly close: () => Promise<void>
}

/** Milliseconds that never run backwards; only differences mean anything. */
export type Monotonic = () => number
/** A fresh UUID. */
export type Uuid = () => string
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>
