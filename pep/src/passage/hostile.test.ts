// A server that words its messages so that one reader takes them for something else than another: what is decided and
// filtered is what every client reads, or nothing passes.
import { pino } from 'pino'
import { beforeEach, describe, expect, test } from 'vitest'
import type { Verdict } from '../../../schemas/pep-api.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { createBindings } from '../inbound/bindings.ts'
import type { Inbound } from '../inbound/receive.ts'
import { passEvents } from './events.ts'
import { createPassage, type Passage } from './passage.ts'
import { checkOneReading } from './server-message.ts'

const bindings = createBindings(() => 1_000_000)
bindings.use([{ server: 'demo', id: 'k', key: Buffer.alloc(32, 1).toString('base64url') }])

const CALL: Inbound = {
  requestId: 'r-1', server: 'demo', from: 'client', grant: 'alice', token: null, jwt: null, expiresAt: null, era: 'legacy', method: 'tools/call',
  kind: 'request', id: 1, tool: 'pay', params: { name: 'pay' }, text: '{}', session: undefined,
  headers: {}, client: null, sourceIp: null,
} // biome-ignore format: a request
const LIST: Inbound = { ...CALL, method: 'tools/list', tool: undefined, params: undefined }
const VISIBLE = { tools: [], resources: false, prompts: false }
const verdictOf = (decision: 'allow' | 'deny') =>
  ({ decision, code: 'no_permit', decisionId: 'd-1', policies: [], text: 'no', visible: VISIBLE }) as unknown as Verdict // biome-ignore format: one line

let asked: JsonObject[]
let told: JsonObject[]
let decision: 'allow' | 'deny'
beforeEach(() => {
  asked = []
  told = []
  decision = 'deny'
})

function passageOf(inbound: Inbound): Passage {
  const ports = {
    bindings,
    showTools: () => [],
    onListed: () => undefined,
    onToolsChanged: () => undefined,
    passesInstructions: () => false,
    log: pino({ level: 'silent' }),
    ask(_of: Inbound, request: JsonObject) {
      asked.push(request)
      return Promise.resolve(verdictOf(decision))
    },
  }
  return createPassage(ports, inbound, verdictOf('allow'))
}
const tellServer = (text: string) => void told.push(JSON.parse(text) as JsonObject)
const pass = async (message: JsonObject, inbound: Inbound = CALL) =>
  passageOf(inbound).pass({ jsonrpc: '2.0', ...message }, tellServer)
const streamed = async (text: string, inbound: Inbound = LIST): Promise<string> =>
  (await passEvents(passageOf(inbound), tellServer).push(Buffer.from(text))).toString()
const UNUSABLE = expect.objectContaining({ code: 'upstream_invalid' })
const HIDDEN = '{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"hidden"}]}}'

describe('lines that only some readers see', () => {
  const asking = '{"jsonrpc":"2.0","id":77,"method":"sampling/createMessage","params":{}}'
  test.each([
    { name: 'in a comment, U+2028', text: `: ping\u2028\u2028data: ${asking}\u2028\u2028\n\n` },
    { name: 'in a comment, U+0085', text: `: ping\u0085\u0085data: ${asking}\u0085\u0085\n\n` },
    { name: 'in an id, vertical tab', text: `id: 1\u000bdata: ${asking}\u000b\u000b\n\n` },
    { name: 'in an event type, form feed', text: `event: x\u000cdata: ${asking}\u000c\u000c\n\n` },
    { name: 'behind a mark in the middle, not quite JSON', text: `: a\n\n\ufeffevent: x\ndata: ${asking.replace('{}', '{"a":NaN}')}\n\n` },
    { name: 'of another type, not quite JSON', text: `event: x\ndata: ${asking.replace('{}', '{"a":NaN}')}\n\n` },
  ])('$name: nothing of them passes', async ({ text }) => {
    expect(await streamed(text)).not.toContain('sampling')
    expect(asked).toEqual([])
  }) // biome-ignore format: a table

  test('inside of a message are written so that none sees them, and mean the same', async () => {
    const inner = `x\u2028\u2028data: {}\u2029\u0085\ufeff`
    const message = { jsonrpc: '2.0', method: 'notifications/message', params: { data: inner } }
    const got = await streamed(`data: ${JSON.stringify(message)}\n\n`, CALL)
    expect(got).not.toMatch(/[\u0085\u2028\u2029\ufeff]/)
    expect(JSON.parse(got.slice('data: '.length))).toEqual(message)
  })
})

test.each([{ code: '-32042' }, { code: -32_042.5 }, { code: null }, {}, 'text', 7])(
  'an error without a number for a code is none: %j',
  async (error) => {
    await expect(pass({ id: 1, error })).rejects.toEqual(UNUSABLE)
  },
)

