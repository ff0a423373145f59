// A server that a PEP started answers its PEP, and no web page.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { request } from 'undici'
import { expect, test } from 'vitest'

const SERVER = `require('node:http').createServer((_, answer) => answer.end('answered'))
  .listen(0, function () { process.stdout.write(String(this.address().port)) })`

test.each([
  { name: 'the PEP', headers: {}, answered: true },
  { name: 'localhost', headers: { host: 'localhost:1' }, answered: true },
  { name: 'a web page', headers: { origin: 'http://evil.example' }, answered: false },
  { name: 'a page of loopback', headers: { origin: 'http://127.0.0.1:1' }, answered: false },
  { name: 'a rebound name', headers: { host: 'evil.example' }, answered: false },
])('$name is answered: $answered', async ({ headers, answered }) => {
  const preload = new URL('./preload.mjs', import.meta.url).href
  const child = spawn(process.execPath, ['--import', preload, '-e', SERVER])
  try {
    const [port] = (await once(child.stdout, 'data')) as [Buffer]
    const got = await request(`http://127.0.0.1:${port.toString()}/`, { headers }).then(
      ({ body }) => body.text(),
      () => undefined,
    )
    expect(got).toBe(answered ? 'answered' : undefined)
  } finally {
    child.kill()
  }
})
