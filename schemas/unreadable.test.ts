// Requests that node:http cannot read: one answer, the right status wherever packets were cut, and nothing in the middle of
// another answer.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { answerUnreadable, type ParseError, statusOf } from './unreadable.ts'

const server = createServer((request, response) => {
  if (request.url === '/slow') response.write('begun')
  else response.end('whole')
})
let port: number
beforeAll(async () => {
  answerUnreadable(server, () => ({
    headers: { 'www-authenticate': CHALLENGE, 'cache-control': 'no-store' },
    body: BODY,
  }))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

/** All that comes back of these pieces, sent one by one, until the connection closes. */
function exchange(...pieces: readonly (string | Buffer)[]): Promise<string> {
  return talk(pieces, () => sleep(5))
}

/** Each piece but the first is sent when something came back of the one before. */
function inTurn(...pieces: readonly string[]): Promise<string> {
  return talk(pieces, (socket) => new Promise((resolve) => void socket.once('data', resolve)))
}

function talk(
  pieces: readonly (string | Buffer)[],
  pause: (socket: Socket) => Promise<unknown>,
): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8')
    })
    socket.on('error', () => undefined).on('close', () => resolve(text))
    const send = async (): Promise<void> => {
      for (const piece of pieces) {
        if (!socket.destroyed) socket.write(piece)
        await pause(socket)
      }
    }
    void send()
  })
}

const HEAD = 'POST /demo/mcp HTTP/1.1\r\nHost: x\r\n'
const LONG = 'a'.repeat(1024 * 1024)
const CHALLENGE = 'Bearer error="invalid_token"'
const BODY = '{"said":"ünknown"}'

test.each<{ name: string; pieces: readonly (string | Buffer)[]; status: number }>([
  { name: 'a token of 1 MB', pieces: [`${HEAD}Authorization: Bearer ${LONG}\r\n\r\n`], status: 401 },
  { name: 'a token of 17 KiB in pieces', pieces: [`${HEAD}authorization: Bearer `, ...Array.from({ length: 17 }, () => 'a'.repeat(1024))], status: 401 },
  { name: 'a cookie of 1 MB', pieces: [`${HEAD}Cookie: a=${LONG}\r\n\r\n`], status: 431 },
  { name: 'a cookie of 17 KiB in pieces', pieces: [`${HEAD}Cookie: `, ...Array.from({ length: 17 }, () => `a=${'b'.repeat(1000)}; `)], status: 431 },
  { name: 'a token of 1 MB in another header', pieces: [`${HEAD}X-Authorization: Bearer ${LONG}\r\n\r\n`], status: 431 },
  { name: 'many headers', pieces: [HEAD + Array.from({ length: 2_000 }, (_, at) => `X-${at}: aaaaaaaa\r\n`).join('')], status: 431 },
  { name: 'a path of 1 MB', pieces: [`POST /${LONG} HTTP/1.1\r\n\r\n`], status: 431 },
  { name: 'a NUL in the token', pieces: [`${HEAD}Authorization: Bearer a\0b\r\n\r\n`], status: 401 },
  { name: 'a control in the token', pieces: [`${HEAD}Authorization: Bearer a\u0001b\r\n\r\n`], status: 401 },
  { name: 'half a line end in the token', pieces: [`${HEAD}Authorization: Bearer a\rX: b\r\n\r\n`], status: 401 },
  { name: 'a NUL in another header', pieces: [`${HEAD}X: a\0b\r\n\r\n`], status: 400 },
  { name: 'no HTTP', pieces: ['hello\r\n\r\n'], status: 400 },
  { name: 'TLS', pieces: [Buffer.from('16030100', 'hex')], status: 400 },
  { name: 'two lengths', pieces: [`${HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`], status: 400 },
])('$name: one $status', async ({ pieces, status }) => {
  const answer = await exchange(...pieces)
  expect(answer.split('HTTP/1.1 ')).toHaveLength(2)
  expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
  const [head = '', body] = answer.split('\r\n\r\n')
  expect(head.includes(`\r\nwww-authenticate: ${CHALLENGE}\r\n`)).toBe(status === 401)
  expect(head.match(/cache-control: no-store/g)).toHaveLength(1)
  expect(head).toMatch(status === 401 ? /content-length: 19\r\n/ : /content-length: 0\r\n/)
  expect(head).toMatch(/\r\nconnection: close$/)
  expect(body).toBe(status === 401 ? BODY : '')
}) // biome-ignore format: a table

test('a client that goes on sending is not cut off before it has read the answer', async () => {
  const socket = connect(port, '127.0.0.1')
  const errors: Error[] = []
  socket.on('error', (error) => errors.push(error))
  const answered = once(socket, 'data')
  socket.write(`${HEAD}Authorization: Bearer ${LONG}`)
  for (let piece = 0; piece < 10; piece++, await sleep(10)) socket.write('a'.repeat(1024))
  expect(String(await answered)).toMatch(/^HTTP\/1.1 401 /)
  expect(errors).toEqual([])
  socket.destroy()
})

test('in the middle of an answer nothing is added: it is cut off', async () => {
  const answer = await inTurn('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n', 'hello\r\n\r\n')
  expect(answer).toContain('begun')
  expect(answer).not.toContain('400')
})

test('after an answer the next request is read by itself', async () => {
  const answer = await inTurn('GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'hello\r\n\r\n')
  expect(answer).toMatch(/whole[^]*HTTP\/1.1 400 /)
})

const parseError = (code: string, packet: string, bytesParsed = packet.length): ParseError =>
  Object.assign(new Error('Parse Error'), { code, bytesParsed, rawPacket: Buffer.from(packet) })

test.each([
  { name: 'the name in the packet', error: parseError('HPE_HEADER_OVERFLOW', `X: y\r\nAUTHORIZATION : ${LONG}`), status: 401 },
  { name: 'the name in an earlier packet', error: parseError('HPE_HEADER_OVERFLOW', LONG), status: 401 },
  { name: 'something that is no token', error: parseError('HPE_HEADER_OVERFLOW', `${LONG};`), status: 431 },
  { name: 'an empty packet', error: parseError('HPE_HEADER_OVERFLOW', ''), status: 431 },
  { name: 'the header behind the place', error: parseError('HPE_INVALID_HEADER_TOKEN', 'X: y\r\nZ: \0\r\nAuthorization: x', 10), status: 400 },
  { name: 'a body', error: parseError('HPE_INVALID_CHUNK_SIZE', 'x\r\nAuthorization: x'), status: 400 },
  { name: 'extensions of a chunk', error: parseError('HPE_CHUNK_EXTENSIONS_OVERFLOW', 'x'), status: 413 },
  { name: 'a request that is too slow', error: Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), status: 408 },
  { name: 'an error without a code', error: new Error('odd'), status: 400 },
])('$name: $status', ({ error, status }) => {
  expect(statusOf(error)).toBe(status)
}) // biome-ignore format: a table
