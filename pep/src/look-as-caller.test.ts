// Servers that people have credentials of their own for: the gateway looks as the caller whose tool it never saw, decided by
// that caller's token, and what it sees decides the calls of nobody else.
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { afterEach, expect, test } from 'vitest'
import type { Upstream } from '../../schemas/pep-api.ts'
import { readDefinition } from './definition.ts'
import {
  CALLER_DENIED_COOLDOWN_MS,
  CALLER_LOOK_INTERVAL_MS,
  CALLER_LOOKS_AT_ONCE_MAX,
  DISCOVERY_COOLDOWN_MS,
  DISCOVERY_WAIT_MS,
  STREAMS_PER_GRANT_MAX,
} from './limits.ts'
import {
  answerEvents,
  answerJson,
  bearer,
  countingSql,
  createTestPdp,
  digestOf,
  EVERYTHING_VISIBLE,
  openTestUpstream,
  parsed,
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

type Need = NonNullable<Upstream['credential']>
const PERSONAL: Need = { kind: 'bearer', per: 'user', required: true }
const SECRETS = new Map([1, 2].map((seed) => [digestOf(testToken(seed)), `secret-of-${seed}`]))
const open: (RunningTestPep | TestUpstream)[] = []
/** Of the PEP's clock. */
let skewMs = 0
const monotonic = () => performance.now() + skewMs
let version = 'first'

afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
  version = 'first'
})

const definition = (secret: string) => {
  return { name: 'mine', inputSchema: {}, description: `${version} of ${secret.slice(-1)}` }
}
const sha256Of = (seed: number) => readDefinition(definition(`secret-of-${seed}`)).sha256

/** Lists a tool to whoever authenticates, in words of their own. */
const personal: TestUpstream['answer'] = ({ headers, ...request }, response) => {
  const { id, method } = parsed({ headers, ...request })
  if (id === undefined) return void response.writeHead(202).end()
  const secret = headers.authorization?.slice('Bearer '.length)
  const tools = secret === undefined || version === 'none' ? [] : [definition(secret)]
  const result = method === 'tools/list' ? { tools } : { content: [] }
  return answerJson(response, { id, result })
}

/** Allows each with their own credential, and the gateway nothing. */
const byToken = ({ token }: { token: string | null }): Ruling => {
  const secret = token === null ? undefined : SECRETS.get(token)
  if (secret === undefined) return { deny: 'credential_unavailable' }
  return { allow: true, visible: EVERYTHING_VISIBLE, credential: bearer(secret) }
}

async function start(need: Need | undefined, rule: TestPdp['rule'] = byToken) {
  const server = await openTestUpstream('demo')
  server.answer = personal
  const pdp = createTestPdp([
    { ...server.upstream, ...(need === undefined ? {} : { credential: need }) },
  ])
  pdp.rule = rule
  pdp.reviewed = []
  const logged: { level: number; msg: string }[] = []
  const log = pino({ level: 'info' }, { write: (line) => void logged.push(JSON.parse(line)) })
  const pep = await startTestPep({ pdp: pdp.port, sql: countingSql(), monotonic, log })
  open.push(pep, server)
  const url = `${pep.url}/demo/mcp`
  const call = (seed: number, name = 'mine', id: number | string = 1) =>
    post(url, toolCall(name, {}, id), { authorization: `Bearer ${testToken(seed)}` })
  const looks = (seed?: number) => {
    const token = seed === undefined ? null : digestOf(testToken(seed))
    return pdp.calls.filter((one) => one.method === 'initialize' && one.token === token).length
  }
  const decidedBy = () => pdp.calls.at(-1)?.definition
  return { server, pdp, pep, url, call, looks, decidedBy, logged }
}

