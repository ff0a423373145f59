// The credential of a call over Streamable HTTP: with which requests it goes, that nothing a client sends takes its place,
// and that a server which says it again is masked, refused, told of and counted. The canary is searched for in all that
// anybody but the server gets.
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { request } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { REPORT_DELAY_MS } from '../limits.ts'
import { MASK } from '../mask/masker.ts'
import {
  answerEvents,
  answerJson,
  bearer,
  clientHeaders,
  countingSql,
  createTestPdp,
  EVERYTHING_VISIBLE,
  modern,
  openTestUpstream,
  type Posted,
  parsed,
  post,
  type RunningTestPep,
  shownIn,
  startTestPep,
  type TestPdp,
  type TestUpstream,
  toolCall,
  until,
} from '../testing.ts'

const CANARY = 'canary/http+0123456789"abcdef'
const CREDENTIAL = bearer(CANARY, { version: 7 })
const { id: ID } = CREDENTIAL
const base64 = Buffer.from(`Bearer ${CANARY}`).toString('base64')
const hex = Buffer.from(CANARY).toString('hex')

let pep: RunningTestPep
let pdp: TestPdp
let server: TestUpstream
let plainly: TestUpstream['answer']
let url: string
let logged = ''
let got = ''
const sql = countingSql()

beforeAll(async () => {
  server = await openTestUpstream('demo')
  plainly = server.answer
  pdp = createTestPdp([server.upstream])
  pdp.rule = () => ({ allow: true, visible: EVERYTHING_VISIBLE, credential: CREDENTIAL })
  const log = pino({ level: 'trace' }, { write: (line) => void (logged += line) })
  pep = await startTestPep({ pdp: pdp.port, sql, log })
  url = `${pep.url}/demo/mcp`
})
afterAll(async () => {
  await pep.close()
  await server.close()
})
beforeEach(async () => {
  // What the test before has not heard of.
  await sleep(REPORT_DELAY_MS + 50)
  server.answer = plainly
  server.reached.length = 0
  pdp.outcomes.length = 0
})

const outcome = async () => {
  await until(() => pdp.outcomes.length > 0)
  return pdp.outcomes[0]
}
const send = async (message: object, headers?: Record<string, string>): Promise<Posted> => {
  const posted = await post(url, message, headers)
  got += posted.text + JSON.stringify(posted.headers)
  return posted
}
const saying = (result: object) => {
  server.answer = (one, response) => answerJson(response, { id: parsed(one).id, result })
}
const raw = (status: number, headers: Record<string, string>, body = '') => {
  server.answer = (_one, response) => void response.writeHead(status, headers).end(body)
}
const echoesCounted = async (): Promise<number> => {
  const { body } = await request(`${pep.url}/metrics`)
  const text = await body.text()
  got += text
  return Number(/echoes_total\{server="demo"\} (\d+)/.exec(text)?.[1] ?? 0)
}

describe('it goes with', () => {
  test('the gateway’s own look at the tools', async () => {
    const own = await openTestUpstream('look')
    const ownPdp = createTestPdp([own.upstream])
    ownPdp.rule = pdp.rule
    own.answer = (one, response) => {
      response.setHeader('mcp-session-id', 's-1')
      return plainly(one, response)
    }
    const ownPep = await startTestPep({ pdp: ownPdp.port, sql })
    const methods = own.reached.map((one) => parsed(one).method ?? one.method)
    expect(methods).toEqual(['initialize', 'notifications/initialized', 'tools/list', 'DELETE'])
    for (const { headers } of own.reached) {
      expect(headers.authorization).toBe(`Bearer ${CANARY}`)
      expect(headers['accept-encoding']).toBe('identity')
    }
    await ownPep.close()
    await own.close()
  })

  test('a call, in the place of what its client sent, and once', async () => {
    await send(toolCall(), { 'accept-encoding': 'gzip' })
    const [one] = server.reached
    expect(one?.headers.authorization).toBe(`Bearer ${CANARY}`)
    expect(one?.headers['accept-encoding']).toBe('identity')
    const names = one?.rawHeaders
      .filter((_, index) => index % 2 === 0)
      .map((name) => name.toLowerCase())
    expect(names?.filter((name) => name === 'authorization')).toHaveLength(1)
    expect(await outcome()).toMatchObject({
      result: 'forwarded',
      credential: { id: ID, version: 7, echoed: false },
    })
  })

  test('a header that its client sent too', async () => {
    const headers = { 'x-api-key': CANARY }
    pdp.rule = () => ({ allow: true, credential: { ...CREDENTIAL, headers } })
    await send(toolCall(), { 'X-Api-Key': 'of the client', cookie: 'x-api-key=1' })
    expect(server.reached[0]?.headers).toMatchObject(headers)
    expect(JSON.stringify(server.reached[0])).not.toContain('of the client')
    pdp.rule = () => ({ allow: true, visible: EVERYTHING_VISIBLE, credential: CREDENTIAL })
  })

  test('GET, DELETE and what the server is told, too', async () => {
    server.answer = (_one, response) =>
      answerEvents(response, { id: 's', method: 'no/such' }, { method: 'notifications/message' })
    const streamed = await request(url, {
      headers: { ...clientHeaders(), accept: 'text/event-stream' },
    })
    await streamed.body.text()
    await until(() => server.reached.length === 2)
    const { body } = await request(url, { method: 'DELETE', headers: clientHeaders() })
    await body.dump()
    expect(server.reached.map(({ method }) => method)).toEqual(['GET', 'POST', 'DELETE'])
    for (const { headers } of server.reached) expect(headers.authorization).toBe(`Bearer ${CANARY}`)
  })

  test('no call that has none', async () => {
    pdp.rule = () => ({ allow: true })
    await send(toolCall())
    expect(server.reached[0]?.headers).not.toHaveProperty('authorization')
    expect(server.reached[0]?.headers).not.toHaveProperty('accept-encoding')
    expect(await outcome()).not.toHaveProperty('credential')
    pdp.rule = () => ({ allow: true, visible: EVERYTHING_VISIBLE, credential: CREDENTIAL })
  })

  test('a call that is refused before it is sent: its outcome names none', async () => {
    const away = { ...CREDENTIAL, headers: { host: CANARY } }
    pdp.rule = () => ({ allow: true, credential: away })
    const { json } = await send(toolCall())
    expect(json.result).toMatchObject({ isError: true })
    expect(JSON.stringify(json)).toContain('pdp_unavailable')
    expect(server.reached).toEqual([])
    pdp.rule = () => ({ allow: true, visible: EVERYTHING_VISIBLE, credential: CREDENTIAL })
  })
})

