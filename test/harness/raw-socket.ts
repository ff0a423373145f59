// Owns sending bytes that no HTTP client would send, and reading what comes back until the connection closes. Interprets
// only the status line and the headers of the first answer.
import { connect } from 'node:net'

export type RawAnswer = {
  readonly status: number
  /** By lower-case name, the first of each. */
  readonly headers: ReadonlyMap<string, string>
  /** Everything, as Latin-1. */
  readonly text: string
}

/** Resolves when the peer has closed the connection. */
export function sendBytes(port: number, bytes: string | Buffer): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
    })
    socket.on('error', () => undefined).on('close', () => resolve(readAnswer(text)))
    socket.write(bytes)
  })
}

function readAnswer(text: string): RawAnswer {
  const [head = ''] = text.split('\r\n\r\n')
  const [first = '', ...lines] = head.split('\r\n')
  const named = lines.map((line): [string, string] => {
    const end = line.indexOf(':')
    return [line.slice(0, end).toLowerCase(), line.slice(end + 1).trim()]
  })
  return { status: Number(first.split(' ')[1]), headers: new Map(named.toReversed()), text }
}
