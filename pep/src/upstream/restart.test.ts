// A server that ends under an open session: calls under way are told, the session goes on with a new child that is greeted
// as the first one was, its client is told, and nothing is sent twice. Real processes, real signals.
import { appendFileSync, readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { request } from 'undici'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { CHANNEL_LOSSES_MAX, CHANNEL_LOSSES_MS } from '../limits.ts'
import {
  clientHeaders,
  countingSql,
  createTestPdp,
  EVERYTHING_VISIBLE,
  type Posted,
  post,
  type RunningTestPep,
  startTestPep,
  type TestPdp,
  toolCall,
  until,
} from '../testing.ts'

/** Writes every line it is sent to a file, says its pid, and dies when told to. */
const SCRIPT = `
const { appendFileSync, existsSync } = require('node:fs')
const file = process['env'].HEARD
if (existsSync(file + '.stop')) process.exit(1)
const say = (message) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\\n')
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  appendFileSync(file, process.pid + ' ' + line + '\\n')
  const { id, method, params } = JSON.parse(line)
  if (method === 'initialize') return say({ id, result: { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 's', version: '1' } } })
  if (method === 'tools/list') return say({ id, result: { tools: [] } })
  if (params?.name === 'pid') return say({ id, result: { content: [], pid: process.pid } })
  if (params?.name === 'ask') return say({ id: 'asked', method: 'sampling/createMessage', params: {} })
  if (params?.name === 'crash') { process.stderr.write('out of luck\\n'); setTimeout(() => process.exit(3), 50) }
})`

let folder: string
let heard: string
let pdp: TestPdp
let pep: RunningTestPep
let logged: Record<string, unknown>[] = []
/** Of the PEP's clock. */
let skewMs = 0

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cedargate-restart-'))
  heard = join(folder, 'heard')
  const none = { url: null, cwd: null, writable: null, instructions: 'withhold' as const }
  const own = { id: 'own', transport: 'stdio' as const, command: 'node', args: ['-e', SCRIPT] }
  pdp = createTestPdp([{ ...own, env: { HEARD: heard }, ...none }])
  pdp.rule = () => ({ allow: true, visible: EVERYTHING_VISIBLE })
  const destination = new Writable({
    write(line: Buffer, _encoding, done) {
      logged.push(JSON.parse(line.toString()) as Record<string, unknown>)
      done()
    },
  })
  pep = await startTestPep({
    pdp: pdp.port,
    sql: countingSql(),
    monotonic: () => performance.now() + skewMs,
    log: pino({ level: 'info' }, destination),
  })
}, 30_000)
afterAll(async () => {
  await pep.close()
  await rm(folder, { recursive: true })
})
beforeEach(async () => {
  logged = []
  pdp.outcomes.length = 0
  await rm(heard, { force: true })
  await rm(`${heard}.stop`, { force: true })
})

const INITIALIZE = {
  id: 'first',
  method: 'initialize',
  params: {
    protocolVersion: '2025-11-25',
    capabilities: { sampling: {} },
    clientInfo: { name: 'a client', version: '7' },
  },
}

type Session = {
  readonly call: (name: string, id?: string | number) => Promise<Posted>
  readonly pid: () => Promise<number>
  readonly headers: Record<string, string>
  readonly url: string
}

async function open(): Promise<Session> {
  const url = `${pep.url}/own/mcp`
  const { headers: answered } = await post(url, INITIALIZE)
  const headers = { 'mcp-session-id': String(answered['mcp-session-id']) }
  await post(url, { method: 'notifications/initialized' }, headers)
  const call = (name: string, id?: string | number) => post(url, toolCall(name, {}, id), headers)
  return { url, headers, call, pid: async () => (await call('pid')).json.result?.['pid'] as number }
}

const linesOf = async (pid: number): Promise<{ method: string; id?: unknown }[]> => {
  const lines = (await readFile(heard, 'utf8')).trim().split('\n')
  const own = lines.filter((line) => line.startsWith(`${pid} `))
  return own.map((line) => JSON.parse(line.slice(line.indexOf(' '))) as { method: string })
}
const events = (text: string): Record<string, unknown>[] =>
  [...text.matchAll(/^data: (.+)$/gm)].map(([, data = '{}']) => JSON.parse(data) as never)

