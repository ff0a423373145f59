// A legacy session belongs to the grant and the server it was opened with: no other grant, server,
// or spelling of its id gets into it, over HTTP and over stdio alike.
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Gateway, startGateway } from '../harness/gateway.ts'
import { legacyText, type Request, sentOf, tell } from '../harness/mcp-request.ts'
import { open } from '../harness/raw-http.ts'

let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway({ files: true })
})
afterAll(() => gateway.stop())
beforeEach(() => gateway.upstream.reset())

const INITIALIZE = legacyText('initialize', {
  protocolVersion: '2025-11-25',
  capabilities: {},
  clientInfo: { name: 'test', version: '1' },
})
const CALLS: Readonly<Record<string, Request>> = {
  echo: { body: legacyText('tools/call', { name: 'echo', arguments: { message: 'hi' } }, 2) },
  files: {
    body: legacyText('tools/call', { name: 'read_text_file', arguments: { path: 'notes.txt' } }, 2),
  },
}
const OTHER = { echo: 'twin', files: 'echo' } as const

async function openSession(server: string, token: string): Promise<string> {
  const told = await tell(gateway, { body: INITIALIZE, path: `/${server}/mcp`, token })
  expect(told.status).toBe(200)
  return String(told.headers['mcp-session-id'])
}

describe.each(['echo', 'files'] as const)('%s', (server) => {
  let session: string
  beforeAll(async () => {
    session = await openSession(server, gateway.tokens.alice)
  })
  const inSession = (id: string, request: Request): Request => {
    return { path: `/${server}/mcp`, ...request, headers: { 'mcp-session-id': id } }
  }
  const call = (id: string, more: Request = {}) => inSession(id, { ...CALLS[server], ...more })

  test('its own token speaks in it', async () => {
    const told = await tell(gateway, call(session))
    expect(told).toMatchObject({ status: 200, said: {} })
    expect(told.body).toContain('"content"')
  })

  test.each<{ name: string; request: () => Request }>([
    { name: 'the token of somebody else', request: () => call(session, { token: gateway.tokens.bob }) },
    { name: 'an id with another letter', request: () => call(changed(session, 6)) },
    { name: 'an id with another proof', request: () => call(changed(session, session.length - 8)) },
    { name: 'an id without its proof', request: () => call(session.slice(0, session.lastIndexOf('.'))) },
    { name: 'an id with an empty proof', request: () => call(session.slice(0, session.lastIndexOf('.') + 1)) },
    { name: 'an id with more behind it', request: () => call(`${session}.x`) },
    { name: 'an id in another version', request: () => call(session.replace('v2.', 'v1.')) },
    { name: "the server's own id", request: () => call(Buffer.from(session.split('.')[3] ?? '', 'base64url').toString()) },
    { name: 'an id that nobody gave', request: () => call('00000000-0000-4000-8000-000000000000') },
    { name: 'an empty id', request: () => call('') },
    { name: 'two ids', request: () => ({ ...call(session), extra: [['mcp-session-id', session]] }) },
    { name: 'on another server', request: () => ({ ...call(session), path: `/${OTHER[server]}/mcp`, ...CALLS['echo'] }) },
    { name: 'a stream with the token of somebody else', request: () => inSession(session, { method: 'GET', token: gateway.tokens.bob }) },
    { name: 'an end by somebody else', request: () => inSession(session, { method: 'DELETE', token: gateway.tokens.bob }) },
  ])('$name: 404', async ({ request }) => {
    const before = await gateway.recorded()
    const told = await tell(gateway, request())
    expect(told).toMatchObject({ status: 404, said: { code: 'unknown_session' } })
    expect(gateway.upstream.reached).toEqual([])
    expect(await gateway.recorded()).toBe(before)
  }) // biome-ignore format: a table

  test('after all that it is still there for its own token', async () => {
    expect(await tell(gateway, call(session))).toMatchObject({ status: 200, said: {} })
  })
})

