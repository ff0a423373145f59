// Owns the socket that clients reach.
import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import type { Hono } from 'hono'
import { answerUnreadable, type Unauthenticated } from '../../schemas/unreadable.ts'
import type { PepEnv } from './app.ts'
import { REQUEST_TIMEOUT_MS } from './limits.ts'
import { refused } from './refuse.ts'

export type Listening = {
  readonly port: number
  /**
   * Takes no more connections and resolves when the open ones are done, or are cut off `graceMs`
   * later.
   */
  readonly close: (graceMs: number) => Promise<void>
}

/**
 * Listens on `host`:`port` (0: any free port). Rejects with the error of the system, EADDRINUSE
 * among them.
 */
export function listen(app: Hono<PepEnv>, host: string, port: number): Promise<Listening> {
  const server = createAdaptorServer({
    fetch: app.fetch,
    serverOptions: { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
  }) as Server
  answerUnreadable(server, answerUnreadToken)
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      const { port: actual } = server.address() as AddressInfo
      resolve({ port: actual, close: (graceMs) => close(server, graceMs) })
    })
  })
}

/** The answer to a token that node:http could not read. Nothing of the request is known, so nothing is logged of it. */
export function answerUnreadToken(): Unauthenticated {
  const requestId = randomUUID()
  const of = undefined
  const code = 'unauthenticated'
  return refused({ code, fault: 'malformed', requestId, of, established: false })
}

function close(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), graceMs)
    server.close(() => {
      clearTimeout(timer)
      resolve()
    })
    server.closeIdleConnections()
  })
}
