// What a client is shown of tools: the reviewed definitions of what its own list had, and nothing
// that the server says itself; and by which fingerprint its calls are decided.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readDefinition } from './definition.ts'
import { DISCOVERY_COOLDOWN_MS } from './limits.ts'
import {
  answerEvents,
  answerJson,
  clientHeaders,
  countingSql,
  createTestPdp,
  modern,
  openTestUpstream,
  parsed,
  post,
  type Reached,
  type RunningTestPep,
  startTestPep,
  type TestPdp,
  type TestTool,
  type TestUpstream,
  testToken,
  toolCall,
  until,
} from './testing.ts'

const tool = (name: string, description = `reviewed ${name}`): TestTool => {
  return { name, description, inputSchema: { type: 'object' } }
}
const A = tool('a')
const A2 = tool('a', 'also reviewed')
const B = tool('b')
const CHANGED = { ...A, description: 'EVIL' }
const sha = (definition: object): string => readDefinition(definition).sha256
const LIST = { id: 1, method: 'tools/list' }

let server: TestUpstream
let pdp: TestPdp
let pep: RunningTestPep
let url: string
let skewMs = 0
const monotonic = () => performance.now() + skewMs
/** What the gateway's own look sees, and what each caller does. */
let own: readonly object[]
let lists: Record<string, readonly object[]>

const isOwn = ({ body }: Reached): boolean => body.includes('"id":"cedargate-')
const serve: TestUpstream['answer'] = (request, response) => {
  const { id, method } = parsed(request)
  if (id === undefined) return void response.writeHead(202).end()
  const caller = String(request.headers['traceparent'] ?? '')
  const tools = isOwn(request) ? own : (lists[caller] ?? own)
  return answerJson(response, { id, result: method === 'tools/list' ? { tools } : {} })
}
/** One caller; the server knows which by a header that crosses. */
const as = (seed: number) => ({ ...clientHeaders(testToken(seed)), traceparent: String(seed) })
const shownTo = async (seed: number) => (await post(url, LIST, as(seed))).json.result?.['tools']
const decidedBy = async (seed: number, name = 'a') => {
  await post(url, toolCall(name), as(seed))
  return pdp.calls.at(-1)?.definition
}
const look = () => {
  pdp.definitions.clear()
  skewMs += DISCOVERY_COOLDOWN_MS
  pdp.tell({ kind: 'bundle', bundle: 'c'.repeat(64) })
  return until(() => pdp.definitions.has('demo'))
}

beforeAll(async () => {
  server = await openTestUpstream('demo')
  pdp = createTestPdp([server.upstream])
})
afterAll(() => server.close())
beforeEach(async () => {
  await pep?.close()
  own = [A, B]
  lists = {}
  server.answer = serve
  pdp.reviewed = [A, B]
  pdp.rule = () => {
    return { allow: true, visible: { tools: ['a', 'b', 'new'], resources: true, prompts: true } }
  }
  pdp.told.length = 0
  pdp.kept.clear()
  pep = await startTestPep({ pdp: pdp.port, sql: countingSql(), monotonic })
  url = `${pep.url}/demo/mcp`
})
afterAll(() => pep.close())

