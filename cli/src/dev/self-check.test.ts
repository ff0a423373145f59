// The calls by which `dev` proves itself: each thing that may be otherwise than expected is seen, and named.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DecisionRow } from '../../../schemas/decisions-api.ts'
import type { Check } from './demo.ts'
import { selfCheck } from './self-check.ts'

const ALLOWED: Check = {
  shows: 'a permitted call',
  user: 'alice',
  server: 'files',
  tool: 'write',
  arguments: { path: 'x' },
  expect: { verdict: 'allow', code: 'permit', policies: ['b', 'a'] },
}
const DENIED: Check = {
  ...ALLOWED,
  shows: 'a refused call',
  expect: { verdict: 'deny', code: 'forbid', policies: ['f'] },
}
const ROW: DecisionRow = {
  id: '01930000-0000-7000-8000-000000000001',
  at: '2026-11-22T12:00:00.000Z',
  user: 'alice',
  agent: 'demo',
  server: 'files',
  method: 'tools/call',
  tool: 'write',
  arguments: { path: 'x' },
  argumentsLength: 20,
  argumentsShown: true,
  verdict: 'allow',
  code: 'permit',
  errors: [],
  shadow: null,
  policies: ['a', 'b'],
  bundle: 'b'.repeat(64),
  mode: 'enforced',
  credential: null,
  outcome: null,
}
const DENIED_ROW: DecisionRow = { ...ROW, verdict: 'deny', code: 'forbid', policies: ['f'] }

/** A server that answers as a PEP would: a decision id with every message, of the call and of what comes around it. */
let isError = false
let asked: string[] = []
async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await text(request)
  if (request.method !== 'POST') return void response.writeHead(405).end()
  const { id, method } = JSON.parse(body) as { id?: number; method: string }
  asked.push(`${request.headers.authorization} ${method}`)
  const decision = method === 'tools/call' ? ROW.id : '01930000-0000-7000-8000-00000000ffff'
  const headers = { 'cedargate-decision': decision, 'content-type': 'application/json' }
  if (id === undefined) return void response.writeHead(202, headers).end()
  const initialized = { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 's', version: '1' } }
  const called = { isError, content: [{ type: 'text', text: 'said' }] }
  const result = method === 'tools/call' ? called : initialized
  response.writeHead(200, headers).end(JSON.stringify({ jsonrpc: '2.0', id, result }))
} // biome-ignore format: long lines

let server: Server
let pepUrl: string
beforeAll(async () => {
  server = createServer((request, response) => void answer(request, response))
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  pepUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

const portsWith = (row: DecisionRow | undefined) => ({
  pepUrl,
  tokenOf: (user: string) => `token-of-${user}`,
  showDecision: async (id: string) => (id === row?.id ? row : undefined),
})

test.each([
  { check: ALLOWED, row: ROW, error: false },
  { check: DENIED, row: DENIED_ROW, error: true },
])('$check.shows, as expected: it is shown with its decision and its answer', async ({ check, row, error }) => {
  isError = error
  asked = []
  expect(await selfCheck(portsWith(row), [check])).toEqual([{ check, decision: row, answer: 'said' }])
  expect(asked).toContain('Bearer token-of-alice tools/call')
}) // biome-ignore format: long lines

test.each<{ name: string; check: Check; row: DecisionRow; error: boolean }>([
  { name: 'another verdict', check: ALLOWED, row: { ...ROW, verdict: 'deny' }, error: false },
  { name: 'another code', check: DENIED, row: { ...DENIED_ROW, code: 'no_permit' }, error: true },
  { name: 'one policy too few', check: ALLOWED, row: { ...ROW, policies: ['a'] }, error: false },
  { name: 'another policy', check: DENIED, row: { ...DENIED_ROW, policies: ['g'] }, error: true },
  { name: 'another tool', check: ALLOWED, row: { ...ROW, tool: 'read' }, error: false },
  { name: 'an error in spite of an allow', check: ALLOWED, row: ROW, error: true },
  { name: 'an answer in spite of a deny', check: DENIED, row: DENIED_ROW, error: false },
])('$name is found', async ({ check, row, error }) => {
  isError = error
  await expect(selfCheck(portsWith(row), [check])).rejects.toThrow(
    expect.objectContaining({
      name: 'CommandError',
      exit: 1,
      message: expect.stringMatching(new RegExp(`^the self-check «${check.shows}» was decided .*"${row.code}".* expected .*"${check.expect.code}".*; the gateway does not serve$`)),
      hint: expect.stringContaining('dev.yaml'),
    }),
  )
}) // biome-ignore format: a table

test('a call without a recorded decision is found', async () => {
  await expect(selfCheck(portsWith(undefined), [ALLOWED])).rejects.toThrow('no decision is recorded for: a permitted call')
}) // biome-ignore format: long lines

test('a gateway that does not answer is found', async () => {
  const ports = { ...portsWith(ROW), pepUrl: 'http://127.0.0.1:1' }
  await expect(selfCheck(ports, [ALLOWED])).rejects.toThrow('the self-check «a permitted call» could not be made: ')
}) // biome-ignore format: long lines

test('every check is over before the first failure is told', async () => {
  isError = false
  const calls = { begun: 0, over: 0 }
  const ports = {
    ...portsWith(ROW),
    showDecision: async () => {
      calls.begun += 1
      await sleep(calls.begun * 100)
      calls.over += 1
      return ROW
    },
  }
  await expect(selfCheck(ports, [DENIED, ALLOWED])).rejects.toThrow('«a refused call»')
  expect(calls).toEqual({ begun: 2, over: 2 })
})