test('the call in flight is told, the next one is answered by a new child, and its client hears of it first', async () => {
  const session = await open()
  const pid = await session.pid()
  const crashed = await session.call('crash', 'c')
  expect(crashed.json).toMatchObject({ id: 'c', result: { isError: true } })
  expect(crashed.text).toContain('upstream_unavailable')

  const { text, json, status } = await session.call('pid', 'next')
  expect(status).toBe(200)
  const next = json.result?.['pid'] as number
  expect(next).not.toBe(pid)
  expect(events(text)).toEqual([
    {
      jsonrpc: '2.0',
      method: 'notifications/message',
      params: {
        level: 'warning',
        logger: 'cedargate',
        data: 'the server ended and was started again; it remembers nothing of this session',
      },
    },
    { jsonrpc: '2.0', method: 'notifications/tools/list_changed' },
    { jsonrpc: '2.0', id: 'next', result: { content: [], pid: next } },
  ])
  // Greeted with the very text that was decided; what the first child was asked is not asked again.
  expect(await linesOf(next)).toEqual([
    { jsonrpc: '2.0', ...INITIALIZE },
    { jsonrpc: '2.0', method: 'notifications/initialized' },
    { jsonrpc: '2.0', ...toolCall('pid', {}, 'next') },
  ])
  await until(() => pdp.outcomes.length >= 5)
  expect(pdp.outcomes.map(({ result }) => result).toSorted()).toEqual([
    'failed', 'forwarded', 'forwarded', 'forwarded', 'forwarded',
  ]) // biome-ignore format: a list
})

test('the log has its last words, as a warning', async () => {
  const session = await open()
  await session.call('crash')
  await until(() => logged.some(({ stderr }) => stderr === 'out of luck'))
  const line = logged.find(({ stderr }) => stderr === 'out of luck')
  expect(line).toMatchObject({ level: 40, server: 'own' })
  expect(line?.['msg']).toContain('code 3')
})

test.each([
  { of: 'the child', target: (pid: number) => pid },
  { of: 'its whole group', target: (pid: number) => -pid },
])('SIGKILL of $of: the session goes on', async ({ target }) => {
  const session = await open()
  const pid = await session.pid()
  const waiting = session.call('silence', 'w')
  await until(() => readFileSync(heard, 'utf8').includes('"silence"'))
  process.kill(target(pid), 'SIGKILL')
  expect((await waiting).json).toMatchObject({ id: 'w', result: { isError: true } })
  expect(await session.pid()).not.toBe(pid)
})

test('an open stream is told, and that nobody waits for what was asked', async () => {
  const session = await open()
  const stream = await request(session.url, {
    headers: { ...clientHeaders(), accept: 'text/event-stream', ...session.headers },
  })
  let said = ''
  stream.body.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  const asking = session.call('ask', 'a')
  await until(() => said.includes('sampling/createMessage'))
  await session.call('crash')
  await asking
  await until(() => said.includes('notifications/cancelled'))
  expect(events(said).at(-1)).toMatchObject({ params: { requestId: 'asked' } })

  const pid = await session.pid()
  await until(() => said.includes('list_changed'))
  expect(said).toContain('the server ended and was started again')
  // The answer comes too late: nobody asked the new child's client anything.
  const late = { id: 'asked', result: { role: 'assistant', content: {}, model: 'm' } }
  expect((await post(session.url, late, session.headers)).status).toBe(202)
  await session.pid()
  expect((await linesOf(pid)).filter(({ id }) => id === 'asked')).toEqual([])
  stream.body.on('error', () => undefined).destroy()
})

test('what waits for no answer starts nothing', async () => {
  const session = await open()
  await session.call('crash')
  await rm(heard)
  const cancelled = { method: 'notifications/cancelled', params: { requestId: 'c' } }
  expect((await post(session.url, cancelled, session.headers)).status).toBe(202)
  await until(() => pdp.outcomes.some(({ result }) => result === 'refused'))
  await expect(readFile(heard)).rejects.toThrow('ENOENT')
})

test(`${CHANNEL_LOSSES_MAX} ends within a minute end the session; one a minute does not`, async () => {
  const session = await open()
  for (let count = 0; count < CHANNEL_LOSSES_MAX; count++) {
    expect((await session.call('crash')).status).toBe(200)
    skewMs += CHANNEL_LOSSES_MS
  }
  for (let count = 0; count < CHANNEL_LOSSES_MAX - 1; count++) {
    expect((await session.call('pid')).status).toBe(200)
    await session.call('crash')
  }
  expect((await session.call('pid')).status).toBe(200)
  await session.call('crash')
  expect((await session.call('pid')).status).toBe(404)
})

test('a server that does not start again: each call is told, and then the session is over', async () => {
  const session = await open()
  await session.call('crash')
  appendFileSync(`${heard}.stop`, '')
  for (let count = 1; count < CHANNEL_LOSSES_MAX; count++) {
    const { json } = await session.call('pid')
    expect(json.result).toMatchObject({ isError: true })
  }
  expect((await session.call('pid')).status).toBe(404)
})

test('a server that ends before it was greeted has no session', async () => {
  appendFileSync(`${heard}.stop`, '')
  const url = `${pep.url}/own/mcp`
  const { json, headers } = await post(url, INITIALIZE)
  expect(json.error).toMatchObject({ data: { code: 'upstream_unavailable' } })
  const session = { 'mcp-session-id': String(headers['mcp-session-id']) }
  expect((await post(url, toolCall('pid'), session)).status).toBe(404)
})
