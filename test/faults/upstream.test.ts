// A server that dies before, in or instead of its answer: the client is told, and the record says
// how it ended, never more than is known.
import { execFileSync } from 'node:child_process'
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { DecisionRow } from '../../schemas/decisions-api.ts'
import { type Gateway, startGateway } from '../harness/gateway.ts'
import { callText, legacyText, modern, type Request, sentOf, tell } from '../harness/mcp-request.ts'
import { open } from '../harness/raw-http.ts'

let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway({ files: true })
})
afterAll(() => gateway.stop())
beforeEach(() => gateway.upstream.reset())

const LEGACY: Request = { body: callText('{"message":"hi"}') }
const MODERN: Request = modern('tools/call', { name: 'echo', arguments: { message: 'hi' } })
const ANSWER = '{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"hi"}]}}'
const EVENT = 'data: {"jsonrpc":"2.0","method":"notifications/message","params":{}}\n\n'
const JSON_TYPE = { 'content-type': 'application/json' }
const SSE = { 'content-type': 'text/event-stream' }

/** Sends the head and this much of the body, and dies. */
const dying = (head: Record<string, string>, body: string) => {
  return (response: ServerResponse): void => {
    response.writeHead(200, head)
    response.write(body, () => response.destroy())
  }
}

type Outcome = Partial<NonNullable<DecisionRow['outcome']>>
type Row = { name: string; answer: (response: ServerResponse) => void; outcome: Outcome }

describe('the client is told', () => {
  test.each<Row & { code: string }>([
    { name: 'it hangs up', answer: (response) => response.destroy(), code: 'upstream_unavailable', outcome: { result: 'failed', status: 0 } },
    { name: 'it speaks no HTTP', answer: (response) => response.socket?.end('hello\r\n\r\n'), code: 'upstream_unavailable', outcome: { result: 'failed', status: 0 } },
    { name: 'it dies in the head', answer: (response) => response.socket?.end('HTTP/1.1 200 OK\r\ncontent-ty'), code: 'upstream_unavailable', outcome: { result: 'failed', status: 0 } },
    { name: 'it dies after the head', answer: dying({ ...JSON_TYPE, 'content-length': '75' }, ''), code: 'upstream_unavailable', outcome: { result: 'failed', status: 200 } },
    { name: 'it dies in the body', answer: dying({ ...JSON_TYPE, 'content-length': '75' }, ANSWER.slice(0, 40)), code: 'upstream_unavailable', outcome: { result: 'failed', status: 200 } },
    { name: 'it dies in JSON without a length', answer: dying(JSON_TYPE, ANSWER.slice(0, 40)), code: 'upstream_unavailable', outcome: { result: 'failed', status: 200 } },
    { name: 'it dies in a long JSON', answer: dying({ ...JSON_TYPE, 'content-length': '100000' }, ANSWER), code: 'upstream_unavailable', outcome: { result: 'failed', status: 200 } },
    { name: 'it redirects', answer: (response) => response.writeHead(302, { location: '/x' }).end(), code: 'upstream_invalid', outcome: { result: 'failed', status: 302 } },
    { name: 'it asks for a login', answer: (response) => response.writeHead(401, { 'www-authenticate': 'Bearer' }).end(), code: 'upstream_invalid', outcome: { result: 'failed', status: 401 } },
  ])('$name', async ({ answer, code, outcome }) => {
    gateway.upstream.answer = (_request, response) => answer(response)
    const decisions: string[] = []
    for (const request of [LEGACY, MODERN]) {
      const told = await tell(gateway, request)
      expect(told).toMatchObject({ status: 200, isError: true, said: { code } })
      expect(told.said.text).toContain(code)
      decisions.push(await newestDecision())
    }
    const both = { ...outcome, isError: true }
    expect(await Promise.all(decisions.map(outcomeOf))).toMatchObject([both, both])
  }) // biome-ignore format: a table
})

describe('events that break off end with an answer that says so', () => {
  test.each<Row>([
    { name: 'events', answer: dying(SSE, EVENT), outcome: { result: 'unknown', status: 200 } },
    { name: 'events, in an event', answer: dying(SSE, `${EVENT}data: {"jsonrpc":`), outcome: { result: 'unknown', status: 200 } },
  ])('$name', async ({ answer, outcome }) => {
    gateway.upstream.answer = (_request, response) => answer(response)
    const decisions: string[] = []
    for (const request of [LEGACY, MODERN]) {
      const told = await tell(gateway, request)
      expect(told).toMatchObject({ status: 200, complete: true })
      expect(told.body).toContain('"code":"upstream_unavailable"')
      expect(told.body).toContain('"isError":true')
      decisions.push(String(told.headers['cedargate-decision']))
    }
    expect(await Promise.all(decisions.map(outcomeOf))).toMatchObject([outcome, outcome])
  }) // biome-ignore format: a table
})

test('a stdio server is killed in the middle of a call', async () => {
  const path = '/files/mcp'
  const params = {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 't', version: '1' },
  }
  const opened = await tell(gateway, { path, body: legacyText('initialize', params) })
  const headers = { 'mcp-session-id': String(opened.headers['mcp-session-id']) }
  const body = legacyText('tools/call', {
    name: 'read_text_file',
    arguments: { path: 'notes.txt' },
  })
  const [child = 0] = childrenNamed('server-filesystem')
  process.kill(child, 'SIGSTOP')
  const answer = await open(sentOf(gateway, { path, headers, body }))
  process.kill(child, 'SIGKILL')
  const text = Buffer.concat((await answer.toArray()) as Buffer[]).toString()
  expect(text).toContain('"code":"upstream_unavailable"')
  const decision = String(answer.headers['cedargate-decision'])
  expect(await outcomeOf(decision)).toMatchObject({ result: 'failed', isError: true })
  const after = await tell(gateway, { path, headers, body })
  // Another one is started for the session, and its client told.
  expect(after).toMatchObject({ status: 200, said: {} })
  expect(after.body).toContain('"content"')
  expect((await tell(gateway, { path, body: legacyText('initialize', params) })).status).toBe(200)
})

test('nobody listens any more', async () => {
  await gateway.upstream.close()
  const told = await tell(gateway, LEGACY)
  expect(told).toMatchObject({ isError: true, said: { code: 'upstream_unavailable' } })
  expect(await outcomeOf(await newestDecision())).toMatchObject({ result: 'failed', status: 0 })
})

/** Our own children with this in their command line. */
function childrenNamed(name: string): number[] {
  const rows = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' }).split(
    '\n',
  )
  return rows.flatMap((row) => {
    const [, pid, parent, command = ''] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(row) ?? []
    return Number(parent) === process.pid && command.includes(name) ? [Number(pid)] : []
  })
}

async function newestDecision(): Promise<string> {
  const [row] = await gateway.store.sql.query(
    `select id from record where kind = 'decision' and agent = 'demo' order by id desc limit 1`,
  )
  return String(row?.['id'])
}

/** It is reported a little after the answer. */
async function outcomeOf(decision: string): Promise<DecisionRow['outcome']> {
  const deadline = performance.now() + 5_000
  for (;;) {
    const row = await gateway.pdp.admin.showDecision(decision)
    if (row?.outcome != null || performance.now() > deadline) return row?.outcome ?? null
    await sleep(50)
  }
}
