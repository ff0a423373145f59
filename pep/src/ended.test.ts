// What a grant holds open ends with it: real children are gone, streams closed, and nothing begins that was allowed before.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { PepEvent, Upstream } from '../../schemas/pep-api.ts'
import {
  answerEvents,
  clientHeaders,
  countingSql,
  createTestPdp,
  EVERYTHING_VISIBLE,
  grantOf,
  openTestUpstream,
  post,
  type RunningTestPep,
  startTestPep,
  type TestPdp,
  type TestUpstream,
  testToken,
  toolCall,
  until,
} from './testing.ts'
import { unisolated } from './upstream/child.ts'

/** It ends by SIGKILL alone, notes every process of it in a file, and greets none but the first of `greeted`. */
const STUBBORN = `
const { appendFileSync, readFileSync } = require('node:fs')
const [file, greeted] = process.argv.slice(1)
appendFileSync(file, process.pid + '\\n')
const own = readFileSync(file, 'utf8').trim().split('\\n').length
process.on('SIGTERM', () => undefined)
setInterval(() => undefined, 1000)
const say = (message) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\\n')
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line)
  if (method === 'initialize' && own <= Number(greeted)) say({ id, result: { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 's', version: '1' } } })
  if (method === 'tools/list') say({ id, result: { tools: [] } })
  if (params?.name === 'crash') process.kill(process.pid, 'SIGKILL')
  if (params?.name === 'echo') say({ id, result: { content: [], pid: process.pid } })
})`

let folder: string
let pdp: TestPdp
let pep: RunningTestPep
let server: TestUpstream
let plainly: TestUpstream['answer']
const sql = { ...countingSql(), onWrite: async (): Promise<void> => undefined }
/** Children wait for it to start. */
let gate: Promise<void> = Promise.resolve()

/** The PEP's own look is the first process of each. */
const stubborn = (id: string, greeted: number): Upstream => {
  const args = ['-e', STUBBORN, join(folder, id), String(greeted)]
  const none = { url: null, cwd: null, writable: null, env: {} }
  return { id, transport: 'stdio', command: 'node', args, ...none, instructions: 'withhold' }
}
const pidsOf = async (id: string): Promise<number[]> =>
  (await readFile(join(folder, id), 'utf8')).trim().split('\n').map(Number)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cedargate-ended-'))
  server = await openTestUpstream('demo')
  plainly = server.answer
  const children = [
    stubborn('held', 99),
    stubborn('again', 2),
    stubborn('mute', 1),
    stubborn('late', 99),
  ]
  pdp = createTestPdp([server.upstream, ...children])
  pep = await startTestPep({
    pdp: pdp.port,
    sql: {
      dialect: 'pglite',
      query: (text, params) => sql.onWrite().then(() => sql.query(text, params)),
    },
    isolation: (command) => gate.then(() => unisolated(command)),
  })
}, 60_000)
afterAll(async () => {
  await pep.close()
  await server.close()
  await rm(folder, { recursive: true })
})
beforeEach(() => {
  server.answer = plainly
  server.reached.length = 0
  pdp.identified.length = 0
  pdp.outcomes.length = 0
  pdp.corrupt = (results) => ({ results })
  pdp.rule = () => ({ allow: true, visible: EVERYTHING_VISIBLE })
  pdp.lists = () => EVERYTHING_VISIBLE
  sql.onWrite = () => Promise.resolve()
  gate = Promise.resolve()
})

const INITIALIZE = {
  id: 0,
  method: 'initialize',
  params: {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'c', version: '1' },
  },
}
const urlOf = (id: string): string => `${pep.url}/${id}/mcp`
let lastSeed = 100
async function open(id: string) {
  lastSeed += 1
  const token = testToken(lastSeed)
  const authorization = `Bearer ${token}`
  const { headers } = await post(urlOf(id), INITIALIZE, { authorization })
  const session = { authorization, 'mcp-session-id': String(headers['mcp-session-id']) }
  await post(urlOf(id), { method: 'notifications/initialized' }, session)
  return { token, session }
}
const tell = (kind: 'revoked' | 'changed' | 'standing', token: string): void => {
  const event: PepEvent = { kind, grant: grantOf(token) }
  pdp.tell(event)
}
function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
async function goneWithin(ms: number, pid: number): Promise<boolean> {
  for (const start = performance.now(); performance.now() - start < ms; await sleep(10))
    if (!isRunning(pid)) return true
  return false
}

