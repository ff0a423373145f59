// Discovery: what the PEP itself sees of a server's tools, decided and recorded like any caller,
// and told to the PDP.
import { hash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { DEFINITION_BYTES_MAX } from '../../schemas/limits.ts'
import { DISCOVERY_COOLDOWN_MS } from './limits.ts'
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
  type TestPdp,
  type TestUpstream,
  toolCall,
  until,
} from './testing.ts'

/** Of {"inputSchema":{"type":"object"},"name":"a"}, by `printf … | sha256sum`. */
const SHA256_OF_A = '60d4353e9a5499b483d09f13d9e28060e70f34edf787bb7040ba30bd390f85af'
const tool = (name: string) => ({ name, inputSchema: { type: 'object' } })
const open: (RunningTestPep | TestUpstream)[] = []
/** Of the PEP's clock. */
let skewMs = 0
const monotonic = () => performance.now() + skewMs

/** One notification, cut in two. */
const SAID = 'data: {"jsonrpc":"2.0","method":"notifications/tools\\/list_changed"}\n\n'

afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
})

async function start(answer?: TestUpstream['answer']) {
  const server = await openTestUpstream('demo')
  if (answer !== undefined) server.answer = answer
  const pdp = createTestPdp([server.upstream])
  const sql = countingSql()
  const restart = async (pepPdp = pdp) => {
    const pep = await startTestPep({ pdp: pepPdp.port, sql, monotonic })
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

const looksIn = ({ calls }: TestPdp) => calls.filter(({ method }) => method === 'initialize').length

test('definitions are told once, whole, those that are too long by their fingerprint', async () => {
  const long = { ...tool('long'), description: 'x'.repeat(DEFINITION_BYTES_MAX) }
  const many = Array.from({ length: 9 }, (_, at) => {
    return { ...tool(`t${at}`), description: 'x'.repeat(DEFINITION_BYTES_MAX / 2) }
  })
  const odd = { ...tool(`\0${'n'.repeat(300)}`) }
  const { pdp, restart } = await start((request, response) => {
    const { id, method } = parsed(request)
    if (id === undefined) return void response.writeHead(202).end()
    const tools = [long, ...many, odd, many[0], tool('t0')]
    return answerJson(response, { id, result: method === 'tools/list' ? { tools } : {} })
  })
  await restart()
  const contents = pdp.told.flatMap((told) => ('contents' in told ? told.contents : []))
  const sizes = pdp.told.flatMap((told) => ('contents' in told ? [told.contents.length] : []))
  expect(sizes.length).toBeGreaterThan(1)
  const wrong = contents.filter(({ sha256, content }) => {
    return content !== null && hash('sha256', content) !== sha256
  })
  expect(wrong).toEqual([])
  expect(contents.filter(({ content }) => content === null)).toHaveLength(1)
  // The long one, nine, the odd one, `t0` again, and the pair of both `t0`.
  expect(contents).toHaveLength(13)
  expect(pdp.definitions.get('demo')?.filter((name) => name === 't0')).toHaveLength(3)
  pdp.told.length = 0
  pdp.tell({ kind: 'bundle', bundle: 'c'.repeat(64) })
  await until(() => pdp.told.length > 0)
  expect(pdp.told).toHaveLength(1)
})

test('a PDP that cannot be told keeps nobody from being decided', async () => {
  const { pdp, restart } = await start(paged)
  const post0 = pdp.port.post
  const refusing: TestPdp['port']['post'] = async (path, body, timeoutMs) => {
    if (path === '/pep/v1/definitions') return { status: 500, body: '' }
    return post0(path, body, timeoutMs)
  }
  Object.assign(pdp.port, { post: refusing })
  await post(await restart(), toolCall('a'))
  expect(pdp.calls.at(-1)?.definition).toBe(SHA256_OF_A)
})

test('a storm of changes is one look per cooldown, the last of it looked at too', async () => {
  const { server, pdp, restart } = await start(paged)
  const url = await restart()
  const look = server.answer
  server.answer = (request, response) => {
    if (parsed(request).method !== 'tools/call') return look(request, response)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const half = SAID.length / 2
    response.write(SAID.slice(0, half))
    setTimeout(() => response.end(`${SAID.slice(half)}${SAID}`), 5)
  }
  const storm = async () => {
    for (let count = 0; count < 20; count++) await post(url, toolCall('a'))
  }
  expect(looksIn(pdp)).toBe(1)
  skewMs += DISCOVERY_COOLDOWN_MS
  await storm()
  expect(looksIn(pdp)).toBe(2)
  await sleep(DISCOVERY_COOLDOWN_MS + 500)
  expect(looksIn(pdp)).toBe(3)
  await sleep(DISCOVERY_COOLDOWN_MS + 500)
  expect(looksIn(pdp)).toBe(3)
})

test('a list is looked at again when it is good no longer, but not within a cooldown', async () => {
  const rows = [
    { ttlMs: 0, looks: 2 },
    { ttlMs: 1.5, looks: 2 },
    { ttlMs: -1, looks: 1 },
    { ttlMs: 'soon', looks: 1 },
    { ttlMs: 600_000, looks: 1 },
  ]
  const pdps = await Promise.all(rows.map(({ ttlMs }) => startWithTtl(ttlMs)))
  expect(pdps.map(looksIn)).toEqual(rows.map(() => 1))
  await sleep(DISCOVERY_COOLDOWN_MS + 500)
  expect(pdps.map(looksIn)).toEqual(rows.map(({ looks }) => looks))
})

async function startWithTtl(ttlMs: unknown): Promise<TestPdp> {
  const { pdp, restart } = await start((request, response) => {
    const { id, method } = parsed(request)
    if (id === undefined) return void response.writeHead(202).end()
    const result = method === 'tools/list' ? { tools: [tool('a')], ttlMs } : {}
    return answerJson(response, { id, result })
  })
  await restart()
  return pdp
}