test('a tool never seen is looked at as its caller, whose list is theirs alone', async () => {
  const { server, pdp, call, looks, decidedBy, logged } = await start(PERSONAL)
  expect({ own: looks(), reached: server.reached }).toEqual({ own: 0, reached: [] })
  await call(1)
  expect(decidedBy()).toBe(sha256Of(1))
  expect(pdp.calls.map(({ method }) => method)).toEqual(['initialize', 'tools/call'])
  expect(pdp.calls[0]).toMatchObject({ token: digestOf(testToken(1)), client: { name: 'cedargate' } })
  await call(2)
  expect(decidedBy()).toBe(sha256Of(2))
  await call(1)
  expect(decidedBy()).toBe(sha256Of(1))
  expect([looks(1), looks(2), looks()]).toEqual([1, 1, 0])
  const own = server.reached.filter(({ headers }) => headers.authorization === 'Bearer secret-of-1')
  expect(own.map((one) => parsed(one).method)).toEqual([
    'initialize', 'notifications/initialized', 'tools/list', 'tools/call', 'tools/call',
  ])
  const told = () => pdp.told.flatMap((one) => ('tools' in one ? one.tools : []))
  await until(() => told().length === 2)
  expect(told().map(({ sha256 }) => sha256)).toEqual([sha256Of(1), sha256Of(2)])
  expect(pdp.told.every((one) => !('look' in one) || !one.look)).toBe(true)
  expect(logged.filter(({ level }) => level > 30)).toEqual([])
}) // biome-ignore format: a list

test('that the gateway cannot look for itself is said once, and is no warning', async () => {
  const { pdp, logged } = await start(PERSONAL)
  for (let round = 0; round < 3; round += 1) {
    pdp.tell({ kind: 'bundle', bundle: 'b'.repeat(64) })
    await sleep(100)
  }
  const said = logged.filter(({ msg }) => msg.includes('credentials of its callers'))
  expect(said).toMatchObject([{ level: 30 }])
  expect(logged.filter(({ level }) => level > 30)).toEqual([])
})

test('where the deployment may have one too, the gateway’s own look is tried, and a denial is said once', async () => {
  const either: Need = { ...PERSONAL, per: 'either' }
  const { pdp, call, looks, decidedBy, logged } = await start(either)
  expect(looks()).toBe(1)
  await call(1)
  expect(decidedBy()).toBe(sha256Of(1))
  skewMs += DISCOVERY_COOLDOWN_MS
  pdp.tell({ kind: 'bundle', bundle: 'b'.repeat(64) })
  await until(() => looks() === 2)
  expect(logged.filter(({ msg }) => msg.includes('credentials of its callers'))).toHaveLength(1)
  expect(logged.filter(({ level }) => level > 30)).toEqual([])
})

test('what the gateway has seen for itself, no caller is looked for', async () => {
  const either: Need = { ...PERSONAL, per: 'either' }
  const { call, looks, decidedBy } = await start(either, ({ token }) => {
    const secret = token === null ? 'secret-of-9' : 'secret-of-1'
    return { allow: true, visible: EVERYTHING_VISIBLE, credential: bearer(secret) }
  })
  await call(1)
  expect(decidedBy()).toBe(sha256Of(9))
  expect([looks(), looks(1)]).toEqual([1, 0])
})

test.each([undefined, { ...PERSONAL, per: 'deployment' as const }])(
  'with a credential of the deployment, or none, nobody is looked for',
  async (need) => {
    const { call, looks, decidedBy } = await start(need)
    await call(1)
    expect(decidedBy()).toBeNull()
    expect(looks(1)).toBe(0)
  },
)

test('calls at once wait for one look; the next one for an unknown tool only after a cooldown', async () => {
  const { pdp, call, looks, decidedBy } = await start(PERSONAL)
  await Promise.all(Array.from({ length: 5 }, (_, index) => call(1, 'mine', index)))
  expect(looks(1)).toBe(1)
  const calls = pdp.calls.filter(({ method }) => method === 'tools/call')
  expect(calls.map(({ definition: sha256 }) => sha256)).toEqual(Array(5).fill(sha256Of(1)))
  await call(1, 'none')
  await call(1, 'none')
  expect([looks(1), decidedBy()]).toEqual([1, null])
  skewMs += DISCOVERY_COOLDOWN_MS
  await call(1, 'none')
  await call(1, 'none')
  expect(looks(1)).toBe(2)
})

