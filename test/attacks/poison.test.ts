// 2,000 poisonous requests in a row, through the PEP and straight at the PDP as a PEP that lets
// everything through would send them: after every hundred of them the gateway still decides right,
// and in the end Cedar threw for none.
import { hash, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DecideCall } from '../../schemas/pep-api.ts'
import { type Gateway, startGateway } from '../harness/gateway.ts'
import { callText, legacyText, tell } from '../harness/mcp-request.ts'
import { send } from '../harness/raw-http.ts'
import { messageOf } from '../harness/upstream.ts'

const TOTAL = 2_000
const ROUND = 100
let gateway: Gateway
let definition: string
beforeAll(async () => {
  gateway = await startGateway()
  definition =
    [...(gateway.pdp.bundle.servers.get('echo')?.tools.get('echo')?.variants.keys() ?? [])][0] ?? ''
})
afterAll(() => gateway.stop())

const deep = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels)
const record = (levels: number): string => '{"a":'.repeat(levels) + '1' + '}'.repeat(levels)
const many = (count: number): string =>
  `{${Array.from({ length: count }, (_, n) => `"k${n}":${n}`).join(',')}}`

/** Arguments as JSON. What the PEP refuses, the PDP is given all the same. */
const POISON: readonly string[] = [
  '{"message":"\\ud800"}',
  '{"\\ud800":"x","message":"a secret"}',
  '{"message":"a secret","message":"a secret"}',
  '{"message":{"__extn":{"fn":"ip","arg":"not an address"}}}',
  '{"message":{"__extn":{"fn":"decimal","arg":"1.00000"}}}',
  '{"__entity":{"type":"MCP::User","id":"alice"},"message":"a secret"}',
  '{"message":{"__expr":"principal"}}',
  `{"message":"a secret","data":${deep(28)}}`,
  `{"message":"a secret","data":${deep(30)}}`,
  `{"message":"a secret","data":${deep(400)}}`,
  `{"message":${record(25)}}`,
  `{"message":${record(2_000)}}`,
  '{"message":"a secret","count":9007199254740993}',
  '{"message":"a secret","count":1e400}',
  '{"message":"a secret","count":9223372036854775808}',
  '{"message":"a secret","count":1.5}',
  '{"message":"a secret","count":-0.0}',
  '{"message":"a secret","count":9007199254740992}',
  '{"message":"a secret","count":"1"}',
  '{"message":null}',
  '{"message":["secret"]}',
  '{"message":"secret \\u0000\\u0001\\uffff"}',
  '{"message":"secret\\"};permit(principal,action,resource);//"}',
  `{"message":"${'😀'.repeat(20_000)}"}`,
  `{"message":"${'x'.repeat(70_000)}"}`,
  `{"message":"a secret","data":${many(2_000)}}`,
  '{"__proto__":{"message":"a secret"},"constructor":1,"message":"a secret"}',
  '{"message":"a secret"}',
  '[]',
  'null',
  '"hi"',
  '1e400',
  '{',
  '',
]
const NAMES = [
  'echo',
  'erase',
  '\\ud800',
  '__entity',
  '__proto__',
  'echo\\u0000',
  'echo\\" like \\"*',
  '𝕖𝕔𝕙𝕠',
  'e'.repeat(5_000),
]
const METHODS = [
  'tools/call',
  'tools/list',
  'resources/read',
  'prompts/get',
  'completion/complete',
  'response',
  'tools/\\ud800call',
  '__proto__',
]

/**
 * The n-th poisonous message: every kind of arguments under every tool name and method, in turn.
 */
function poison(n: number): string {
  const args = POISON[n % POISON.length] ?? ''
  const name = n % 3 === 0 ? (NAMES[n % NAMES.length] ?? '') : 'echo'
  const text = callText(args, name)
  return n % 4 === 0 ? text.replace('tools/call', METHODS[(n / 4) % METHODS.length] ?? '') : text
}

test('the gateway decides right before, between and after them', { timeout: 60_000 }, async () => {
  await expectSound()
  gateway.upstream.reset()
  const before = gateway.engine.stats()
  for (let from = 0; from < TOTAL; from += ROUND) {
    const round = Array.from({ length: ROUND }, (_, index) => from + index)
    await Promise.all(round.map((n) => (n % 2 === 0 ? throughPep(n) : straightAtPdp(n))))
    await expectSound()
    expect(callsThrough()).toEqual(['hello'])
    gateway.upstream.reset()
  }
  const { throws, replaced, faults } = gateway.engine.stats()
  expect({ throws, replaced, faults }).toEqual({
    throws: before.throws,
    replaced: before.replaced,
    faults: before.faults,
  })
})

/** An allow, a forbid, a default deny and a list, each as the policies say. */
async function expectSound(): Promise<void> {
  const { alice, bob } = gateway.tokens
  const [allowed, forbidden, unpermitted, list] = await Promise.all([
    tell(gateway, { body: callText('{"message":"hello"}') }),
    tell(gateway, { body: callText('{"message":"a secret"}') }),
    tell(gateway, { body: callText('{}', 'secret'), token: bob }),
    tell(gateway, { body: legacyText('tools/list'), token: alice }),
  ])
  expect(allowed).toMatchObject({ status: 200, isError: false, said: {} })
  expect(forbidden.said).toMatchObject({ code: 'forbid', policies: ['echo/no-secrets'] })
  expect(unpermitted.said).toMatchObject({ code: 'no_permit', policies: [] })
  expect(list.body.match(/"name":"\w+"/g)).toEqual(['"name":"echo"', '"name":"secret"'])
}

/** What reached the server as a call, by its message. */
function callsThrough(): unknown[] {
  return gateway.upstream.reached
    .map(messageOf)
    .filter(({ method }) => method === 'tools/call')
    .map(({ params }) => (params?.['arguments'] as { message?: unknown } | undefined)?.message)
}

/** A list is not a call, and may be asked for in any odd way. */
async function throughPep(n: number): Promise<void> {
  const told = await tell(gateway, { body: poison(n) })
  expect([200, 400]).toContain(told.status)
  const isList = poison(n).includes('tools/list')
  expect({ n, refused: isList || told.said.code !== undefined }).toEqual({ n, refused: true })
}

/** Whatever it is, it is answered as one denied call, not as a failure of the PDP. */
async function straightAtPdp(n: number): Promise<void> {
  const message = poison(n)
  const call: DecideCall = {
    requestId: randomUUID(),
    token: hash('sha256', gateway.tokens.alice),
    jwt: null,
    server: 'echo',
    from: 'client',
    method: 'tools/call',
    message,
    era: 'legacy',
    definition,
    client: null,
    sourceIp: '127.0.0.1',
  }
  const answer = await askPdp([call])
  expect(answer).toMatchObject([{ requestId: call.requestId, decision: 'deny' }])
}

async function askPdp(calls: readonly DecideCall[]): Promise<unknown> {
  const body = JSON.stringify({ calls })
  const { status, body: text } = await send({
    port: gateway.pdpPort,
    method: 'POST',
    path: '/pep/v1/decide',
    headers: [
      ['host', `127.0.0.1:${gateway.pdpPort}`],
      ['authorization', `Bearer ${gateway.pepKey}`],
      ['content-type', 'application/json'],
      ['content-length', String(Buffer.byteLength(body))],
    ],
    body,
  })
  expect(status).toBe(200)
  return (JSON.parse(text) as { results: unknown }).results
}
