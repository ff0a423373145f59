// Reaching a PDP over real sockets: TCP and Unix, with the key, within its time.
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPdp, type PdpAddress } from './pdp-http.ts'

const KEY = 'cgp_key'
let folder: string
const servers: Server[] = []
const addresses = new Map<string, PdpAddress>()

function answer(request: IncomingMessage, response: ServerResponse): void {
  const { url, method, headers } = request
  if (url === '/pep/v1/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': hello\n\n')
    setTimeout(() => response.end('event: x\n\n'), 20)
    return
  }
  if (url === '/silent') return
  if (url === '/half') {
    response.writeHead(200, { 'content-length': '10' }).write('half')
    setTimeout(() => response.destroy(), 20)
    return
  }
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const body = Buffer.concat(chunks).toString()
    const status = headers.authorization === `Bearer ${KEY}` ? 200 : 401
    response.writeHead(status).end(JSON.stringify({ method, url, body }))
  })
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cedargate-pdp-'))
  const socketPath = join(folder, 'pdp.sock')
  const [tcp, unix] = [createServer(answer), createServer(answer)]
  servers.push(tcp, unix)
  await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve))
  await new Promise<void>((resolve) => unix.listen(socketPath, resolve))
  addresses.set('tcp', { origin: `http://127.0.0.1:${(tcp.address() as AddressInfo).port}` })
  addresses.set('unix', { socketPath })
})
afterAll(async () => {
  for (const server of servers) server.closeAllConnections()
  for (const server of servers) server.close()
  await rm(folder, { recursive: true })
})

describe.each(['tcp', 'unix'])('%s', (how) => {
  const open = (key = KEY) => openPdp(addresses.get(how) ?? { origin: '' }, key)

  test('asks and tells with the key', async () => {
    const pdp = open()
    const asked = await pdp.get('/pep/v1/servers', 1_000)
    expect(asked).toEqual({
      status: 200,
      body: '{"method":"GET","url":"/pep/v1/servers","body":""}',
    })
    const told = await pdp.post('/pep/v1/decide', '{}', 1_000)
    expect(JSON.parse(told.body)).toEqual({ method: 'POST', url: '/pep/v1/decide', body: '{}' })
    expect((await open('other').get('/', 1_000)).status).toBe(401)
    await pdp.close()
  })

  test('hears events until they end', async () => {
    const pdp = open()
    const heard: string[] = []
    for await (const chunk of pdp.events(AbortSignal.timeout(1_000)))
      heard.push(Buffer.from(chunk).toString())
    expect(heard.join('')).toBe(': hello\n\nevent: x\n\n')
    await pdp.close()
  })

  test.each([
    { path: '/silent', why: /no answer within 200 ms/ },
    { path: '/half', why: /terminated|other side closed|aborted/ },
  ])('$path is no answer', async ({ path, why }) => {
    const pdp = open()
    await expect(pdp.get(path, 200)).rejects.toThrow(why)
    await pdp.close()
  })
})

test('nobody at the address is an error, soon', async () => {
  const pdp = openPdp({ socketPath: join(folder, 'none.sock') }, KEY)
  await expect(pdp.get('/', 1_000)).rejects.toMatchObject({ code: 'ENOENT' })
  await pdp.close()
})
