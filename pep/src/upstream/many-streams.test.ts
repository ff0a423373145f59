// As many streams as may be open, all to one server: one more is refused, and none of them keeps a call waiting.
import { request } from 'undici'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { STREAMS_MAX, STREAMS_PER_GRANT_MAX } from '../limits.ts'
import {
  clientHeaders,
  countingSql,
  createTestPdp,
  openTestUpstream,
  post,
  type RunningTestPep,
  startTestPep,
  type TestUpstream,
  testToken,
  toolCall,
} from '../testing.ts'

let pep: RunningTestPep
let server: TestUpstream
let url: string

beforeAll(async () => {
  server = await openTestUpstream('demo')
  const plainly = server.answer
  server.answer = (reached, response) => {
    if (reached.method !== 'GET') return plainly(reached, response)
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': \n\n')
  }
  pep = await startTestPep({ pdp: createTestPdp([server.upstream]).port, sql: countingSql() })
  url = `${pep.url}/demo/mcp`
})
afterAll(async () => {
  await pep.close()
  await server.close()
})

test('STREAMS_MAX streams, one more, and a call', async () => {
  const open = async (index: number): Promise<number> => {
    const token = testToken(Math.floor(index / STREAMS_PER_GRANT_MAX))
    const { statusCode, body } = await request(url, { headers: clientHeaders(token) })
    body.on('error', () => undefined).resume()
    return statusCode
  }
  const statuses = new Set<number>()
  for (let index = 0; index < STREAMS_MAX; index += STREAMS_PER_GRANT_MAX) {
    const some = Array.from({ length: STREAMS_PER_GRANT_MAX }, (_, more) => open(index + more))
    for (const status of await Promise.all(some)) statuses.add(status)
  }
  expect([...statuses]).toEqual([200])
  expect(await open(STREAMS_MAX)).toBe(429)
  const { json } = await post(url, toolCall())
  expect(json.result?.['isError']).not.toBe(true)
}, 60_000)
