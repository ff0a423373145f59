// Owns a pass-through that keeps what went through it: requests whole, answers as they come, and who left first. Never
// changes anything but what `amend` adds to a request. A client that ends its session while a stream of it is still
// asked for leaves open which comes first; here what was asked first always does, or no two runs could be compared.
import {
  createServer,
  type IncomingMessage,
  type ServerResponse,
  request as sendRequest,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Exchange, Headers } from './exchange.ts'

export type RecorderOptions = {
  /** Origin and path of the MCP endpoint that stands for `/mcp`; may be told later, before the first request. */
  readonly target: () => URL
  /** The scenario that is running now. */
  readonly scenario: () => string
  /** Header lines to send on for those that came, each a name and a value. Default: the same. */
  readonly amend?: (lines: readonly HeaderLine[]) => readonly HeaderLine[]
}
export type HeaderLine = readonly [name: string, value: string]

export type Recorder = {
  readonly port: number
  /** In the order in which they began. */
  readonly exchanges: () => Exchange[]
  readonly close: () => Promise<void>
}

type Draft = { -readonly [Key in keyof Exchange]: Exchange[Key] }

/** Listens on a free loopback port. */
export async function openRecorder(options: RecorderOptions): Promise<Recorder> {
  const drafts: Draft[] = []
  const unanswered = new Set<Promise<unknown>>()
  const server = createServer((incoming, outgoing) => {
    const request = {
      method: incoming.method ?? '',
      path: incoming.url ?? '',
      headers: namedOf(linesOf(incoming)),
      body: '',
    }
    const draft: Draft = { scenario: options.scenario(), request, response: undefined }
    drafts.push(draft)
    incoming.setEncoding('utf8').on('data', (text: string) => {
      request.body += text
    })
    incoming.on('end', () => {
      const before = request.method === 'DELETE' ? [...unanswered] : []
      const answered = Promise.all(before).then(() => pass(options, incoming, outgoing, draft))
      unanswered.add(answered)
      void answered.then(() => unanswered.delete(answered))
    })
  })
  // A stream may be silent for as long as it likes.
  server.requestTimeout = 0
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    exchanges: () => [...drafts],
    close: async () => {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

/** Done when the answer has begun, or will not. */
function pass(
  { target, amend = (lines) => lines }: RecorderOptions,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  draft: Draft,
): Promise<void> {
  const { hostname, port, pathname } = target()
  const path = draft.request.path === '/mcp' ? pathname : draft.request.path
  const lines = amend(linesOf(incoming)).filter(([name]) => !HOP.has(name.toLowerCase()))
  const headers = [...lines.flat(), 'connection', 'close']
  const { method, body } = draft.request
  const upstream = sendRequest({ hostname, port, path, method, headers, agent: false })
  outgoing.on('close', () => {
    if (!outgoing.writableFinished) upstream.destroy()
  })
  upstream.on('error', () => outgoing.destroy())
  upstream.on('response', (response) => answer(response, outgoing, draft))
  upstream.end(body)
  return new Promise((resolve) => upstream.on('response', () => resolve()).on('close', resolve))
}

function answer(response: IncomingMessage, outgoing: ServerResponse, draft: Draft): void {
  const lines = linesOf(response)
  const kept = { status: response.statusCode ?? 0, headers: namedOf(lines) }
  let body = ''
  const keep = (ended: 'whole' | 'left' | 'broken'): void => {
    draft.response = { ...kept, body, ended }
  }
  keep('left')
  // Of hop-by-hop headers each hop has its own.
  const passed = lines.filter(([name]) => !HOP.has(name.toLowerCase()))
  outgoing.writeHead(kept.status, passed.flat())
  outgoing.flushHeaders()
  response.setEncoding('utf8')
  response.on('data', (text: string) => {
    body += text
    keep('left')
    outgoing.write(text)
  })
  response.on('end', () => {
    keep('whole')
    outgoing.end()
  })
  response.on('error', () => {
    if (!outgoing.destroyed) keep('broken')
    outgoing.destroy()
  })
}

const HOP: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'transfer-encoding'])

function linesOf({ rawHeaders }: IncomingMessage): HeaderLine[] {
  const lines: HeaderLine[] = []
  for (let index = 0; index < rawHeaders.length; index += 2)
    lines.push([rawHeaders[index] ?? '', rawHeaders[index + 1] ?? ''])
  return lines
}

function namedOf(lines: readonly HeaderLine[]): Headers {
  const named: Record<string, string> = {}
  for (const [name, value] of lines) {
    const key = name.toLowerCase()
    named[key] = key in named ? `${named[key]}, ${value}` : value
  }
  return named
}