test('no more than so many callers are looked for at once, and nobody waits longer than for a look', async () => {
  const { server, pdp, call, decidedBy } = await start(PERSONAL, () => ({
    allow: true,
    credential: bearer('secret-of-1'),
  }))
  server.answer = (request, response) => {
    if (parsed(request).method === 'tools/call') personal(request, response)
  }
  const began = performance.now()
  const count = Math.min(CALLER_LOOKS_AT_ONCE_MAX + 4, STREAMS_PER_GRANT_MAX)
  await Promise.all(Array.from({ length: count }, (_, index) => call(index + 1)))
  expect(performance.now() - began).toBeLessThan(3 * DISCOVERY_WAIT_MS)
  expect(decidedBy()).toBeNull()
  const looked = pdp.calls.filter(({ method }) => method === 'initialize')
  expect(looked).toHaveLength(CALLER_LOOKS_AT_ONCE_MAX)
})

test('who may not look is decided without a fingerprint, and asked for again only after a cooldown', async () => {
  const { call, looks, decidedBy, logged } = await start(PERSONAL)
  await call(3)
  await call(3)
  expect([looks(3), decidedBy()]).toEqual([1, null])
  skewMs += CALLER_DENIED_COOLDOWN_MS
  await call(3)
  await call(3)
  expect([looks(3), decidedBy()]).toEqual([2, null])
  expect(logged.filter(({ level }) => level > 30)).toEqual([])
})

test('who connected their account since a look was denied is looked for again, long before another look is due', async () => {
  const { pdp, call, looks, decidedBy } = await start(PERSONAL, () => ({ deny: 'credential_unavailable' }))
  await call(1)
  expect([looks(1), decidedBy()]).toEqual([1, null])
  pdp.rule = byToken
  expect(CALLER_DENIED_COOLDOWN_MS).toBeLessThan(DISCOVERY_COOLDOWN_MS / 2)
  skewMs += CALLER_DENIED_COOLDOWN_MS
  await call(1)
  expect([looks(1), decidedBy()]).toEqual([2, sha256Of(1)])
}) // biome-ignore format: long

test('what was seen is looked at again after a while, and when the server says that it changed', async () => {
  const { server, call, decidedBy, looks } = await start(PERSONAL)
  await call(1)
  version = 'second'
  await call(1)
  const before = decidedBy()
  skewMs += CALLER_LOOK_INTERVAL_MS + 1
  await call(1)
  expect([before === sha256Of(1), decidedBy(), looks(1)]).toEqual([false, sha256Of(1), 2])
  version = 'third'
  server.answer = (request, response) => {
    const { id, method } = parsed(request)
    if (method !== 'tools/call') return personal(request, response)
    const changed = { method: 'notifications/tools/list_changed' }
    return answerEvents(response, changed, { id, result: { content: [] } })
  }
  await call(1)
  skewMs += DISCOVERY_COOLDOWN_MS
  await call(1)
  expect([decidedBy(), looks(1)]).toEqual([sha256Of(1), 3])
})

test('a tool that its caller’s list has no longer is decided without a fingerprint', async () => {
  const { call, decidedBy } = await start(PERSONAL)
  await call(1)
  version = 'none'
  skewMs += CALLER_LOOK_INTERVAL_MS + 1
  await call(1)
  expect(decidedBy()).toBeNull()
})

test('what a list of its own showed a caller is looked at again after a while too', async () => {
  const { url, call, decidedBy, looks, pdp } = await start(PERSONAL)
  pdp.reviewed = [definition('secret-of-1')]
  pdp.tell({ kind: 'bundle', bundle: 'b'.repeat(64) })
  await sleep(300)
  const authorization = `Bearer ${testToken(1)}`
  pdp.rule = (asked) => {
    const ruling = byToken(asked)
    return 'allow' in ruling
      ? { ...ruling, visible: { tools: ['mine'], resources: true, prompts: true } }
      : ruling
  }
  await post(url, { id: 1, method: 'tools/list' }, { authorization })
  await call(1)
  expect([decidedBy(), looks(1)]).toEqual([sha256Of(1), 0])
  version = 'second'
  skewMs += CALLER_LOOK_INTERVAL_MS + 1
  await call(1)
  expect([decidedBy(), looks(1)]).toEqual([sha256Of(1), 1])
})
