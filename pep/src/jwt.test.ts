// What comes with a JWT: a newer one of the same grant goes on with what the older one began, and what stays open ends with
// the JWT that opened it.
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { JWT_TOLERANCE_SECONDS } from '../../schemas/limits.ts'
import {
  answerJson,
  clientHeaders,
  countingSql,
  createTestPdp,
  digestOf,
  EVERYTHING_VISIBLE,
  modern,
  openTestUpstream,
  post,
  type RunningTestPep,
  startTestPep,
  type TestPdp,
  type TestUpstream,
  testJwt,
  toolCall,
  until,
} from './testing.ts'

let pdp: TestPdp
let pep: RunningTestPep
let server: TestUpstream
let plainly: TestUpstream['answer']
let url: string
let identify: TestPdp['identify']
beforeAll(async () => {
  server = await openTestUpstream('demo')
  plainly = server.answer
  pdp = createTestPdp([server.upstream])
  pep = await startTestPep({ pdp: pdp.port, sql: countingSql() })
  url = `${pep.url}/demo/mcp`
  identify = pdp.identify
})
afterAll(async () => {
  await pep.close()
  await server.close()
})
beforeEach(() => {
  server.answer = plainly
  server.reached.length = 0
  pdp.calls.length = 0
  pdp.identified.length = 0
  pdp.identify = identify
  pdp.rule = () => ({ allow: true, visible: EVERYTHING_VISIBLE })
})

/** Good for `ms` more, as the PEP counts. */
const lasting = (sub: string, ms: number): string =>
  testJwt({ sub, exp: (Date.now() + ms) / 1000 - JWT_TOLERANCE_SECONDS })
const HOUR_MS = 60 * 60_000
const by = (jwt: string) => ({ authorization: `Bearer ${jwt}` })

test('it goes to the PDP with every message, and nowhere else', async () => {
  const jwt = lasting('alice', HOUR_MS)
  await post(url, toolCall(), by(jwt))
  await post(url, toolCall(), by(jwt))
  expect(pdp.identified).toEqual([{ token: digestOf(jwt), jwt, sourceIp: '127.0.0.1' }])
  expect(pdp.calls.map(({ token, jwt: sent }) => [token, sent])).toEqual([
    [digestOf(jwt), jwt],
    [digestOf(jwt), jwt],
  ])
  expect(server.reached).toHaveLength(2)
  expect(JSON.stringify(server.reached)).not.toContain(jwt.split('.')[1])
})

test('a session, a task and a state go on with a newer one, and with nobody else’s', async () => {
  const [older, newer, other] = ['alice', 'alice', 'bob'].map((sub, index) => {
    return by(lasting(sub, HOUR_MS + index))
  })
  server.answer = (_request, response) => {
    response.setHeader('mcp-session-id', 'session')
    const result = { resultType: 'input_required', requestState: 'state', taskId: 'task' }
    answerJson(response, { id: 1, result })
  }
  const begun = await post(url, { id: 1, method: 'initialize', params: {} }, older)
  const session = { 'mcp-session-id': String(begun.headers['mcp-session-id']) }
  const call = modern(toolCall())
  const asked = await post(url, call.message, { ...call.headers, ...older })
  const { requestState, taskId } = asked.json.result as { requestState: string; taskId: string }
  const params = { name: 'echo', arguments: {}, requestState }
  const again = modern({ id: 2, method: 'tools/call', params })
  const tries = async (own: Record<string, string> | undefined) => [
    (await post(url, toolCall(), { ...own, ...session })).status,
    (await post(url, { id: 3, method: 'tasks/get', params: { taskId } }, own)).status,
    (await post(url, again.message, { ...again.headers, ...own })).status,
  ]
  server.reached.length = 0
  expect(await tries(newer)).toEqual([200, 200, 200])
  const [inSession, ofTask, withState] = server.reached
  expect(inSession?.headers['mcp-session-id']).toBe('session')
  expect(ofTask?.body).toContain('"taskId":"task"')
  expect(withState?.body).toContain('"requestState":"state"')
  server.reached.length = 0
  expect(await tries(other)).toEqual([404, 200, 200])
  expect(server.reached).toEqual([])
})

const slowly = (): Promise<ServerResponse> =>
  new Promise((resolve) => {
    server.answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': open\n\n')
      resolve(response)
    }
  })

test('a stream ends with the JWT that opened it, and another one opens the next', async () => {
  const opening = slowly()
  const jwt = lasting('alice', 400)
  const { body, statusCode } = await request(url, { headers: { ...clientHeaders(), ...by(jwt) } })
  body.on('error', () => undefined).resume()
  expect(statusCode).toBe(200)
  const response = await opening
  await sleep(200)
  expect(response.destroyed).toBe(false)
  await until(() => response.destroyed)
  pdp.identify = () => ({ grant: null, fault: 'expired' })
  const late = await request(url, { headers: { ...clientHeaders(), ...by(jwt) } })
  expect(late.statusCode).toBe(401)
  expect(late.headers['www-authenticate']).toBe(
    'Bearer error="invalid_token", error_description="the token has expired"',
  )
  await late.body.dump()
})

test('an answer on its way is not cut, and what its server asks is decided by the JWT', async () => {
  const opening = slowly()
  const jwt = lasting('carol', 200)
  pdp.identify = () => ({ grant: '00000000-0000-4000-8000-000000000001' })
  const answered = post(url, toolCall(), by(jwt))
  const response = await opening
  await sleep(300)
  pdp.rule = () => ({ reject: 'unauthenticated' })
  const say = (message: object) =>
    response.write(`data: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`)
  say({ id: 's', method: 'sampling/createMessage', params: { maxTokens: 5, messages: [] } })
  await until(() => pdp.calls.some(({ from }) => from === 'server'))
  say({ id: 1, result: { content: [] } })
  response.end()
  const { text } = await answered
  expect(text).toContain('"result"')
  expect(text).not.toContain('sampling')
  expect(pdp.calls.find(({ from }) => from === 'server')).toMatchObject({ jwt })
})
