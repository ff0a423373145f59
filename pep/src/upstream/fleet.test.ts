// Two PEPs of one fleet: a session of a server over HTTP goes through both, one over a channel only through the PEP that
// holds it; the other says at once that it does not.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Upstream } from '../../../schemas/pep-api.ts'
import {
  answerJson,
  countingSql,
  createTestPdp,
  openTestUpstream,
  parsed,
  post,
  type RunningTestPep,
  startTestPep,
  type TestPdp,
  type TestUpstream,
  toolCall,
} from '../testing.ts'

const SCRIPT = `
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method } = JSON.parse(line)
  const result = method === 'initialize' ? { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 's', version: '1' } } : { content: [], pid: process.pid }
  if (id !== undefined) process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id, result }) + '\\n')
})`
const OWN: Upstream = {
  id: 'own',
  transport: 'stdio',
  command: 'node',
  args: ['-e', SCRIPT],
  env: {},
  url: null,
  cwd: null,
  writable: null,
  instructions: 'withhold',
}
const INITIALIZE = {
  id: 0,
  method: 'initialize',
  params: {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'c', version: '1' },
  },
}

let remote: TestUpstream
let peps: RunningTestPep[]
let pdps: TestPdp[]
beforeAll(async () => {
  remote = await openTestUpstream('remote')
  remote.answer = (request, response) => {
    const { id, method } = parsed(request)
    if (method === 'initialize') response.setHeader('mcp-session-id', 'of-the-server')
    if (id === undefined) response.writeHead(202).end()
    else
      answerJson(response, { id, result: { session: request.headers['mcp-session-id'] ?? null } })
  }
  pdps = [1, 2].map(() => createTestPdp([OWN, remote.upstream]))
  peps = await Promise.all(pdps.map(({ port }) => startTestPep({ pdp: port, sql: countingSql() })))
}, 30_000)
afterAll(async () => {
  await Promise.all(peps.map(({ close }) => close()))
  await remote.close()
})

/** A session begun through the first; then a call through each. */
async function throughBoth(server: string) {
  const urls = peps.map(({ url }) => `${url}/${server}/mcp`)
  const { headers } = await post(urls[0] ?? '', INITIALIZE)
  const session = { 'mcp-session-id': String(headers['mcp-session-id']) }
  const answers = await Promise.all(urls.map((url) => post(url, toolCall('t'), session)))
  return { session: session['mcp-session-id'], answers, urls }
}

test('a session over HTTP is no PEP’s own', async () => {
  const { answers } = await throughBoth('remote')
  expect(answers.map(({ json }) => json.result)).toEqual([
    { session: 'of-the-server' },
    { session: 'of-the-server' },
  ])
})

test('a session over a channel is the PEP’s that holds it: elsewhere its client begins again', async () => {
  const { answers, session, urls } = await throughBoth('own')
  expect(answers.map(({ status }) => status)).toEqual([200, 404])
  expect(answers[1]?.json.error?.data['code']).toBe('unknown_session')
  const { headers } = await post(urls[1] ?? '', INITIALIZE)
  const again = { 'mcp-session-id': String(headers['mcp-session-id']) }
  expect((await post(urls[1] ?? '', toolCall('t'), again)).status).toBe(200)

  const named = [session, again['mcp-session-id']].map((bound) => {
    const value = Buffer.from(bound.split('.')[3] ?? '', 'base64url').toString()
    return value.split('.')
  })
  expect(named.map((parts) => parts.length)).toEqual([2, 2])
  expect(named[0]?.[0]).not.toBe(named[1]?.[0])
  const { headers: second } = await post(urls[0] ?? '', INITIALIZE)
  const other = String(second['mcp-session-id']).split('.')[3] ?? ''
  expect(Buffer.from(other, 'base64url').toString().split('.')[0]).toBe(named[0]?.[0])
})
