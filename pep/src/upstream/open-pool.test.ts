// Where servers of the bundle may be: real servers on this machine, and names that lead there only because the test says so.
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Lookup } from '../../../schemas/dial.ts'
import type { Upstream } from '../../../schemas/pep-api.ts'
import {
  clientHeaders,
  countingSql,
  createTestPdp,
  httpUpstream,
  openTestUpstream,
  post,
  type RunningTestPep,
  startTestPep,
  type TestUpstream,
  testToken,
  toolCall,
} from '../testing.ts'

let server: TestUpstream
let pep: RunningTestPep
/** Where names lead. */
let leads: string[] = ['127.0.0.1']
const logged: string[] = []
let loggedAtStart = ''

const lookup: Lookup = (_name, _options, callback) => {
  callback(null, leads.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))) // biome-ignore format: short
}
const log = pino(
  { level: 'info' },
  new Writable({
    write(line, _encoding, done) {
      logged.push(String(line))
      done()
    },
  }),
)

const at = (id: string, url: string, more: Partial<Upstream> = {}): Upstream => {
  return { ...httpUpstream(id, url), ...more }
}

beforeAll(async () => {
  server = await openTestUpstream('plain')
  const { port } = new URL(server.upstream.url ?? '')
  const sse = { transport: 'sse' } as const
  const own = { command: 'node', args: ['-e', 'setInterval(() => {}, 1000)'] }
  const pdp = createTestPdp([
    at('literal', `http://127.0.0.1:${port}/mcp`),
    at('spelled', `http://0x7f.1:${port}/mcp`),
    at('localhost', `http://localhost:${port}/mcp`),
    at('named', `https://tools.test:${port}/mcp`),
    at('plaintext', `http://tools.test:${port}/mcp`),
    at('allowed', `http://tools.test:${port}/mcp`, { private: true }),
    at('sse', `https://tools.test:${port}/sse`, sse),
    at('metadata', 'http://169.254.169.254/mcp', { private: true }),
    at('metadata-sse', 'http://[fe80::1]/mcp', { ...sse, private: true }),
    at('secret', `http://who:s3cret-pa55@127.0.0.1:${port}/mcp`),
    at('own', 'http://10.0.0.5:${PORT}/mcp', own),
  ])
  pep = await startTestPep({ pdp: pdp.port, sql: countingSql(), lookup, log })
  loggedAtStart = logged.join('')
})
afterAll(async () => {
  await pep.close()
  await server.close()
})
beforeEach(() => {
  leads = ['127.0.0.1']
  server.reached.length = 0
  logged.length = 0
})

const INITIALIZE = {
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'c', version: '1' } },
} // biome-ignore format: short
/** `reached`, or what the client got, which must not tell where the server is. */
const call = async (id: string, message: object = toolCall()) => {
  const { authorization = '' } = clientHeaders(testToken(1))
  const answer = await post(`${pep.url}/${id}/mcp`, message, { authorization })
  expect(answer.text).not.toMatch(/127\.0\.0\.1|169\.254|private|s3cret/)
  return server.reached.length > 0 ? 'reached' : answer.text
}

describe('a server', () => {
  test.each(['literal', 'spelled', 'localhost', 'allowed'])('%s: reached', async (id) => {
    expect(await call(id)).toBe('reached')
  })

  test.each<{ id: string; message?: object; says: RegExp }>([
    { id: 'named', says: /tools\.test leads to a private address, which wants `private: true` in its server\.yaml/ },
    { id: 'plaintext', says: /tools\.test:\d+ is not dialled over http; use https, or `private: true` in its server\.yaml/ },
    { id: 'sse', message: INITIALIZE, says: /tools\.test leads to a private address, which wants `private: true` in its server\.yaml/ },
    { id: 'metadata', says: /169\.254\.169\.254 leads to an address that is never dialled/ },
    { id: 'metadata-sse', message: INITIALIZE, says: /\[fe80::1\] leads to an address that is never dialled/ },
    { id: 'secret', says: /a URL with a user name or a password is not dialled: 127\.0\.0\.1/ },
  ])('$id: upstream_unavailable, and why in the log', async ({ id, message, says }) => {
    expect(await call(id, message)).toContain('upstream_unavailable')
    expect(logged.join('')).toMatch(says)
    expect(logged.join('')).not.toContain('s3cret')
  }) // biome-ignore format: a table

  test('that the PEP starts is spoken to on this machine alone', async () => {
    expect(await call('own')).toContain('upstream_unavailable')
    expect(loggedAtStart).toMatch(/10\.0\.0\.5:\d+ is not on this machine.*"server":"own"/)
  })
})

test('a name is judged by every address it leads to', async () => {
  const mixed = [['1.1.1.1', '127.0.0.1'], ['127.0.0.1', '2606:4700:4700::1111'], ['::ffff:7f00:1']] // biome-ignore format: short
  for (const addresses of mixed) {
    leads = addresses
    expect(await call('named')).toContain('upstream_unavailable')
  }
})