describe.each(['revoked', 'changed'] as const)('%s', (kind) => {
  const after = kind === 'revoked' ? 401 : 200

  test('a child that will not end is gone within a second, and its session with it', async () => {
    const { token, session } = await open('held')
    const { json } = await post(urlOf('held'), toolCall(), session)
    const pid = json.result?.['pid'] as number
    const other = await open('held')
    tell(kind, token)
    expect(await goneWithin(1_000, pid)).toBe(true)
    const { authorization } = session
    const dead = await post(urlOf('held'), toolCall(), session)
    expect(dead.status).toBe(kind === 'revoked' ? 401 : 404)
    expect((await post(urlOf('held'), INITIALIZE, { authorization })).status).toBe(after)
    expect((await post(urlOf('held'), toolCall(), other.session)).status).toBe(200)
  })

  test.each([
    { name: 'a GET stream', method: 'GET' as const, isCut: true },
    { name: 'an answer on its way', method: 'POST' as const, isCut: kind === 'revoked' },
  ])('$name is cut within a second: $isCut', async ({ method, isCut }) => {
    const reply = Promise.withResolvers<ServerResponse>()
    server.answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': open\n\n')
      reply.resolve(response)
    }
    lastSeed += 1
    const token = testToken(lastSeed)
    const body = method === 'POST' ? JSON.stringify({ jsonrpc: '2.0', ...toolCall() }) : null
    const answer = await request(urlOf('demo'), { method, headers: clientHeaders(token), body })
    const ended = new Promise((resolve) => answer.body.once('close', () => resolve('closed')))
    answer.body.on('error', () => undefined).resume()
    tell(kind, token)
    expect(await Promise.race([ended, sleep(isCut ? 1_000 : 200)])).toBe(
      isCut ? 'closed' : undefined,
    )
    const response = await reply.promise
    response.end()
    server.answer = plainly
    pdp.identified.length = 0
    const authorization = `Bearer ${token}`
    expect((await post(urlOf('demo'), toolCall(), { authorization })).status).toBe(after)
    // Whose it is is asked again.
    expect(pdp.identified).toHaveLength(1)
  })
})

describe('what its user or agent may do is other now', () => {
  test('a child and its session stay', async () => {
    const { token, session } = await open('held')
    const { json } = await post(urlOf('held'), toolCall(), session)
    tell('standing', token)
    await sleep(200)
    expect(isRunning(json.result?.['pid'] as number)).toBe(true)
    expect((await post(urlOf('held'), toolCall(), session)).status).toBe(200)
  })

  test.each([
    { name: 'is closed when nothing is shown to it any more', visible: null, isCut: true },
    { name: 'stays when a list still is', visible: EVERYTHING_VISIBLE, isCut: false },
  ])('a stream $name', async ({ visible, isCut }) => {
    server.answer = (_request, response) =>
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': open\n\n')
    lastSeed += 1
    const token = testToken(lastSeed)
    const answer = await request(urlOf('demo'), { method: 'GET', headers: clientHeaders(token) })
    const ended = new Promise((resolve) => answer.body.once('close', () => resolve('closed')))
    answer.body.on('error', () => undefined).resume()
    pdp.lists = () => visible
    tell('standing', token)
    expect(await Promise.race([ended, sleep(isCut ? 1_000 : 200)])).toBe(isCut ? 'closed' : undefined)
    answer.body.destroy()
    server.answer = plainly
  }) // biome-ignore format: a table
})

test('what is in force again may call again: an agent was enabled, a user reinstated', async () => {
  lastSeed += 1
  const token = testToken(lastSeed)
  const call = () => post(urlOf('demo'), toolCall(), { authorization: `Bearer ${token}` })
  for (const [kind, status] of [['revoked', 401], ['changed', 200], ['revoked', 401], ['standing', 200]] as const) {
    tell(kind, token)
    expect((await call()).status).toBe(status)
  }
}) // biome-ignore format: a table