describe('a server that says it again', () => {
  test.each([
    { name: 'its headers', text: (headers: object) => JSON.stringify(headers) },
    { name: 'base64', text: () => `x ${base64} y` },
    { name: 'hex', text: () => hex },
    { name: 'percent', text: () => encodeURIComponent(CANARY) },
  ])('$name in JSON: masked, flagged, counted, logged without it', async ({ text }) => {
    const before = await echoesCounted()
    const from = logged.length
    server.answer = (one, response) => {
      const content = [{ type: 'text', text: text(one.headers) }]
      answerJson(response, { id: 1, result: { content, big: 1.5, [CANARY]: true } })
    }
    const { text: answer } = await send(toolCall())
    expect(answer).toContain(MASK)
    expect(answer).toContain('"big":1.5')
    expect(await outcome()).toMatchObject({ credential: { id: ID, version: 7, echoed: true } })
    expect(await echoesCounted()).toBe(before + 1)
    expect(logged.slice(from)).toContain('it was masked')
  })

  test('in events, data, comments and types, cut anywhere', async () => {
    const message = { jsonrpc: '2.0', id: 1, result: { content: [{ type: 'text', text: CANARY }] } }
    const progress = { jsonrpc: '2.0', method: 'notifications/message', params: { data: hex } }
    const said = `: seen ${CANARY}\n\nevent: ${hex}\ndata: nothing\n\nretry: ${hex}\ndata: ${JSON.stringify(progress)}\n\ndata: ${JSON.stringify(message)}\n\n`
    const bytes = Buffer.from(said)
    for (const cut of [40, 120, 200, 330, bytes.length - 30]) {
      pdp.outcomes.length = 0
      const before = await echoesCounted()
      server.answer = (_one, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.write(bytes.subarray(0, cut))
        setTimeout(() => response.end(bytes.subarray(cut)), 5)
      }
      const { json, text } = await send(toolCall())
      expect(json.result).toEqual({ content: [{ type: 'text', text: MASK }] })
      expect(await echoesCounted()).toBe(before + 1)
      expect(text.match(/masked by Cedargate/g)?.length).toBeGreaterThanOrEqual(4)
      expect(await outcome()).toMatchObject({ credential: { echoed: true } })
    }
  })

  test('in the id of an event: the answer is refused', async () => {
    const said = JSON.stringify({ jsonrpc: '2.0', id: 1, result: {} })
    raw(200, { 'content-type': 'text/event-stream' }, `id: ${hex}\ndata: ${said}\n\n`)
    const { text } = await send(toolCall())
    expect(text).toContain('upstream_invalid')
  })

  test('in a header that passes: left out', async () => {
    const headers = { 'content-type': 'application/json', 'cache-control': `no-store, x=${hex}`, 'retry-after': '5' }
    raw(200, headers, '{"jsonrpc":"2.0","id":1,"result":{}}')
    const { headers: answered } = await send(toolCall())
    expect(answered).not.toHaveProperty('cache-control')
    expect(answered['retry-after']).toBe('5')
    expect(await outcome()).toMatchObject({ credential: { echoed: true } })
  }) // biome-ignore format: headers

  test.each([
    { name: 'a session id', headers: { 'mcp-session-id': hex }, result: {} },
    { name: 'a session id in base64', headers: { 'mcp-session-id': base64 }, result: {} },
    { name: 'a task id', headers: {}, result: { task: { taskId: `t-${hex}` } } },
    { name: 'a requestState', headers: {}, result: { requestState: CANARY } },
  ])('$name coined out of it: refused', async ({ headers, result }) => {
    raw(200, { 'content-type': 'application/json', ...headers }, JSON.stringify({ jsonrpc: '2.0', id: 1, result }))
    const { text } = await send(toolCall())
    expect(text).toContain('upstream_invalid')
    expect(await outcome()).toMatchObject({ result: 'failed', credential: { echoed: true } })
  }) // biome-ignore format: a call

  test('as a number or in a name that nobody masks: refused', async () => {
    const secret = '98765432109876'
    pdp.rule = () => ({ allow: true, credential: bearer(secret) })
    saying({ content: [], n: 98765432109876 })
    const { text } = await send(toolCall())
    expect(text).toContain('upstream_invalid')
    expect(text).not.toContain(secret)
    pdp.rule = () => ({ allow: true, visible: EVERYTHING_VISIBLE, credential: CREDENTIAL })
  })

  test('in a JSON-RPC error, and with a status of its own', async () => {
    raw(
      400,
      { 'content-type': 'application/json' },
      JSON.stringify({ jsonrpc: '2.0', id: 1, error: { code: -1, message: `bad ${CANARY}` } }),
    )
    const { json } = await send(toolCall())
    expect(json.error?.message).toBe(`bad ${MASK}`)
  })

  test('in bytes that are no HTTP: nobody reads them', async () => {
    server.answer = (_one, response) => {
      response.socket?.end(`HTTP/1.1 200 OK\r\nx: ${CANARY}\u0000\r\n${CANARY}\r\n\r\n`)
    }
    const { text } = await send(toolCall())
    expect(text).toContain('upstream_unavailable')
  })

  test('in bytes that are no HTTP, to what it is told: the log does not quote them', async () => {
    server.answer = (one, response) => {
      if (one.method === 'GET') return answerEvents(response, { id: 's', method: 'no/such' })
      response.socket?.end(`HTTP/1.1 200 OK\r\nx\u0000: 1\r\n${CANARY}\r\n\r\n`)
    }
    const from = logged.length
    const headers = { ...clientHeaders(), accept: 'text/event-stream' }
    const { body } = await request(url, { headers })
    await body.text()
    await until(() => logged.slice(from).includes('not told'))
    expect(logged.slice(from)).not.toContain('canary')
  })

  test('in bytes that are no HTTP, to the end of a look: the log does not quote them', async () => {
    const own = await openTestUpstream('look')
    const ownPdp = createTestPdp([own.upstream])
    ownPdp.rule = pdp.rule
    own.answer = (one, response) => {
      response.setHeader('mcp-session-id', 's-1')
      if (one.method !== 'DELETE') return plainly(one, response)
      response.socket?.end(`HTTP/1.1 200 OK\r\nx\u0000: 1\r\n${CANARY}\r\n\r\n`)
    }
    const from = logged.length
    const log = pino({ level: 'trace' }, { write: (line) => void (logged += line) })
    const ownPep = await startTestPep({ pdp: ownPdp.port, sql, log })
    expect(logged.slice(from)).toContain('"msg":"closing"')
    expect(logged.slice(from)).not.toContain('canary')
    await ownPep.close()
    await own.close()
  })

  test.each(['JSON', 'events'])(
    'in a list of tools, as %s: its definition never reaches the PDP',
    async (way) => {
      const own = await openTestUpstream('look')
      const ownPdp = createTestPdp([own.upstream])
      ownPdp.rule = pdp.rule
      own.answer = (one, response) => {
        const tools = [{ name: 'echo', inputSchema: {}, description: `use ${CANARY}` }]
        const answer = way === 'JSON' ? answerJson : answerEvents
        return answer(response, { id: parsed(one).id, result: { tools } })
      }
      const ownPep = await startTestPep({ pdp: ownPdp.port, sql })
      const told = JSON.stringify(ownPdp.told)
      expect(told).toContain(MASK)
      expect(shownIn(told, CANARY)).toEqual([])
      await ownPep.close()
      await own.close()
    },
  )

  test('with 401: to its client an answer that cannot be used, to the PDP its status', async () => {
    raw(401, { 'www-authenticate': `Bearer error="invalid_token", x="${CANARY}"` }, CANARY)
    const { text } = await send(toolCall())
    expect(text).toContain('upstream_invalid')
    expect(await outcome()).toMatchObject({
      result: 'failed',
      status: 401,
      credential: { id: ID, version: 7, echoed: false },
    })
  })
})

test('a modern call has it too', async () => {
  saying({ resultType: 'complete', content: [{ type: 'text', text: CANARY }] })
  const { message, headers } = modern(toolCall())
  const { json } = await send(message, headers)
  expect(server.reached[0]?.headers.authorization).toBe(`Bearer ${CANARY}`)
  expect(json.result).toMatchObject({ content: [{ text: MASK }] })
})

test('of all that anybody else got, nothing shows it', async () => {
  await sleep(REPORT_DELAY_MS + 50)
  const all = logged + got + JSON.stringify([sql.statements, pdp.told, pdp.outcomes])
  expect(all.length).toBeGreaterThan(1_000)
  expect(shownIn(all, CANARY)).toEqual([])
  expect(all).not.toContain('canary')
})
