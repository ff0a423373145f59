// Stdio servers as real children: one per session, nobody else's, ended with the session, the token
// or the PEP.
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { BODY_BYTES_MAX } from '../../../schemas/limits.ts'
import { META } from '../../../schemas/mcp.ts'
import type { Upstream, Visible } from '../../../schemas/pep-api.ts'
import {
  CHILD_UNREAD_BYTES_MAX,
  DISCOVERY_COOLDOWN_MS,
  SESSION_WAITING_MESSAGES_MAX,
  SESSIONS_PER_GRANT_MAX,
} from '../limits.ts'
import {
  clientHeaders,
  countingSql,
  createTestPdp,
  digestOf,
  grantOf,
  modern,
  post,
  type RunningTestPep,
  startTestPep,
  type TestPdp,
  testToken,
  toolCall,
  until,
} from '../testing.ts'

/**
 * A server that does on `tools/call` what the tool's name says. Its answers are lines, and so is
 * its noise.
 */
const SCRIPT = `
const print = (text) => process.stdout.write(text + '\\n')
const say = (message) => print(JSON.stringify({ jsonrpc: '2.0', ...message }))
let waitingForRoots
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params, error } = JSON.parse(line)
  if (method === 'initialize') return say({ id, result: { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 's', version: '1' } } })
  if (method === 'tools/list') return say({ id, result: { tools: [{ name: 'env' }, { name: 'hidden' }] } })
  if (params?.name === 'changed') { say({ method: 'notifications/tools/list_changed' }); return say({ id, result: { content: [] } }) }
  if (method === undefined) return say({ id: waitingForRoots, result: { content: [], error } })
  if (method !== 'tools/call') return
  if (params.name === 'env') return say({ id, result: { content: [], env: process['env'], argv: process.argv, execArgv: process.execArgv, pid: process.pid } })
  if (params.name === 'slow') return setTimeout(() => say({ id, result: { content: [] } }), 300)
  if (params.name === 'crash') return process.exit(3)
  if (params.name === 'chatter') {
    say({ id, result: { content: [] } })
    for (let n = 0; n < params.arguments.count; n++) say({ method: 'notifications/message', params: { level: 'info', data: 'word ' + n } })
    return
  }
  if (params.name === 'noise') { print('not json'); print('[1]'); return say({ id, result: { content: [] } }) }
  if (params.name === 'nonsense') return say({ id, result: 'text' })
  if (params.name === 'flood') return process.stdout.write('x'.repeat(17 * 1024 * 1024))
  if (params.name === 'roots') { waitingForRoots = id; return say({ id: 'r', method: 'roots/list' }) }
  if (params.name === 'progress') {
    say({ method: 'notifications/progress', params: { progressToken: params._meta.progressToken, progress: 1 } })
    return say({ id, result: { content: [] } })
  }
})`

const VISIBLE: Visible = { tools: ['read_text_file', 'env'], resources: true, prompts: true }
let folder: string
/** Of the PEP's clock. */
let skewMs = 0
const monotonic = () => performance.now() + skewMs
let pep: RunningTestPep
let pdp: TestPdp

const stdio = (id: string, command: string, args: string[]): Upstream => {
  const none = { url: null, cwd: null, writable: null }
  const env = { DECLARED: 'yes' }
  return { id, transport: 'stdio', command, args, env, ...none, instructions: 'withhold' }
}

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'cedargate-stdio-')))
  await writeFile(join(folder, 'a.txt'), 'hello')
  pdp = createTestPdp([
    stdio('files', 'mcp-server-filesystem', [folder]),
    stdio('script', 'node', ['-e', SCRIPT]),
    stdio('missing', 'no-such-command', []),
  ])
  pdp.reviewed = ['read_text_file', 'env'].map((name) => ({ name, inputSchema: {} }))
  pep = await startTestPep({ pdp: pdp.port, sql: countingSql(), monotonic })
}, 30_000)
afterAll(async () => {
  await pep.close()
  await rm(folder, { recursive: true })
})
beforeEach(() => {
  pdp.rule = () => ({ allow: true, visible: VISIBLE })
  pdp.outcomes.length = 0
})