describe('a child', () => {
  test('that is greeted again in the place of a lost one is gone too', async () => {
    const { token, session } = await open('again')
    await post(urlOf('again'), toolCall('crash'), session)
    const called = post(urlOf('again'), toolCall(), session)
    await until(() => pdp.calls.length > 0)
    let pids = await pidsOf('again')
    for (; pids.length < 3; pids = await pidsOf('again')) await sleep(10)
    tell('revoked', token)
    expect(await goneWithin(1_000, pids[2] ?? 0)).toBe(true)
    expect((await called).status).not.toBe(500)
  })

  test('that was never greeted is gone too', async () => {
    lastSeed += 1
    const token = testToken(lastSeed)
    const asked = post(urlOf('mute'), INITIALIZE, { authorization: `Bearer ${token}` }).then(
      ({ json }) => json,
      () => ({}), // It was cut off.
    )
    let pids = await pidsOf('mute')
    for (; pids.length < 2; pids = await pidsOf('mute')) await sleep(10)
    tell('revoked', token)
    expect(await goneWithin(1_000, pids[1] ?? 0)).toBe(true)
    expect(await asked).not.toHaveProperty('result')
  })

  test('that starts when its grant is gone already is not kept', async () => {
    lastSeed += 1
    const token = testToken(lastSeed)
    const opened = Promise.withResolvers<void>()
    gate = opened.promise
    const asked = post(urlOf('late'), INITIALIZE, { authorization: `Bearer ${token}` })
    await sleep(50)
    tell('revoked', token)
    await sleep(20)
    const start = performance.now()
    opened.resolve()
    // It is answered when the child is gone.
    expect((await asked).status).toBe(401)
    expect(performance.now() - start).toBeLessThan(1_000)
    for (const pid of await pidsOf('late')) expect(isRunning(pid)).toBe(false)
  })

  test('that ends in its own time is hastened', async () => {
    const { token, session } = await open('held')
    const { json } = await post(urlOf('held'), toolCall(), session)
    const ended = request(urlOf('held'), {
      method: 'DELETE',
      headers: { ...clientHeaders(token), ...session },
    })
    await sleep(100)
    tell('revoked', token)
    expect(await goneWithin(1_000, json.result?.['pid'] as number)).toBe(true)
    await (await ended).body.dump()
  })
})

describe('between the verdict and the server', () => {
  test('a revocation is heard: nothing is sent, though it was allowed and recorded', async () => {
    lastSeed += 1
    const token = testToken(lastSeed)
    sql.onWrite = async () => {
      tell('revoked', token)
      await sleep(20)
    }
    const got = await post(urlOf('demo'), toolCall(), { authorization: `Bearer ${token}` })
    expect(got.status).toBe(401)
    expect(got.headers['www-authenticate']).toContain('the token was revoked')
    expect(server.reached).toEqual([])
    await until(() =>
      pdp.outcomes.some(({ result, status }) => result === 'refused' && status === 0),
    )
  })

  test('a change is none: what was allowed goes on', async () => {
    lastSeed += 1
    const token = testToken(lastSeed)
    sql.onWrite = async () => {
      tell('changed', token)
      await sleep(20)
    }
    const got = await post(urlOf('demo'), toolCall(), { authorization: `Bearer ${token}` })
    expect(got.status).toBe(200)
    expect(server.reached).toHaveLength(1)
  })
})

test('a verdict on the call of another grant is dropped, and whose the token is is asked again', async () => {
  lastSeed += 1
  const authorization = `Bearer ${testToken(lastSeed)}`
  const call = () => post(urlOf('demo'), toolCall(), { authorization })
  expect((await call()).status).toBe(200)
  pdp.corrupt = (results) => ({
    results: results.map((one) => ({ ...one, grant: grantOf(testToken(1)) })),
  })
  server.reached.length = 0
  pdp.identified.length = 0
  expect((await call()).text).toContain('verdict_mismatch')
  expect(server.reached).toEqual([])
  expect(pdp.identified).toEqual([])
  pdp.corrupt = (results) => ({ results })
  server.answer = (_request, response) => answerEvents(response, { id: 1, result: {} })
  expect((await call()).status).toBe(200)
  expect(pdp.identified).toHaveLength(1)
})