describe('the reviewed definition is shown', () => {
  test.each<{ name: string; tools: readonly object[]; want: readonly object[] }>([
    { name: 'as it is', tools: [B, A], want: [B, A] },
    { name: 'for changed prose', tools: [CHANGED, B], want: [A, B] },
    { name: 'for a changed schema', tools: [{ ...A, inputSchema: { type: 'object', properties: { x: { description: 'EVIL' } } } }], want: [A] },
    { name: 'for changed annotations', tools: [{ ...A, annotations: { title: 'EVIL' } }], want: [A] },
    { name: 'for a member nobody knows', tools: [{ ...A, _meta: { x: 'EVIL' } }], want: [A] },
    { name: 'for one without a schema', tools: [{ name: 'a' }], want: [A] },
    { name: 'for one that cannot be read', tools: [{ ...A, description: 'EVIL\ud800' }, B], want: [A, B] },
    { name: 'only of what was listed', tools: [B], want: [B] },
    { name: 'never of what was not reviewed', tools: [tool('new', 'EVIL'), B], want: [B] },
    { name: 'once, however often it is listed', tools: [A, CHANGED, B, A, B], want: [A, B] },
  ])('$name', async ({ tools, want }) => {
    lists['2'] = tools
    expect(await shownTo(2)).toEqual(want)
  }) // biome-ignore format: a table

  test('as events, in the modern era, and page by page', async () => {
    server.answer = (request, response) => {
      const { id } = parsed(request)
      if (isOwn(request)) return serve(request, response)
      const result = { resultType: 'complete', tools: [CHANGED], nextCursor: 'two' }
      return answerEvents(response, { method: 'notifications/message' }, { id, result })
    }
    for (const { message, headers } of [{ message: LIST, headers: {} }, modern(LIST)]) {
      const { json, text } = await post(url, message, headers)
      expect(json.result).toMatchObject({ tools: [A], nextCursor: 'two' })
      expect(text).not.toContain('EVIL')
    }
  })

  test('one of several variants: the one that was listed, else the latest', async () => {
    pdp.reviewed = [A, A2, B]
    await look()
    for (const [listed, want] of [
      [A, A],
      [A2, A2],
      [CHANGED, A2],
    ] as const) {
      // biome-ignore format: a table
      lists['2'] = [listed, B]
      expect(await shownTo(2)).toEqual([want, B])
    }
  })
})

describe('while the reviewed definitions are not known', () => {
  test('no tool is listed; when they are again, it is without waiting for the next look', async () => {
    pdp.reviewed = null
    await look()
    expect(await shownTo(2)).toEqual([])
    expect(await shownTo(2)).toEqual([])
    pdp.reviewed = [A, B]
    skewMs += DISCOVERY_COOLDOWN_MS
    await shownTo(2)
    await until(() => pdp.definitions.has('demo'))
    expect(await shownTo(2)).toEqual([A, B])
  })

  test('calls are decided all the same', async () => {
    pdp.reviewed = null
    await look()
    expect(await decidedBy(2)).toBe(sha(A))
  })
})

describe('what a caller’s own list showed decides its calls', () => {
  test('one that was not reviewed: for this caller and nobody else', async () => {
    lists['2'] = [CHANGED, B]
    await shownTo(2)
    await shownTo(3)
    expect(await decidedBy(2)).toBe(sha(CHANGED))
    expect(await decidedBy(2, 'b')).toBe(sha(B))
    expect(await decidedBy(3)).toBe(sha(A))
    lists['2'] = [A, B]
    await shownTo(2)
    expect(await decidedBy(2)).toBe(sha(A))
  })

  test('it is told to the PDP, and looked into', async () => {
    lists['2'] = [CHANGED, B]
    skewMs += DISCOVERY_COOLDOWN_MS
    pdp.definitions.clear()
    await shownTo(2)
    await until(() => pdp.kept.has(sha(CHANGED)) && pdp.definitions.has('demo'))
    const shown = pdp.told.filter((told) => 'look' in told && !told.look)
    expect(shown).toEqual([
      { server: 'demo', look: false, tools: [{ name: 'a', sha256: sha(CHANGED) }] },
    ])
  })

  test('a reviewed variant: as that, until the gateway’s own look changes', async () => {
    pdp.reviewed = [A, A2, B]
    await look()
    lists['2'] = [A2, B]
    await shownTo(2)
    expect(await decidedBy(2)).toBe(sha(A2))
    own = [CHANGED, B]
    await look()
    expect(await decidedBy(2)).toBe(sha(CHANGED))
  })

  test('a tool that only this caller is shown', async () => {
    own = [B]
    await look()
    lists['2'] = [A]
    await shownTo(2)
    expect(await decidedBy(2)).toBe(sha(A))
    expect(await decidedBy(3)).toBeNull()
  })

  test('one that was listed in two ways is decided as neither', async () => {
    lists['2'] = [A, CHANGED]
    await shownTo(2)
    expect(await decidedBy(2)).toBe(sha([sha(A), sha(CHANGED)]))
  })
})
