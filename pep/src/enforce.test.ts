// One call through a whole PEP: what a client gets for each verdict and each fault, and that a
// server sees only what was allowed and recorded.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { RPC } from '../../schemas/codes.ts'
import type { Sql } from '../../schemas/database/sql.ts'
import { DECIDE_TIMEOUT_MS, VERDICT_AGE_MS_MAX } from '../../schemas/limits.ts'
import { META } from '../../schemas/mcp.ts'
import {
  createTestPdp,
  digestOf,
  EVERYTHING_VISIBLE,
  modern,
  openTestUpstream,
  post,
  type Ruling,
  type RunningTestPep,
  startTestPep,
  type TestPdp,
  type TestUpstream,
  testToken,
  toolCall,
  until,
} from './testing.ts'

let pep: RunningTestPep
let pdp: TestPdp
let server: TestUpstream
let url: string
let now = 0
const rows: unknown[] = []
const healthy: Sql['query'] = (_text, params) => {
  rows.push(...(JSON.parse(String(params?.[0])) as unknown[]))
  return Promise.resolve([])
}
const sql = { dialect: 'pglite' as const, query: healthy }

beforeAll(async () => {
  server = await openTestUpstream('demo')
  pdp = createTestPdp([server.upstream])
  pep = await startTestPep({ pdp: pdp.port, sql, monotonic: () => performance.now() + now })
  url = `${pep.url}/demo/mcp`
})
afterAll(async () => {
  await pep.close()
  await server.close()
})
const allowed: Ruling = { allow: true, visible: EVERYTHING_VISIBLE }
beforeEach(() => {
  server.reached.length = 0
  pdp.calls.length = 0
  rows.length = 0
  now = 0
  sql.query = healthy
  pdp.rule = () => allowed
  pdp.corrupt = (results) => ({ results })
})

const NOTIFICATION = { method: 'notifications/initialized' }
const READ = { id: 'r', method: 'resources/read', params: { uri: 'x:y' } }

test('what is decided on is what is forwarded, and what the PDP is told of the caller', async () => {
  await post(url, {
    method: 'tools/call',
    id: 5,
    params: { name: 'echo', arguments: { b: 1, a: [] } },
  })
  const [call] = pdp.calls
  expect(call).toMatchObject({ server: 'demo', method: 'tools/call', era: 'legacy' })
  expect(call).toMatchObject({ token: digestOf(testToken(1)), sourceIp: '127.0.0.1', client: null })
  expect(server.reached.map(({ body }) => body)).toEqual([call?.message])
})

test('who the client says it is comes from initialize, or from _meta', async () => {
  const clientInfo = { name: 'c', version: '1' }
  await post(url, { id: 1, method: 'initialize', params: { clientInfo } })
  const { message, headers } = modern({ id: 1, method: 'ping', params: {} })
  const params = (message as { params: { _meta: object } }).params
  Object.assign(params['_meta'], { [META.clientInfo]: clientInfo })
  await post(url, message, headers)
  expect(pdp.calls.map(({ client, era }) => [client, era])).toEqual([
    [clientInfo, 'legacy'],
    [clientInfo, 'modern'],
  ])
})

function expectNothingSent(): void {
  expect(server.reached).toEqual([])
  expect(rows).toHaveLength(1)
}

describe('denied', () => {
  const deny = { deny: 'forbid', policies: ['team/slug'], text: 'refused by team/slug' } as const
  const data = { decisionId: expect.any(String), code: 'forbid', policies: ['team/slug'] }

  test('a tools/call gets a result that a model is shown', async () => {
    pdp.rule = () => deny
    const { status, json, headers } = await post(url, toolCall('echo', {}, 'x'))
    expect(status).toBe(200)
    expect(headers['cedargate-decision']).toMatch(/^[0-9a-f-]{36}$/)
    expect(json).toEqual({
      jsonrpc: '2.0',
      id: 'x',
      result: {
        content: [{ type: 'text', text: 'refused by team/slug' }],
        isError: true,
        _meta: { [META.decision]: data },
      },
    })
    expectNothingSent()
  })

  test('of the modern era it is complete', async () => {
    pdp.rule = () => deny
    const { message, headers } = modern(toolCall())
    const { json } = await post(url, message, headers)
    expect(json.result).toMatchObject({ resultType: 'complete', isError: true })
    expectNothingSent()
  })

  test('another request gets an error', async () => {
    pdp.rule = () => deny
    const { status, json } = await post(url, READ)
    const error = { code: RPC.denied, message: 'refused by team/slug', data }
    expect({ status, json }).toEqual({ status: 200, json: { jsonrpc: '2.0', id: 'r', error } })
    expectNothingSent()
  })

  test.each([NOTIFICATION, { id: 3, result: {} }])(
    'what asks nothing gets 403: %j',
    async (message) => {
      pdp.rule = () => deny
      const { status, json } = await post(url, message)
      expect(status).toBe(403)
      expect(json).toMatchObject({ error: { data } })
      expect(json).not.toHaveProperty('id')
      expectNothingSent()
    },
  )
})

