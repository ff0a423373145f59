// Owns a gateway that is none, for tests of the commands alone: it takes what the admin API takes and answers as its
// schemas say. Never decides anything.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import type { z } from 'zod'
import type { CredentialRow } from '../../schemas/credentials-api.ts'
import { parseJson } from './parse-json.ts'

/** One request it answers: what its body must be, and what comes back. */
export type Route = {
  /** Method, a space, and the path with its query. */
  readonly on: string
  readonly takes?: z.ZodType
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly answers?: unknown
  /** NDJSON in its place; `end: false` breaks the connection off behind it. */
  readonly lines?: () => Promise<readonly unknown[]>
  readonly end?: false
}
export type Asked = { readonly on: string; readonly bearer: string | undefined; body: unknown }

const AT = '2026-11-23T08:00:00.000Z'
/** What the admin API says of a credential. */
export const CREDENTIAL: CredentialRow = {
  id: '01990000-0000-7000-8000-000000000001',
  server: 'files',
  user: null,
  kind: 'header',
  names: ['x-api-key'],
  version: 3,
  state: 'ok',
  issuer: null,
  scopes: null,
  expiresAt: null,
  createdAt: AT,
  updatedAt: AT,
  lastUsedAt: null,
  key: 'k1',
}

export type FakeGateway = {
  readonly url: string
  /** What it was asked, in order; cleared by `answer`. */
  readonly asked: Asked[]
  /** Answers these routes from now on, and 404 elsewhere. */
  readonly answer: (...routes: Route[]) => void
  readonly close: () => Promise<void>
}

/** Listens on a free port of 127.0.0.1. A body that its route does not take is answered 400. */
export async function startFakeGateway(): Promise<FakeGateway> {
  const asked: Asked[] = []
  let known: readonly Route[] = []
  const server = createServer((request, answer) => {
    void (async () => {
      const on = `${request.method} ${request.url}`
      const body = parseJson(await text(request))
      asked.push({ on, bearer: bearerOf(request), body })
      const route = known.find((one) => one.on === on)
      if (route?.lines === undefined) respond(answer, route, body)
      else await sendLines(answer, route, await route.lines())
    })()
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    answer: (...routes) => {
      known = routes
      asked.length = 0
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function respond(answer: ServerResponse, route: Route | undefined, body: unknown): void {
  if (route === undefined) return send(answer, 404, { message: 'no such route' })
  const taken = route.takes?.safeParse(body)
  if (taken?.success === false) return send(answer, 400, { message: taken.error.message })
  for (const [name, value] of Object.entries(route.headers ?? {})) answer.setHeader(name, value)
  send(answer, route.status ?? 200, route.answers)
}

function send(answer: ServerResponse, status: number, body: unknown): void {
  answer.writeHead(status, { 'content-type': 'application/json', connection: 'close' })
  answer.end(body === undefined ? undefined : JSON.stringify(body))
}

async function sendLines(
  answer: ServerResponse,
  { end }: Route,
  lines: readonly unknown[],
): Promise<void> {
  for (const line of lines) {
    answer.write(`${JSON.stringify(line)}\n`)
    await sleep(10)
  }
  if (end === false) answer.destroy()
  else answer.end()
}

function bearerOf(request: IncomingMessage): string | undefined {
  return /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
}
