// Owns what the PEP needs from outside: the PDP, clock, randomness, log. Types only; `main.ts` makes the real ones.
import type { Logger } from 'pino'

export type PdpAnswer = { readonly status: number; readonly body: string }

/** The PDP as a PEP reaches it: `/pep/v1/*` with the PEP's own key. Each rejects when no whole answer came. */
export type PdpPort = {
  post(path: string, body: string, timeoutMs: number): Promise<PdpAnswer>
  get(path: string, timeoutMs: number): Promise<PdpAnswer>
  /** Bytes of `GET /pep/v1/events` until it ends or the signal aborts; rejects when it cannot be opened. */
  events(signal: AbortSignal): AsyncIterable<Uint8Array>
  close(): Promise<void>
}

/** A fresh UUID. */
export type Uuid = () => string
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>