const INVALID =
  'Bearer error="invalid_token", error_description="the token is not known here, or not any more"'

test.each([
  { reject: 'unauthenticated', status: 401 },
  { reject: 'server_not_granted', status: 403 },
  { reject: 'unknown_server', status: 404 },
] as const)('rejected as $reject: $status, unrecorded', async ({ reject, status }) => {
  pdp.rule = () => ({ reject })
  const got = await post(url, toolCall())
  expect(got.status).toBe(status)
  expect(got.json.error?.data['code']).toBe(reject)
  expect(got.headers['www-authenticate']).toBe(status === 401 ? INVALID : undefined)
  expect(server.reached).toEqual([])
  expect(rows).toEqual([])
})

type Fault = { readonly name: string; readonly code: string; readonly cause: () => void }
const answering = (answer: TestPdp['corrupt']) => () => {
  pdp.corrupt = answer
}
const FAULTS: readonly Fault[] = [
  { name: 'the PDP throws', code: 'pdp_unavailable', cause: answering(() => { throw new Error('down') }) },
  { name: 'the PDP answers nothing', code: 'pdp_unavailable', cause: answering(() => ({})) },
  { name: 'the PDP answers null', code: 'pdp_unavailable', cause: answering(() => null) },
  { name: 'the PDP answers too many', code: 'pdp_unavailable', cause: answering((results) => ({ results: [...results, ...results] })) },
  { name: 'the PDP answers an allow of nothing', code: 'pdp_unavailable', cause: answering(([one]) => ({ results: [{ ...one, record: undefined }] })) },
  { name: 'the PDP answers another question', code: 'verdict_mismatch', cause: answering(([one]) => ({ results: [{ ...one, messageDigest: '0'.repeat(64) }] })) },
  { name: 'the database is down', code: 'record_unavailable', cause: () => { sql.query = () => Promise.reject(new Error('down')) } },
  { name: 'the commit takes too long for the verdict', code: 'verdict_expired', cause: () => { sql.query = () => { now = VERDICT_AGE_MS_MAX; return Promise.resolve([]) } } },
] // biome-ignore format: a table

describe.each(FAULTS)('$name: $code', ({ code, cause }) => {
  test('nothing is sent, and a model is told', async () => {
    cause()
    const { status, json, text } = await post(url, toolCall())
    expect(status).toBe(200)
    expect(json.result).toMatchObject({ isError: true, _meta: { [META.decision]: { code } } })
    expect(text).not.toMatch(/down|Error:|\.ts|127\.0\.0\.1/)
    expect(server.reached).toEqual([])
  })

  test('another request gets an error, a notification 503', async () => {
    cause()
    const asked = await post(url, READ)
    expect(asked.json).toMatchObject({ id: 'r', error: { code: RPC.unavailable, data: { code } } })
    now = 0
    cause()
    expect((await post(url, NOTIFICATION)).status).toBe(503)
    expect(server.reached).toEqual([])
  })
})

test('a PDP that is silent is given up', { timeout: 2 * DECIDE_TIMEOUT_MS }, async () => {
  const { port } = createTestPdp([server.upstream])
  const slow = await startTestPep({
    sql,
    pdp: { ...port, post: (path, body, ms) => late(ms, port.post(path, body, ms)) },
  })
  const { json } = await post(`${slow.url}/demo/mcp`, READ)
  expect(json.error?.data['code']).toBe('pdp_unavailable')
  await slow.close()
})

/** As a port must behave: rejects when its time is over. */
async function late<T>(timeoutMs: number, answer: Promise<T>): Promise<T> {
  await new Promise((resolve) => setTimeout(resolve, timeoutMs / 10))
  await answer
  throw new Error('no answer in time')
}

test('how each call ended is reported', async () => {
  pdp.outcomes.length = 0
  await post(url, toolCall())
  pdp.rule = () => ({ deny: 'forbid' })
  await post(url, toolCall())
  pdp.rule = () => allowed
  server.answer = (_request, response) => void response.destroy()
  const { json } = await post(url, toolCall())
  expect(json.result).toMatchObject({ isError: true })
  await until(() => pdp.outcomes.length === 2)
  expect(pdp.outcomes.map(({ result, status }) => [result, status])).toEqual([
    ['forwarded', 200],
    ['failed', 0],
  ])
})
