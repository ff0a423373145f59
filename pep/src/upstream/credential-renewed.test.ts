// A credential that is renewed while streams are open: a server that says the new one on a stream that was opened with the old
// one, or with none, or in the answer to another request.
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { ReleasedCredential } from '../../../schemas/credentials.ts'
import { REPORT_DELAY_MS } from '../limits.ts'
import { MASK } from '../mask/masker.ts'
import {
  answerJson,
  bearer,
  clientHeaders,
  countingSql,
  createTestPdp,
  EVERYTHING_VISIBLE,
  openTestUpstream,
  parsed,
  post,
  type RunningTestPep,
  shownIn,
  startTestPep,
  type TestPdp,
  type TestUpstream,
  testToken,
  toolCall,
  until,
} from '../testing.ts'

const OLD = 'canary-old-0123456789abcdef'
const NEW = 'canary-new-0123456789abcdef'
const OTHERS = 'canary-others-0123456789abcdef'
const OTHER_ID = '0195fe2c-1111-7000-8000-000000000002'

let pep: RunningTestPep
let pdp: TestPdp
let server: TestUpstream
let url: string
let credential: ReleasedCredential | undefined
/** What the server answers first is a stream that stays open; it says there what it is sent later. */
let stream: ServerResponse | undefined

beforeAll(async () => {
  server = await openTestUpstream('demo')
  pdp = createTestPdp([server.upstream])
  pdp.rule = () => ({
    allow: true,
    visible: EVERYTHING_VISIBLE,
    ...(credential === undefined ? {} : { credential }),
  })
  pep = await startTestPep({ pdp: pdp.port, sql: countingSql() })
  url = `${pep.url}/demo/mcp`
})
afterAll(async () => {
  await pep.close()
  await server.close()
})
beforeEach(async () => {
  // What the test before has not heard of.
  await sleep(REPORT_DELAY_MS + 50)
  stream = undefined
  pdp.outcomes.length = 0
  server.answer = (one, response) => {
    if (stream === undefined) {
      stream = response
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': open\n\n')
      return
    }
    const params = { level: 'debug', data: one.headers.authorization }
    stream.write(`data: ${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/message', params })}\n\n`)
    answerJson(response, { id: parsed(one).id, result: { content: [] } })
  }
}) // biome-ignore format: an event

const echoedOf = (version: number) =>
  pdp.outcomes.find((one) => one.credential?.version === version)?.credential?.echoed

/** What the stream said until the server ended it. */
async function listen(): Promise<() => Promise<string>> {
  const { body } = await request(url, {
    headers: { ...clientHeaders(), accept: 'text/event-stream' },
  })
  const said = body.text()
  return () => {
    stream?.end()
    return said
  }
}

test.each([
  { name: 'the old one', before: bearer(OLD) },
  { name: 'none', before: undefined },
])('on a GET stream that was opened with $name', async ({ before }) => {
  credential = before
  const end = await listen()
  credential = bearer(NEW, { version: 2 })
  await post(url, toolCall())
  const said = await end()
  expect(said).toContain(MASK)
  expect(shownIn(said, NEW)).toEqual([])
})

test('on the stream of a long answer, whose outcome is flagged', async () => {
  credential = bearer(OLD)
  const slow = post(url, toolCall())
  await until(() => stream !== undefined)
  credential = bearer(NEW, { version: 2 })
  await post(url, toolCall())
  stream?.end(`data: ${JSON.stringify({ jsonrpc: '2.0', id: 1, result: { content: [] } })}\n\n`)
  const { text } = await slow
  expect(text).toContain(MASK)
  expect(shownIn(text, NEW)).toEqual([])
  await until(() => pdp.outcomes.length === 2)
  expect([1, 2].map(echoedOf)).toEqual([true, false])
})

test('the old one in an answer to the new one', async () => {
  credential = bearer(OLD)
  const end = await listen()
  await post(url, toolCall())
  await end()
  credential = bearer(NEW, { version: 2 })
  server.answer = (one, response) =>
    answerJson(response, { id: parsed(one).id, result: { content: [{ type: 'text', text: OLD }] } })
  const { text } = await post(url, toolCall())
  expect(text).toContain(MASK)
  expect(shownIn(text, OLD)).toEqual([])
})

test('a version that another caller sent is masked; what is another caller’s alone is not looked for', async () => {
  credential = bearer(OLD)
  const end = await listen()
  const another = clientHeaders(testToken(2))
  credential = bearer(NEW, { version: 3 })
  await post(url, toolCall(), another)
  credential = bearer(OTHERS, { id: OTHER_ID })
  await post(url, toolCall(), another)
  const said = await end()
  expect(shownIn(said, NEW)).toEqual([])
  expect(said.match(/masked by Cedargate/g)).toHaveLength(1)
  expect(said).toContain(OTHERS)
})
