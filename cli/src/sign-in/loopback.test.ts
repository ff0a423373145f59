// The address the browser comes back to: what it takes, what it ignores, and when it stops waiting.
import { request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, describe, expect, test } from 'vitest'
import { type Loopback, listenForCallback } from './loopback.ts'

let open: Loopback | undefined
afterEach(() => open?.close())
const listen = async (waitMs = 5_000): Promise<Loopback> => {
  open = await listenForCallback('right', waitMs)
  return open
}
const send = async (url: string, method = 'GET'): Promise<{ status: number; body: string }> =>
  new Promise((resolve, reject) => {
    const sent = request(url, { method }, (answer) => {
      void text(answer).then((body) => resolve({ status: answer.statusCode ?? 0, body }))
    })
    sent.on('error', reject).end()
  })

test('the callback is taken, answered by a plain page, and nothing listens any more', async () => {
  const { redirectUri, callback } = await listen()
  expect(redirectUri).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/callback$/)
  const url = `${redirectUri}?code=a%2Fb&state=right&iss=https%3A%2F%2Fi`
  const page = await fetch(url)
  expect(page.status).toBe(200)
  expect(Object.fromEntries(page.headers)).toMatchObject({
    'content-type': 'text/plain; charset=utf-8',
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
  })
  expect(await page.text()).toContain('go back to the terminal')
  expect((await callback).href).toBe(url)
  await expect(send(url)).rejects.toThrow('ECONNREFUSED')
})

test('an answer that says why not is the answer, too', async () => {
  const { redirectUri, callback } = await listen()
  await send(`${redirectUri}?error=access_denied&state=right`)
  expect((await callback).searchParams.get('error')).toBe('access_denied')
})

describe('everything else is 404 and changes nothing', () => {
  test.each([
    { what: 'another path', path: '/?code=x&state=right' },
    { what: 'a longer path', path: '/callback/x?code=x&state=right' },
    { what: 'the icon', path: '/favicon.ico' },
    { what: 'no query', path: '/callback' },
    { what: 'an empty query', path: '/callback?' },
    { what: 'no state', path: '/callback?code=x' },
    { what: 'another state', path: '/callback?code=x&state=wrong' },
    { what: 'two states', path: '/callback?code=x&state=right&state=right' },
    { what: 'two states, one empty', path: '/callback?code=x&state=right&state=' },
    { what: 'another state that ends like it', path: '/callback?code=x&state=,right' },
    { what: 'a POST', path: '/callback?code=x&state=right', method: 'POST' },
    { what: 'a HEAD', path: '/callback?code=x&state=right', method: 'HEAD' },
  ])('$what', async ({ path, method }) => {
    const { redirectUri, callback } = await listen()
    const { origin } = new URL(redirectUri)
    const { status, body } = await send(`${origin}${path}`, method)
    expect(status).toBe(404)
    expect(body).not.toContain('wrong')
    await send(`${redirectUri}?code=mine&state=right`)
    expect((await callback).searchParams.get('code')).toBe('mine')
  })

  test('what is no HTTP, and a request for another host', async () => {
    const { redirectUri, callback } = await listen()
    const { port } = new URL(redirectUri)
    for (const said of ['nonsense\r\n\r\n', 'GET //evil/callback?state=right HTTP/1.1\r\nhost: evil\r\n\r\n']) {
      const socket = connect(Number(port), '127.0.0.1').end(said)
      expect(await text(socket)).toMatch(/^HTTP\/1\.1 40[04] /)
    }
    await send(`${redirectUri}?code=mine&state=right`)
    const { origin, search } = await callback
    expect({ origin, search }).toEqual({ origin: new URL(redirectUri).origin, search: '?code=mine&state=right' })
  }) // biome-ignore format: long lines
})

test('it does not wait for ever', async () => {
  const { redirectUri, callback } = await listen(50)
  await expect(callback).rejects.toThrow('nobody came back from the browser')
  await expect(send(redirectUri)).rejects.toThrow('ECONNREFUSED')
})
