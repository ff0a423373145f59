// Reading a body whose client is gone before anybody reads: it ends, though nothing says so again.
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { readBody } from './read-body.ts'

test('a client that went away while it was asked whose it is holds nothing up', async () => {
  const arrived = Promise.withResolvers<IncomingMessage>()
  const server = createServer((incoming) => arrived.resolve(incoming))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const headers = { 'content-length': '10' }
  const outgoing = request({ port, host: '127.0.0.1', method: 'POST', headers })
  outgoing.on('error', () => undefined)
  outgoing.write('{')
  const incoming = await arrived.promise
  const closed = new Promise((resolve) => incoming.once('close', resolve))
  incoming.on('error', () => undefined)
  outgoing.destroy()
  await closed
  await expect(readBody(incoming, () => undefined)).rejects.toMatchObject({
    code: 'malformed_json',
  })
  server.close()
})
