// What a PEP asks a PDP for beside decisions: what lists would show its callers now, and the keys that it binds names
// with. Neither is a decision, and none of another PEP's servers is told.
import { hash, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LIST_CALLERS_MAX } from '../../schemas/limits.ts'
import { decideResponse, listResponse, serversResponse } from '../../schemas/pep-api.ts'
import { startTestPdp, type TestPdp } from '../harness/pdp.ts'

let pdp: TestPdp
/** Grants on every server, unless they are named otherwise; and the digests of their tokens. */
const grants: Record<string, string> = {}
const tokens: Record<string, string> = {}
beforeAll(async () => {
  pdp = await startTestPdp()
  const grant = async (name: string, team: string[], change: object = {}): Promise<string> => {
    const servers = ['files', 'everything']
    const request = { user: name, agent: 'demo', servers, teams: team, expiresInMs: 3_600_000 }
    const { id, token } = await pdp.admin.createGrant({ ...request, ...change })
    tokens[name] = sha256(token)
    grants[name] = id
    return id
  }
  await grant('ann', ['engineering'])
  await grant('ben', ['interns'])
  await grant('cleo', [])
  await grant('files-only', ['interns'], { servers: ['files'] })
  await grant('expired', ['engineering'], { expiresInMs: 1 })
  await pdp.admin.revokeGrant(await grant('revoked', ['engineering']))
  grants['unknown'] = randomUUID()
})
afterAll(() => pdp.stop())

function sha256(text: string): string {
  return hash('sha256', text)
}

async function ask(path: string, credential: string, body?: object) {
  const answer = await pdp.app.request(path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { ...pdp.authorization(credential), 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: answer.status, headers: answer.headers, json: await answer.json() }
}

type Caller = readonly [who: string, server: string]
async function shown(callers: readonly Caller[], credential = 'pep') {
  const body = { callers: callers.map(([who, server]) => ({ grant: grants[who], server })) }
  const { json } = await ask('/pep/v1/list', credential, body)
  return listResponse.parse(json).visible
}

/** What a list itself is answered with. */
async function decided(who: string, server: string, method: string) {
  const call = {
    requestId: randomUUID(),
    token: tokens[who],
    server,
    method,
    message: JSON.stringify({ jsonrpc: '2.0', id: 1, method }),
    era: 'legacy',
    definition: null,
    client: null,
    sourceIp: null,
  }
  const { json } = await ask('/pep/v1/decide', 'pep', { calls: [call] })
  const [result] = decideResponse.parse(json).results
  return result?.kind === 'verdict' ? result.visible : undefined
}

async function counters(): Promise<string[]> {
  const text = await (await pdp.app.request('/metrics')).text()
  return text.split('\n').filter((line) => /^cedargate_\w+(?:_total|_count)\b/.test(line))
}

async function keysOf(credential: string) {
  const { json, headers } = await ask('/pep/v1/servers', credential)
  expect(headers.get('cache-control')).toBe('no-store')
  return serversResponse.parse(json).keys
}

describe('lists', () => {
  test.each([
    ['ann', 'files'],
    ['ben', 'files'],
    ['ann', 'everything'],
    ['ben', 'everything'],
  ] as const)('of %s on %s are shown as each is when it is asked for', async (who, server) => {
    const [seen] = await shown([[who, server]])
    const methods = ['tools/list', 'resources/list', 'prompts/list'] as const
    const [tools, resources, prompts] = await Promise.all(
      methods.map((method) => decided(who, server, method)),
    )
    expect(seen).toEqual({
      tools: tools?.tools,
      resources: resources?.resources,
      prompts: prompts?.prompts,
    })
    expect(seen?.tools.length).toBeGreaterThan(0)
  })

  test('of whoever may not list are none, and the others stay in their places', async () => {
    const callers: Caller[] = [
      ['cleo', 'files'],
      ['ann', 'files'],
      ['unknown', 'files'],
      ['files-only', 'everything'],
      ['ben', 'files'],
      ['revoked', 'files'],
      ['expired', 'files'],
      ['ann', 'nowhere'],
    ]
    const answers = await shown(callers)
    expect(answers.map((visible) => visible !== null)).toEqual([
      false, true, false, false, true, false, false, false,
    ]) // biome-ignore format: one a caller
    expect(answers[1]?.tools).toContain('write_file')
    expect(answers[4]?.tools).not.toContain('write_file')
  })

  test('of a server that is another PEP’s are none', async () => {
    const callers: Caller[] = [['ann', 'everything'], ['ann', 'files']] // biome-ignore format: a list
    const [foreign, own] = await shown(callers, 'pep-files')
    expect(foreign).toBeNull()
    expect(own?.tools).toContain('write_file')
  })

  test('are no decisions: nothing is sealed, counted or recorded', async () => {
    const before = await counters()
    expect(before.join('\n')).toMatch(/decisions/)
    await shown([['ann', 'files'], ['cleo', 'files']]) // biome-ignore format: a list
    expect(await counters()).toEqual(before)
    await decided('ann', 'files', 'tools/list')
    expect(await counters()).not.toEqual(before)
  })

  test.each([
    { count: 0, status: 400 },
    { count: LIST_CALLERS_MAX, status: 200 },
    { count: LIST_CALLERS_MAX + 1, status: 400 },
  ])('of $count callers are answered $status', async ({ count, status }) => {
    const callers = Array.from({ length: count }, () => ({ grant: grants['ann'], server: 'files' }))
    expect((await ask('/pep/v1/list', 'pep', { callers })).status).toBe(status)
  })

  test.each(['cgt_token', sha256(''), '', null])(
    'take the id of a grant, never %j',
    async (grant) => {
      const callers = [{ grant, server: 'files' }]
      expect((await ask('/pep/v1/list', 'pep', { callers })).status).toBe(400)
    },
  )
})

describe('binding keys', () => {
  test('a PEP gets three of each server that it is enrolled for, and no other', async () => {
    const all = await keysOf('pep')
    expect(all.map(({ server }) => server)).toEqual([
      'everything', 'everything', 'everything', 'files', 'files', 'files',
    ]) // biome-ignore format: a list
    const epochs = all.slice(0, 3).map(({ id }) => Number.parseInt(id, 36))
    const [now = 0] = epochs
    expect(epochs).toEqual([now, now - 1, now + 1])
    expect(now).toBe(Math.floor(Date.now() / (30 * 86_400_000)))
    expect(await keysOf('pep-files')).toEqual(all.filter(({ server }) => server === 'files'))
  })

  test('another PEP beside the same server gets the same', async () => {
    const all = await keysOf('pep')
    expect(await keysOf('pep-everything')).toEqual(all.slice(0, 3))
  })
})