const grantOn = (server: string) =>
  gateway.pdp.admin.createGrant({
    user: 'alice',
    agent: 'demo',
    servers: [server],
    teams: [],
    expiresInMs: 60_000,
  })

test('a session ends with its grant: another grant of the same person does not inherit it', async () => {
  const first = await grantOn('files')
  const session = await openSession('files', first.token)
  await gateway.pdp.admin.revokeGrant(first.id)
  const { token } = await grantOn('files')
  const request = { path: '/files/mcp', headers: { 'mcp-session-id': session }, ...CALLS['files'] }
  expect((await tell(gateway, { ...request, token: first.token })).status).toBe(401)
  expect((await tell(gateway, { ...request, token })).status).toBe(404)
})

type Act = (id: string) => Promise<{ readonly token: string } | undefined>
const ACTS: readonly { readonly name: string; readonly act: Act }[] = [
  {
    name: 'revoked',
    act: (id) => gateway.pdp.admin.revokeGrant(id).then(() => undefined),
  },
  { name: 'rotated', act: (id) => gateway.pdp.admin.rotateGrant(id) },
]

describe.each(ACTS)('$name', ({ act }) => {
  test('a stream that is open ends within a second, and the token is 401', async () => {
    gateway.upstream.answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': open\n\n')
    }
    const { id, token } = await grantOn('echo')
    const stream = await open(sentOf(gateway, { method: 'GET', token }))
    const ended = new Promise((resolve) => stream.once('close', resolve))
    stream.on('error', () => undefined).resume()
    await act(id)
    const late = sleep(1_000).then(() => 'still open')
    expect(await Promise.race([ended, late])).not.toBe('still open')
    expect((await tell(gateway, { ...CALLS['echo'], token })).status).toBe(401)
  })

  test('a child that is open is gone within a second', async () => {
    const { id, token } = await grantOn('files')
    const before = await childrenOf(process.pid)
    const session = await openSession('files', token)
    const own = (await childrenOf(process.pid)).filter((pid) => !before.includes(pid))
    expect(own).toHaveLength(1)
    const next = await act(id)
    const start = performance.now()
    for (let left = own; left.length > 0; await sleep(10)) {
      left = (await childrenOf(process.pid)).filter((pid) => own.includes(pid))
      expect(performance.now() - start).toBeLessThan(1_000)
    }
    const request = {
      path: '/files/mcp',
      headers: { 'mcp-session-id': session },
      ...CALLS['files'],
    }
    expect((await tell(gateway, { ...request, token })).status).toBe(401)
    // Whoever has the grant now has none of its sessions; nobody has one that was revoked.
    const { status } = await tell(gateway, { ...request, token: next?.token ?? token })
    expect(status).toBe(next === undefined ? 401 : 404)
  })
})

test('a session of a server over HTTP goes on with the next token of its grant', async () => {
  gateway.upstream.answer = (_request, response) => {
    response.setHeader('mcp-session-id', 'session-of-the-server')
    response.setHeader('content-type', 'application/json')
    response.end('{"jsonrpc":"2.0","id":1,"result":{}}')
  }
  const { id, token } = await grantOn('echo')
  const session = await openSession('echo', token)
  const next = await gateway.pdp.admin.rotateGrant(id)
  gateway.upstream.reset()
  const request = { headers: { 'mcp-session-id': session }, ...CALLS['echo'] }
  expect((await tell(gateway, { ...request, token: next?.token ?? '' })).status).toBe(200)
  expect(gateway.upstream.reached[0]?.headers['mcp-session-id']).toBe('session-of-the-server')
})

/** Ids of processes that are running or not yet waited for. */
async function childrenOf(pid: number): Promise<string[]> {
  const tasks = await readdir(`/proc/${pid}/task`)
  const lists = tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, 'utf8'))
  return (await Promise.all(lists)).flatMap((list) => list.split(' ').filter((id) => id !== ''))
}

/** The same text with another letter at `at`. */
function changed(text: string, at: number): string {
  return `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`
}
