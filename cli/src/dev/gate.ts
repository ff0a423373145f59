// Owns a loopback port that is taken at once, so that a taken one fails early, and answers 503 until it is opened.
import type { Server } from 'node:http'
import { createAdaptorServer } from '@hono/node-server'
import { ConfigError } from '../../../pdp/src/config.ts'
import { close } from '../../../pdp/src/main.ts'
import { answerUnreadable, type Unauthenticated } from '../../../schemas/unreadable.ts'

type Fetch = (request: Request, env: object) => Response | Promise<Response>

export type Gate = {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  readonly open: (fetch: Fetch) => void
  /** Requests under way may take `drainMs` (default 2 s) to be answered first. */
  readonly close: (drainMs?: number) => Promise<void>
}

/** Listens on 127.0.0.1. Throws ConfigError naming `setting` when the port is taken. `unauthenticated`: answerUnreadable. */
export async function listenGated(
  setting: string,
  port: number,
  unauthenticated: () => Unauthenticated,
): Promise<Gate> {
  let serve: Fetch = answerStarting
  const server = createAdaptorServer({ fetch: (request, env) => serve(request, env) }) as Server
  answerUnreadable(server, unauthenticated)
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      reject(
        new ConfigError(
          `${setting}: port ${port} cannot be listened on (${cause.code}); set another`,
          { cause },
        ),
      )
    })
    server.listen(port, '127.0.0.1', () => resolve())
  })
  const address = server.address()
  const taken = typeof address === 'object' && address !== null ? address.port : port
  return {
    url: `http://127.0.0.1:${taken}`,
    open: (fetch) => {
      serve = fetch
    },
    close: (drainMs) => close(server, drainMs),
  }
}

function answerStarting(): Response {
  return new Response('starting\n', { status: 503, headers: { 'retry-after': '1' } })
}