const CAPABILITIES = { roots: { listChanged: true } }
const INITIALIZE = {
  id: 0,
  method: 'initialize',
  params: {
    protocolVersion: '2025-11-25',
    capabilities: CAPABILITIES,
    clientInfo: { name: 'c', version: '1' },
  },
}

async function open(
  server: string,
  seed = 1,
): Promise<{ url: string; headers: Record<string, string> }> {
  const url = `${pep.url}/${server}/mcp`
  const authorization = `Bearer ${testToken(seed)}`
  const { headers: answered } = await post(url, INITIALIZE, { authorization })
  const headers = { authorization, 'mcp-session-id': String(answered['mcp-session-id']) }
  await post(url, { method: 'notifications/initialized' }, headers)
  return { url, headers }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

async function pidOf({ url, headers }: Awaited<ReturnType<typeof open>>): Promise<number> {
  const { json } = await post(url, toolCall('env'), headers)
  return json.result?.['pid'] as number
}

test('a call, a list and an outcome', async () => {
  const { url, headers } = await open('files')
  const args = { path: join(folder, 'a.txt') }
  const called = await post(url, toolCall('read_text_file', args), headers)
  expect(called.json.result).toMatchObject({ content: [{ type: 'text', text: 'hello' }] })
  expect(called.headers['cedargate-decision']).toMatch(/^[0-9a-f-]{36}$/)
  const listed = await post(url, { id: 2, method: 'tools/list' }, headers)
  expect(listed.json.result?.['tools']).toMatchObject([{ name: 'read_text_file' }])
  const failed = await post(url, toolCall('read_text_file', { path: '/etc/none' }), headers)
  expect(failed.json.result).toMatchObject({ isError: true })
  await until(() => pdp.outcomes.length >= 5)
  const byCall = pdp.outcomes.filter(({ bytes }) => bytes > 0)
  expect(byCall.map(({ result, isError }) => [result, isError])).toEqual([
    ['forwarded', false],
    ['forwarded', false],
    ['forwarded', false],
    ['forwarded', true],
  ])
})

test('what reaches the child is the text that was decided on', async () => {
  const { url, headers } = await open('script')
  pdp.calls.length = 0
  await post(
    url,
    { id: 3, method: 'tools/call', params: { name: 'env', __proto__x: 1, z: { b: 1, a: 2 } } },
    headers,
  )
  expect(pdp.calls.map(({ message }) => JSON.parse(message))).toMatchObject([
    { params: { z: { b: 1, a: 2 } } },
  ])
})

test('a modern request gets the empty 400 that leads to initialize, after it was decided', async () => {
  const { headers } = modern({ id: 1, method: 'server/discover', params: {} })
  const _meta = { [META.protocolVersion]: '2026-07-28', [META.clientCapabilities]: {} }
  const message = { id: 1, method: 'server/discover', params: { _meta } }
  const url = `${pep.url}/files/mcp`
  pdp.calls.length = 0
  expect(await post(url, message, headers)).toMatchObject({ status: 400, text: '' })
  expect(pdp.calls.map(({ method, era }) => [method, era])).toEqual([['server/discover', 'modern']])
  pdp.rule = () => ({ reject: 'unauthenticated' })
  expect((await post(url, message, headers)).status).toBe(401)
})

test('a child inherits nothing but PATH, HOME, LANG and TMPDIR', async () => {
  const { url, headers } = await open('script')
  const { json } = await post(url, toolCall('env'), headers)
  const names = Object.keys(json.result?.['env'] as object).toSorted()
  expect(names.filter((name) => !['HOME', 'LANG', 'TMPDIR'].includes(name))).toEqual([
    'DECLARED',
    'NODE_OPTIONS',
    'PATH',
  ])
})

test('nothing of a client is in the arguments or the environment of its child', async () => {
  const url = `${pep.url}/script/mcp`
  const canary = 'canary-7f3a'
  const own = { authorization: `Bearer ${testToken(5)}`, 'x-forwarded-for': canary }
  const sent = { ...own, 'user-agent': canary, traceparent: canary, cookie: canary, path: canary }
  const clientInfo = { name: canary, version: canary }
  const params = { ...INITIALIZE.params, clientInfo, env: { PATH: canary }, args: [canary] }
  const { headers } = await post(`${url}?arg=${canary}`, { ...INITIALIZE, params }, sent)
  const session = { ...sent, 'mcp-session-id': String(headers['mcp-session-id']) }
  const { json } = await post(url, toolCall('env', { command: canary }), session)
  const { env, argv, execArgv } = json.result ?? {}
  const theirs = JSON.stringify([env, argv, execArgv])
  expect(theirs).toContain('DECLARED')
  for (const word of [canary, testToken(5), digestOf(testToken(5))])
    expect(theirs).not.toContain(word)
})

describe('a session', () => {
  test('is a child of its own, and worth nothing to another token', async () => {
    const [one, two] = [await open('script'), await open('script')]
    expect(await pidOf(one)).not.toBe(await pidOf(two))
    const stolen = { ...one.headers, authorization: `Bearer ${testToken(2)}` }
    expect((await post(one.url, toolCall('env'), stolen)).status).toBe(404)
  })

  test('is needed for anything but initialize', async () => {
    const { status, json } = await post(`${pep.url}/script/mcp`, toolCall('env'))
    expect(status).toBe(404)
    expect(json.error?.data['code']).toBe('unknown_session')
  })

  test.each([
    { how: 'DELETE', seed: 3 },
    { how: 'revocation', seed: 4 },
  ])('ends its child by $how, and is unknown then', async ({ how, seed }) => {
    const session = await open('script', seed)
    const pid = await pidOf(session)
    const headers = { ...clientHeaders(testToken(seed)), ...session.headers }
    if (how === 'DELETE') {
      const deleted = await request(session.url, { method: 'DELETE', headers })
      await deleted.body.dump()
    } else pdp.tell({ kind: 'revoked', grant: grantOf(testToken(seed)) })
    await until(() => !isRunning(pid))
    const { status } = await post(session.url, toolCall('env'), session.headers)
    expect(status).toBe(how === 'DELETE' ? 404 : 401)
  })

  test('with a child that floods: the child is ended', async () => {
    const session = await open('script')
    const pid = await pidOf(session)
    const { json } = await post(session.url, toolCall('flood', {}, 'f'), session.headers)
    expect(json).toMatchObject({ id: 'f', result: { isError: true } })
    expect(isRunning(pid)).toBe(false)
  })
})

describe('what a child says', () => {
  test('that is no message is dropped', async () => {
    const { url, headers } = await open('script')
    expect((await post(url, toolCall('noise'), headers)).json.result).toEqual({ content: [] })
  })

  test('that is no answer becomes an error, and nobody waits for ever', async () => {
    const { url, headers } = await open('script')
    const { json } = await post(url, toolCall('nonsense'), headers)
    expect(json.result).toMatchObject({ isError: true })
    expect(JSON.stringify(json.result)).toContain('upstream_invalid')
  })

  test('of progress goes to the call it belongs to', async () => {
    const { url, headers } = await open('script')
    const params = { name: 'progress', _meta: { progressToken: 'p1' } }
    const { text } = await post(url, { id: 4, method: 'tools/call', params }, headers)
    expect(text).toContain('"progressToken":"p1"')
  })

  test('without being asked waits for the next answer, and of too much the first is dropped', async () => {
    const { url, headers } = await open('script')
    const count = SESSION_WAITING_MESSAGES_MAX + 1
    await post(url, toolCall('chatter', { count }), headers)
    await sleep(500) // It says them after its answer.
    const { text, json } = await post(url, toolCall('env'), headers)
    const words = [...text.matchAll(/"word (\d+)"/g)].map(([, n]) => Number(n))
    expect(words).toEqual(Array.from({ length: SESSION_WAITING_MESSAGES_MAX }, (_, n) => n + 1))
    expect(json.result?.['pid']).toBeGreaterThan(0)
  })

  test('when it asks for roots, the gateway says no: a client widens no sandbox', async () => {
    const { url, headers } = await open('script')
    const { text, json } = await post(url, toolCall('roots'), headers)
    expect(json.result?.['error']).toMatchObject({ code: -32601 })
    expect(text).not.toContain('roots/list')
  })
})

test('a child that says its tools changed is looked at, on another child', async () => {
  const { url, headers } = await open('script')
  pdp.definitions.clear()
  skewMs += DISCOVERY_COOLDOWN_MS
  await post(url, toolCall('changed'), headers)
  await until(() => pdp.definitions.has('script'))
  expect(pdp.definitions.get('script')).toEqual(['env', 'hidden'])
})

test('two requests under one id at once: the second is turned away', async () => {
  const { url, headers } = await open('script')
  const both = await Promise.all([1, 2].map(() => post(url, toolCall('slow'), headers)))
  const refused = both.filter(({ text }) => text.includes('not_a_message'))
  expect(refused).toHaveLength(1)
  expect(refused[0]?.json.result?.['isError']).toBe(true)
  await until(() => pdp.outcomes.filter(({ result }) => result === 'refused').length === 1)
})

test('what the transport refuses is worded by the gateway, and was not forwarded', async () => {
  const { url, headers } = await open('script')
  await until(() => pdp.outcomes.length >= 2)
  pdp.outcomes.length = 0
  const params = { name: 'env', arguments: {}, _meta: { progressToken: { a: 1 } } }
  const { status, json } = await post(url, { id: 5, method: 'tools/call', params }, headers)
  expect([status, json.result?.['isError']]).toEqual([200, true])
  const refused = () => pdp.outcomes.find(({ result }) => result === 'refused')
  await until(() => refused() !== undefined)
  expect(refused()).toMatchObject({ status: 400, isError: true })
})

test('one grant has its share of children: the session after that ends its oldest, and nobody else’s', async () => {
  const others = await open('script', 2)
  const pid = await pidOf(others)
  const first = await open('script', 3)
  const firstPid = await pidOf(first)
  const rest = []
  for (let count = 1; count < SESSIONS_PER_GRANT_MAX; count++) rest.push(await open('script', 3))
  expect(isRunning(firstPid)).toBe(true)
  await open('script', 3)
  await until(() => !isRunning(firstPid))
  expect((await post(first.url, toolCall('env'), first.headers)).status).toBe(404)
  expect(isRunning(pid)).toBe(true)
  expect(isRunning(await pidOf(rest[0] ?? first))).toBe(true)
}, 30_000)

test('what a child does not read is refused, and does not pile up', async () => {
  const session = await open('script')
  const { url, headers } = session
  process.kill(await pidOf(session), 'SIGSTOP')
  const params = { requestId: 1, reason: 'x'.repeat(BODY_BYTES_MAX - 1_024) }
  const tell = () => post(url, { method: 'notifications/cancelled', params }, headers)
  const statuses: number[] = []
  const count = CHILD_UNREAD_BYTES_MAX / BODY_BYTES_MAX + 2
  for (let sent = 0; sent < count; sent++) statuses.push((await tell()).status)
  expect(statuses.slice(0, -1)).toEqual(Array.from({ length: count - 1 }, () => 202))
  expect(statuses.at(-1)).toBeGreaterThanOrEqual(500)
})

test('a command that is not there is unavailable', async () => {
  const { json } = await post(`${pep.url}/missing/mcp`, INITIALIZE)
  expect(json.error?.data['code']).toBe('upstream_unavailable')
})

test('the end of the PEP is the end of every child', async () => {
  const other = await startTestPep({ pdp: pdp.port, sql: countingSql() })
  const url = `${other.url}/script/mcp`
  const { headers } = await post(url, INITIALIZE)
  const session = { url, headers: { 'mcp-session-id': String(headers['mcp-session-id']) } }
  const pid = await pidOf(session)
  expect(isRunning(pid)).toBe(true)
  await other.close()
  expect(isRunning(pid)).toBe(false)
})
