// Owns sending one HTTP request exactly as written: every header as given, none added, any bytes.
// Interprets nothing.
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'

export type Sent = {
  readonly port: number
  readonly method: string
  readonly path: string
  readonly headers: readonly (readonly [string, string])[]
  /** Chunked is how node:http sends a body without a `content-length` among the headers. */
  readonly body?: string | Uint8Array
  /** Ends a request whose answer nobody waits for any more. */
  readonly signal?: AbortSignal
}

export type Answered = {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly body: string
  /** Whether the body came to its own end. */
  readonly complete: boolean
}

const agent = new Agent({ keepAlive: true, maxSockets: 64 })

/**
 * The whole answer. Rejects when none began; one that breaks off is answered with `complete` false.
 */
export async function send(sent: Sent): Promise<Answered> {
  const incoming = await open(sent)
  const chunks: Buffer[] = []
  try {
    for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk)
  } catch {
    // It broke off: what came is the answer, and `complete` says so.
  }
  const { statusCode = 0, headers, rawHeaders, complete } = incoming
  const body = Buffer.concat(chunks).toString('utf8')
  return { status: statusCode, headers, rawHeaders, body, complete }
}

/** The head of the answer; its body is read by whoever asked. */
export function open(sent: Sent): Promise<IncomingMessage> {
  const { port, method, path, headers, body, signal } = sent
  return new Promise((resolve, reject) => {
    const outgoing = request({
      host: '127.0.0.1',
      port,
      method,
      path,
      agent,
      headers: headers.flat(),
      ...(signal === undefined ? {} : { signal }),
    })
    outgoing.once('response', (incoming) => {
      outgoing.on('error', () => undefined)
      resolve(incoming)
    })
    outgoing.once('error', reject)
    outgoing.end(body)
  })
}