describe('events', () => {
  test.each([
    { name: 'JSON that is no field', text: `${HIDDEN}\n\n` },
    { name: 'JSON beside a comment', text: `: hi\n${HIDDEN}\nid: 4\n\n` },
    {
      name: 'JSON beside a message',
      text: `${HIDDEN}\ndata: ${HIDDEN.replace('hidden', 'x')}\n\n`,
    },
    { name: 'JSON beside another event', text: `event: tick\n${HIDDEN}\ndata: 5 o'clock\n\n` },
  ])('of $name: the line does not pass', async ({ text }) => {
    expect(await streamed(text)).not.toContain('hidden')
  })

  test.each([
    { name: 'a type taken back', text: 'event: tick\nevent:\n' },
    { name: 'a type taken back by a bare field', text: 'event: tick\nevent\n' },
  ])(
    '$name: what is no JSON to us, and is to a lenient reader, is not passed',
    async ({ text }) => {
      const data = HIDDEN.replace('"hidden"', '"hidden","x":NaN')
      await expect(streamed(`${text}data: ${data}\n\n`)).rejects.toEqual(UNUSABLE)
    },
  )

  test('of another type that say nothing of JSON-RPC pass as they are', async () => {
    const text = 'event: tick\nid: 4\ndata: a\ndata: b\n\n'
    expect(await streamed(text)).toBe(text)
    expect(await streamed(`odd: line\n${text}`)).toBe(text)
  })
})

const twice = (members: string) => `{"jsonrpc":"2.0",${members}}`

describe('a member that is named twice', () => {
  test.each([
    { name: 'two results', text: twice('"id":1,"result":{"inputRequests":{}},"result":{}') },
    { name: 'two results, one escaped', text: twice('"id":1,"result":{},"r\\u0065sult":{}') },
    {
      name: 'two methods',
      text: twice('"id":1,"method":"sampling/createMessage","method":"ping"'),
    },
    { name: 'two ids', text: twice('"id":2 ,"id"\t:\n1,"result":{}') },
    { name: 'two codes', text: twice('"id":1,"error":{"code":-32042,"message":"\\\\","code":1}') },
    {
      name: 'two lists',
      text: twice('"id":1,"result":{"a":["]}\\"{"],"tools":[{"a":1}],"tools":[]}'),
    },
    {
      name: 'two of params',
      text: twice('"method":"notifications/message","params":{"a":{"b":1},"a":1}'),
    },
  ])('is refused, in events too: $name', async ({ text }) => {
    JSON.parse(text)
    expect(() => checkOneReading(text)).toThrow(UNUSABLE)
    await expect(streamed(`data: ${text}\n\n`, CALL)).rejects.toEqual(UNUSABLE)
  })

  test.each([
    '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}',
    '{"a":"a\\"","b":"\\"a\\":","c":"{\\"a\\":1,\\"a\\":2}"}',
    '{"result":{"content":[{"x":1,"x":2}]}}',
    '{}',
    '[]',
    '""',
  ])('is none in %s', (text) => {
    JSON.parse(text)
    expect(() => checkOneReading(text)).not.toThrow()
  })

  test('is found in 16 MiB before anybody has waited for it', () => {
    const items = '{"a":"x"},'.repeat(1_600_000)
    const text = `{"result":{"a":[${items}1],"a":1}}`
    const before = performance.now()
    expect(() => checkOneReading(text)).toThrow(UNUSABLE)
    expect(performance.now() - before).toBeLessThan(1_500)
  })
})

test.each([[['1']], [{ toString: 1 }], [true], [1.5]])(
  'an answer with an id that is none is refused: %j',
  async (id) => {
    await expect(pass({ id, result: {} })).rejects.toEqual(UNUSABLE)
  },
)

describe('an event that cannot be used', () => {
  const good = 'data: {"jsonrpc":"2.0","id":1,"result":{"content":[]}}\n\n'
  const bad = 'data: nonsense\n\n'

  test('does not take back what came before it in the same chunk', async () => {
    const events = passEvents(passageOf(CALL), tellServer)
    expect((await events.push(Buffer.from(good + bad + good))).toString()).toBe(good)
    expect(events.failure()).toEqual(UNUSABLE)
  })

  test('nor what was decided first', async () => {
    decision = 'allow'
    const asking = 'data: {"jsonrpc":"2.0","id":"s","method":"roots/list"}\n\n'
    const events = passEvents(passageOf(CALL), tellServer)
    expect((await events.push(Buffer.from(asking + bad + good))).toString()).toBe(asking)
    expect(events.failure()).toEqual(UNUSABLE)
  })

  test('is thrown where nothing came before it', () => {
    const events = passEvents(passageOf(CALL), tellServer)
    expect(() => events.push(Buffer.from(bad + good))).toThrow(UNUSABLE)
  })
})
