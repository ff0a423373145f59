// What the PDP dials and what it refuses: real sockets, names that lead where the test says.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { DialRefused, type Lookup } from '../../../schemas/dial.ts'
import { DIAL_ANSWER_BYTES_MAX } from '../../../schemas/limits.ts'
import { type OpenDialer, openDialer } from './dialer.ts'

let server: Server
let port: number
let dialer: OpenDialer
const asked: string[] = []
/** Where names lead, one answer after the other; the last one stays. */
let leads: string[][]

const lookup: Lookup = (_name, _options, callback) => {
  const addresses = (leads.length > 1 ? leads.shift() : leads[0]) ?? []
  callback(null, addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))) // biome-ignore format: short
}

beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    if (request.url === '/away') response.writeHead(302, { location: `http://127.0.0.1:${port}/` })
    if (request.url === '/flood') response.write('x'.repeat(DIAL_ANSWER_BYTES_MAX))
    response.end('hello')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
  dialer = openDialer({ lookup })
})
afterAll(async () => {
  await dialer.close()
  server.close()
})
beforeEach(() => {
  asked.length = 0
  leads = [['127.0.0.1']]
})

const named = () => `http://idp.test:${port}`
const failureOf = (origins: readonly string[], url: string) =>
  dialer(origins)(url, {}).then(
    () => 'none',
    (error: unknown) => error,
  )
const refused = (message: RegExp) => expect.objectContaining({ constructor: DialRefused, message: expect.stringMatching(message) }) // biome-ignore format: short

test('a stated origin may be private, and is reached there, over http too', async () => {
  const answer = await dialer([named()])(`${named()}/x`, { method: 'POST', body: 'b' })
  expect([answer.status, await answer.text()]).toEqual([200, 'hello'])
  expect(asked).toEqual(['POST /x'])
})

test('only that very origin is: no other port, scheme or name', async () => {
  const origins = [`https://idp.test:${port}`, 'http://idp.test', 'http://other.test', named().replace(':', '') , `${named()}/`] // biome-ignore format: short
  expect(await failureOf(origins, `${named()}/`)).toEqual(refused(/not dialled over http/))
  expect(await failureOf([named()], `https://idp.test:${port}/`)).toEqual(refused(/^idp.test leads to a private address, which wants `private: true` beside/)) // biome-ignore format: long
  expect(asked).toEqual([])
})

test.each(['https://127.0.0.1/', 'https://0x7f.1/', 'https://[::ffff:127.0.0.1]/', 'https://10.0.0.1/', 'http://1.1.1.1/', 'https://who@example.com/', 'unix:///run/x', 'file:///etc/passwd', '//x', ''])('%s is refused before anything is opened', async (url) => {
  expect(await failureOf([], url)).toBeInstanceOf(DialRefused)
}) // biome-ignore format: a list

test('what is never dialled is not dialled at a stated origin either', async () => {
  expect(await failureOf(['http://169.254.169.254'], 'http://169.254.169.254/latest')).toEqual(refused(/never dialled/)) // biome-ignore format: long
  leads = [['127.0.0.1', '169.254.169.254']]
  expect(await failureOf([named()], `${named()}/1`)).toEqual(refused(/^idp.test leads to an address that is never dialled/)) // biome-ignore format: long
})

test('a name that was public when it was last looked at is judged again where it leads now', async () => {
  leads = [['1.1.1.1', '127.0.0.1'], ['127.0.0.1']]
  for (const _ of [1, 2]) {
    expect(await failureOf([], `https://idp.test:${port}/`)).toEqual(refused(/private address/))
  }
})

test('the connection that a stated origin has is nobody else’s', async () => {
  const url = `https://idp.test:${port}/`
  const tls = await failureOf([new URL(url).origin], url)
  expect(tls).not.toBeInstanceOf(DialRefused) // It spoke to the server, which speaks no TLS.
  expect(await failureOf([], url)).toBeInstanceOf(DialRefused)
})

test('a redirect is the answer, whatever the caller wants', async () => {
  const answer = await dialer([named()])(`${named()}/away`, { redirect: 'follow' })
  expect([answer.status, answer.headers.get('location')]).toEqual([302, `http://127.0.0.1:${port}/`]) // biome-ignore format: long
  expect(asked).toEqual(['GET /away'])
})

test('an answer without an end is broken off', async () => {
  const answer = await dialer([named()])(`${named()}/flood`, {})
  await expect(answer.text()).rejects.toThrow('terminated')
})

test('after it is closed nothing is dialled', async () => {
  const closed = openDialer({ lookup })
  await closed.close()
  await expect(closed([named()])(named(), {})).rejects.toThrow('fetch failed')
  expect(asked).toEqual([])
})
