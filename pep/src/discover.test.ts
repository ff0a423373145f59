// Discovery: what the PEP itself sees of a server's tools, decided and recorded like any caller,
// and told to the PDP.
import { afterEach, expect, test } from 'vitest'
import {
  answerEvents,
  answerJson,
  countingSql,
  createTestPdp,
  openTestUpstream,
  parsed,
  post,
  type RunningTestPep,
  startTestPep,
  type TestUpstream,
  toolCall,
} from './testing.ts'

/** Of {"inputSchema":{"type":"object"},"name":"a"}, by `printf … | sha256sum`. */
const SHA256_OF_A = '60d4353e9a5499b483d09f13d9e28060e70f34edf787bb7040ba30bd390f85af'
const tool = (name: string) => ({ name, inputSchema: { type: 'object' } })
const open: (RunningTestPep | TestUpstream)[] = []

afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
})

async function start(answer?: TestUpstream['answer']) {
  const server = await openTestUpstream('demo')
  if (answer !== undefined) server.answer = answer
  const pdp = createTestPdp([server.upstream])
  const sql = countingSql()
  const restart = async (pepPdp = pdp) => {
    const pep = await startTestPep({ pdp: pepPdp.port, sql })
    open.unshift(pep)
    return `${pep.url}/demo/mcp`
  }
  open.push(server)
  return { server, pdp, sql, restart }
}

const paged: TestUpstream['answer'] = (request, response) => {
  const { id, method } = parsed(request)
  if (id === undefined) return void response.writeHead(202).end()
  response.setHeader('mcp-session-id', 's-1')
  if (method === 'initialize')
    return answerJson(response, { id, result: { protocolVersion: '2025-11-25' } })
  const isFirst = !request.body.includes('"cursor":"two"')
  const result = isFirst ? { tools: [tool('a')], nextCursor: 'two' } : { tools: [tool('b')] }
  return answerEvents(response, { method: 'notifications/message' }, { id, result })
}

test('all pages, in a session of its own that is decided, recorded, and ended', async () => {
  const { server, pdp, sql, restart } = await start(paged)
  await restart()
  expect(pdp.calls).toHaveLength(1)
  expect(pdp.calls[0]).toMatchObject({ token: null, method: 'initialize', server: 'demo' })
  expect(JSON.parse(pdp.calls[0]?.message ?? '')).toMatchObject({
    params: {
      capabilities: { roots: {}, sampling: {}, elicitation: {} },
      clientInfo: { name: 'cedargate' },
    },
  })
  expect(sql.statements).toHaveLength(1)
  expect(pdp.definitions.get('demo')).toEqual(['a', 'b'])
  const asked = server.reached.map((one) => parsed(one).method ?? one.method)
  expect(asked).toEqual([
    'initialize',
    'notifications/initialized',
    'tools/list',
    'tools/list',
    'DELETE',
  ])
  expect(server.reached.at(-1)?.headers).toMatchObject({
    'mcp-session-id': 's-1',
    'mcp-protocol-version': '2025-11-25',
  })
})

test('a call carries the fingerprint of its tool; one never seen carries none', async () => {
  const { pdp, restart } = await start(paged)
  const url = await restart()
  pdp.calls.length = 0
  await post(url, toolCall('a'))
  await post(url, toolCall('none'))
  const calls = pdp.calls.filter(({ method }) => method === 'tools/call')
  expect(calls.map(({ definition }) => definition)).toEqual([SHA256_OF_A, null])
})

test('what a caller is shown changes nothing of what is known', async () => {
  const { server, pdp, restart } = await start(paged)
  const url = await restart()
  server.answer = (_request, response) =>
    answerJson(response, { id: 1, result: { tools: [{ ...tool('a'), description: 'for you' }] } })
  await post(url, { id: 1, method: 'tools/list' })
  await post(url, toolCall('a'))
  expect(pdp.calls.at(-1)?.definition).toBe(SHA256_OF_A)
})

test('a server of the modern era only is asked without a handshake', async () => {
  const { server, pdp, restart } = await start((request, response) => {
    const { id, method } = parsed(request)
    if (method === 'initialize') return void response.writeHead(400).end()
    return answerJson(response, { id, result: { resultType: 'complete', tools: [tool('a')] } })
  })
  await restart()
  expect(pdp.definitions.get('demo')).toEqual(['a'])
  expect(server.reached.at(-1)?.headers).toMatchObject({
    'mcp-method': 'tools/list',
    'mcp-protocol-version': '2026-07-28',
  })
})

test('where policy denies the gateway, it does not look', async () => {
  const { server, pdp, restart } = await start()
  pdp.rule = () => ({ deny: 'no_permit' })
  await restart()
  expect(server.reached).toEqual([])
  expect(pdp.definitions.size).toBe(0)
})

test.each<{ name: string; answer: TestUpstream['answer'] }>([
  { name: 'is away', answer: (_request, response) => response.destroy() },
  {
    name: 'lists nonsense',
    answer: (request, response) =>
      answerJson(response, { id: parsed(request).id, result: { tools: {} } }),
  },
])('a server that $name does not keep the PEP from starting', async ({ answer }) => {
  const { restart, pdp } = await start(answer)
  await restart()
  expect(pdp.definitions.size).toBe(0)
})
