// What a recorder and its shim do to what goes through them, on real sockets: nothing but what they are told to.
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import type { Exchange } from './exchange.ts'
import { openRecorder, type Recorder, type RecorderOptions } from './recorder.ts'
import { withToken } from './shim.ts'

type Serve = (incoming: IncomingMessage, outgoing: ServerResponse) => void

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function setUp(serve: Serve, options: Partial<RecorderOptions> = {}): Promise<Recorder> {
  const server = createServer(serve)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(
    () => server.closeAllConnections(),
    () => server.close(),
  )
  const target = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/x/mcp`)
  const recorder = await openRecorder({ target: () => target, scenario: () => 'one', ...options })
  closing.push(recorder.close)
  return recorder
}

/** Sends `lines` as they are. */
async function send({ port }: Recorder, lines: readonly string[]): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').setEncoding('utf8')
  closing.push(() => socket.destroy())
  socket.on('error', () => undefined)
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  await once(socket, 'connect')
  return socket
}

/** The only exchange, as soon as it is as wanted. */
async function seen(recorder: Recorder, wanted: (one: Exchange) => boolean): Promise<Exchange> {
  return await expect
    .poll(() => recorder.exchanges().find(wanted), { timeout: 5_000 })
    .toBeDefined()
    .then(() => recorder.exchanges().find(wanted) as Exchange)
}

test('header lines go on as they came, to the path of the target, plus what the shim adds', async () => {
  let lines: string[] = []
  const serve: Serve = (incoming, outgoing) => {
    lines = [String(incoming.url), ...incoming.rawHeaders]
    outgoing.writeHead(202, ['X-A', '1', 'x-a', '2']).end()
  }
  const recorder = await setUp(serve, { amend: withToken(() => 'secret') })
  await send(recorder, ['POST /mcp HTTP/1.1', 'Host: evil.example', 'Origin: http://evil.example', 'Mcp-Name:  a ', 'content-length: 0'])
  const { scenario, request: asked, response } = await seen(recorder, (one) => one.response?.ended === 'whole')
  expect(lines).toEqual(['/x/mcp', 'Host', 'evil.example', 'Origin', 'http://evil.example', 'Mcp-Name', 'a', 'content-length', '0', 'Authorization', 'Bearer secret', 'connection', 'close'])
  expect(scenario).toBe('one')
  expect(asked.headers).toMatchObject({ host: 'evil.example', 'mcp-name': 'a' })
  expect(asked.headers).not.toHaveProperty('authorization')
  expect(response).toMatchObject({ status: 202, headers: { 'x-a': '1, 2' } })
}) // biome-ignore format: long lines

test('what comes of an answer goes on at once, and is kept', async () => {
  const answers: ServerResponse[] = []
  const recorder = await setUp((_, outgoing) => {
    outgoing.writeHead(200, { 'content-type': 'text/event-stream' }).write('id: 1\n\n')
    answers.push(outgoing)
  })
  const socket = await send(recorder, ['GET /mcp HTTP/1.1', 'Host: x'])
  let got = ''
  socket.on('data', (text: string) => {
    got += text
  })
  await expect.poll(() => got, { timeout: 5_000 }).toContain('id: 1\n\n')
  expect(recorder.exchanges()[0]?.response).toMatchObject({ body: 'id: 1\n\n', ended: 'left' })
  answers[0]?.end('id: 2\n\n')
  const { response } = await seen(recorder, (one) => one.response?.ended === 'whole')
  expect(response?.body).toBe('id: 1\n\nid: 2\n\n')
})

test('a client that leaves is gone for the server too', async () => {
  let gone = 0
  const recorder = await setUp((_, outgoing) => {
    outgoing.on('close', () => gone++)
    outgoing.writeHead(200).write('some')
  })
  const socket = await send(recorder, ['GET /mcp HTTP/1.1', 'Host: x'])
  await once(socket, 'data')
  socket.destroy()
  await expect.poll(() => gone, { timeout: 5_000 }).toBe(1)
  expect(recorder.exchanges()[0]?.response).toMatchObject({ body: 'some', ended: 'left' })
})

test('a session ends after what was asked before', async () => {
  const asked: string[] = []
  const recorder = await setUp(({ method = '' }, outgoing) => {
    asked.push(method)
    if (method === 'DELETE') {
      outgoing.end()
      return
    }
    // Its answer begins and does not end: a stream may stay for as long as the session does.
    setTimeout(() => {
      asked.push('begins')
      outgoing.writeHead(200).write('some')
    }, 200)
  })
  await send(recorder, ['GET /mcp HTTP/1.1', 'Host: x'])
  await expect.poll(() => asked, { timeout: 5_000 }).toContain('GET')
  await send(recorder, ['DELETE /mcp HTTP/1.1', 'Host: x'])
  await seen(recorder, (one) => one.request.method === 'DELETE' && one.response !== undefined)
  expect(asked).toEqual(['GET', 'begins', 'DELETE'])
}) // biome-ignore format: long lines

test('a server that breaks off is told from a client that leaves', async () => {
  const recorder = await setUp((_, outgoing) => {
    outgoing.writeHead(200).write('some')
    setTimeout(() => outgoing.destroy(), 20)
  })
  await send(recorder, ['GET /mcp HTTP/1.1', 'Host: x'])
  const { response } = await seen(recorder, (one) => one.response?.ended === 'broken')
  expect(response?.body).toBe('some')
})

test('no answer is no answer', async () => {
  const recorder = await setUp(({ socket }) => socket.destroy())
  const asked = request({ port: recorder.port, host: '127.0.0.1', path: '/mcp' })
  asked.end()
  await expect(once(asked, 'response')).rejects.toThrow('socket hang up')
  expect(recorder.exchanges()).toMatchObject([{ response: undefined }])
})

test('the shim does not hide a token of the suite', () => {
  expect(() => withToken(() => 'x')([['authorization', 'Bearer y']])).toThrow('had its day')
})
