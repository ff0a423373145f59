// Owns what a client is answered whose request node:http cannot read: a status, and the challenge where what it
// authenticates with was the trouble. Never says where the reading stopped, and reads nothing more of it. Opens nothing:
// the PDP and the PEP hand it their servers.
import { type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { UNREADABLE_CLOSE_MS } from './limits.ts'

/** The 401 of a service: its challenge among the headers, and its own words. */
export type Unauthenticated = {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What node:http says of a request it could not read. */
export type ParseError = Error & {
  readonly code?: string
  readonly rawPacket?: Buffer
  /** How far into `rawPacket` it came. */
  readonly bytesParsed?: number
}

/**
 * Answers on connections of `server`, and closes them; one that is in the middle of an answer is cut off. Where the
 * reading stopped in the Authorization header the answer is `unauthenticated`, else a status alone.
 */
export function answerUnreadable(server: Server, unauthenticated: () => Unauthenticated): void {
  const underWay = new WeakMap<Duplex, Set<ServerResponse>>()
  const answered = new WeakSet<Duplex>()
  server.on('request', ({ socket }, outgoing) => {
    const own = underWay.get(socket) ?? new Set()
    underWay.set(socket, own.add(outgoing))
    outgoing.once('close', () => own.delete(outgoing))
  })
  server.on('clientError', (error: ParseError, socket) => {
    // What still comes of the same request fails again.
    if (answered.has(socket)) return
    answered.add(socket)
    const isAnswering = [...(underWay.get(socket) ?? [])].some(({ headersSent }) => headersSent)
    if (!socket.writable || isAnswering) {
      socket.destroy()
      return
    }
    socket.end(answerTo(error, unauthenticated))
    // Not at once: a client that is still sending would not get to read the answer.
    const timer = setTimeout(() => socket.destroy(), UNREADABLE_CLOSE_MS).unref()
    socket.once('close', () => clearTimeout(timer))
  })
}

function answerTo(error: ParseError, unauthenticated: () => Unauthenticated): string {
  const status = statusOf(error)
  const { headers, body } = status === 401 ? unauthenticated() : { headers: {}, body: '' }
  const all = {
    ...headers,
    'cache-control': 'no-store',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  return [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines, '', body].join('\r\n')
}

/** 401 where the reading stopped in the Authorization header. */
export function statusOf(error: ParseError): number {
  if (isInAuthorization(error)) return 401
  return STATUSES[error.code ?? ''] ?? 400
}

const STATUSES: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
}
const IN_HEADERS = /^HPE_(HEADER_OVERFLOW|INVALID_HEADER_TOKEN|LF_EXPECTED|CR_EXPECTED)$/

/**
 * A header's name may have come in an earlier packet, which is not at hand: then what is as long as only a token is, and
 * has no other character, counts as one.
 */
function isInAuthorization({ code = '', rawPacket, bytesParsed = 0 }: ParseError): boolean {
  if (!IN_HEADERS.test(code) || rawPacket === undefined) return false
  const start = rawPacket.lastIndexOf('\n', Math.max(bytesParsed - 1, 0)) + 1
  const line = rawPacket.toString('latin1', start, bytesParsed)
  if (start > 0) return /^authorization[ \t]*:/i.test(line)
  return code === 'HPE_HEADER_OVERFLOW' && /^[\w.~+/=-]+$/.test(line)
}
