// Credentials at a whole PDP: what operators may do, what a PEP gets with an allow, and that nobody else gets anything.
import { hash, randomUUID } from 'node:crypto'
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { actRow } from '../../schemas/admin-api.ts'
import {
  credentialKeys,
  credentialRow,
  credentialsPage,
  removedCredential,
  rewrapLine,
  testedCredential,
} from '../../schemas/credentials-api.ts'
import { decideResponse, type Verdict } from '../../schemas/pep-api.ts'
import { startTestPdp, type TestPdp } from '../harness/pdp.ts'

let pdp: TestPdp
let token = ''
const logged: string[] = []
const log = pino({ level: 'trace' }, new Writable({ write(chunk, _, done) { logged.push(String(chunk)); done() } })) // biome-ignore format: short
beforeAll(async () => {
  pdp = await startTestPdp(undefined, { log })
  const grant = await pdp.admin.createGrant({
    user: 'carol',
    agent: 'demo',
    servers: ['files', 'everything'],
    teams: ['engineering'],
    expiresInMs: 3_600_000,
  })
  token = hash('sha256', grant.token)
})
afterAll(() => pdp.stop())
beforeEach(() => pdp.store.sql.query('delete from credentials'))

async function ask(method: string, path: string, body?: object, credential = 'operator') {
  const answer = await pdp.app.request(path, {
    method,
    headers: { ...pdp.authorization(credential), 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  return {
    status: answer.status,
    headers: answer.headers,
    text,
    json: text.startsWith('{') ? (JSON.parse(text.split('\n')[0] ?? '') as unknown) : undefined,
  }
}

const CANARY = 'canary-8c1f-of-the-pdp'
const header = (value: string = CANARY, name = 'X-Demo-Key') => ({ kind: 'header', name, value })
const set = async (change: object = {}) =>
  ask('PUT', '/admin/v1/credentials', {
    server: 'everything',
    user: null,
    secret: header(),
    ...change,
  })

async function decide(change: object = {}, credential = 'pep'): Promise<Verdict> {
  const message = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' })
  const call = {
    requestId: randomUUID(),
    token,
    server: 'everything',
    method: 'ping',
    message,
    era: 'legacy',
    definition: null,
    client: null,
    sourceIp: null,
    ...change,
  }
  const { json } = await ask('POST', '/pep/v1/decide', { calls: [call] }, credential)
  const [result] = decideResponse.parse(json).results
  if (result?.kind !== 'verdict') throw new Error(JSON.stringify(result))
  return result
}

describe('operators', () => {
  test('a credential is set, listed, tested, rotated and removed; its secret never comes out', async () => {
    const made = await set()
    expect(made.status).toBe(200)
    const row = credentialRow.parse(made.json)
    expect(row).toMatchObject({
      server: 'everything',
      user: null,
      kind: 'header',
      names: ['x-demo-key'],
      version: 1,
      state: 'ok',
      lastUsedAt: null,
    })
    const listed = await ask('GET', '/admin/v1/credentials', undefined, 'operator')
    expect(credentialsPage.parse(listed.json)).toEqual({ credentials: [row] })
    const tested = await ask('POST', `/admin/v1/credentials/${row.id}/test`)
    expect(testedCredential.parse(tested.json)).toMatchObject({ ok: true, problem: null })
    const rotated = await ask('POST', `/admin/v1/credentials/${row.id}/rotate`, {
      secret: header(`${CANARY}-2`),
    })
    expect(credentialRow.parse(rotated.json)).toMatchObject({ id: row.id, version: 2 })
    const removed = await ask('DELETE', `/admin/v1/credentials/${row.id}`)
    expect(removedCredential.parse(removed.json)).toEqual({
      id: row.id,
      server: 'everything',
      user: null,
    })
    for (const { text } of [made, listed, tested, rotated, removed])
      expect(text).not.toContain('canary')
    expect((await ask('DELETE', `/admin/v1/credentials/${row.id}`)).status).toBe(404)
  })

  test.each([
    {
      what: 'a server without a declaration',
      change: { server: 'files' },
      want: 'declares no credential',
    },
    {
      what: 'a server that is not there',
      change: { server: 'nowhere' },
      want: 'declares no credential, or is not in the bundle',
    },
    {
      what: 'another kind',
      change: { secret: { kind: 'bearer', value: CANARY } },
      want: 'wants a credential of kind header: set it with --header',
    },
    { what: 'nobody known', change: { user: 'stranger' }, want: 'there is no user stranger' },
    { what: 'a short secret', change: { secret: header('short') }, want: 'at least 8 characters' },
    {
      what: 'two lines',
      change: { secret: header(`${CANARY}\r\nx-more: 1`) },
      want: 'visible ASCII characters on one line',
    },
    {
      what: "a header of the gateway's own",
      change: { secret: header(CANARY, 'Mcp-Session-Id') },
      want: "the gateway's own",
    },
    { what: 'a field that is not there', change: { more: 1 }, want: 'more' },
  ])('refused, and the secret not repeated: $what', async ({ change, want }) => {
    const { status, text } = await set(change)
    expect(status).toBe(400)
    expect(text).toContain(want)
    expect(text).not.toContain('canary')
  })

  test('an act says what was set, and not to what', async () => {
    await set({ user: 'carol' })
    const { text } = await ask('GET', '/admin/v1/acts')
    const { acts } = JSON.parse(text) as { acts: unknown[] }
    expect(actRow.parse(acts[0])).toMatchObject({
      act: 'credentials.set',
      what: { server: 'everything', user: 'carol', secret: { kind: 'header', name: 'X-Demo-Key' } },
    })
    expect(text).not.toContain('canary')
  })

  test('pages', async () => {
    await set()
    for (const name of ['alice', 'bob', 'carol']) await set({ user: name })
    const users: unknown[] = []
    for (let after = ''; ; ) {
      const { json } = await ask('GET', `/admin/v1/credentials?limit=2${after}`)
      const { credentials } = credentialsPage.parse(json)
      users.push(...credentials.map(({ user }) => user))
      const last = credentials.at(-1)
      if (last === undefined) break
      after = `&after=${last.id}`
    }
    expect(users).toEqual([null, 'alice', 'bob', 'carol'])
    const { json } = await ask('GET', '/admin/v1/credentials?user=bob&server=everything')
    expect(credentialsPage.parse(json).credentials.map(({ user }) => user)).toEqual(['bob'])
  })

  test('keys: what wraps what, and moving it is told line by line', async () => {
    await set()
    const { json } = await ask('GET', '/admin/v1/credential-keys')
    const { current, keys } = credentialKeys.parse(json)
    expect(keys).toEqual([{ id: current, known: true, credentials: 1 }])
    await pdp.store.sql.query(`update credentials set kek = 'gone'`)
    const { text } = await ask('POST', '/admin/v1/credential-keys/rewrap')
    const lines = text
      .trim()
      .split('\n')
      .map((line) => rewrapLine.parse(JSON.parse(line)))
    expect(lines.at(-1)).toEqual({
      key: current,
      done: 0,
      total: 1,
      failed: [expect.any(String)],
      finished: true,
    })
    expect(credentialKeys.parse((await ask('GET', '/admin/v1/credential-keys')).json).keys).toEqual(
      [
        { id: current, known: true, credentials: 0 },
        { id: 'gone', known: false, credentials: 1 },
      ],
    )
  })

  test('offboarding takes them away', async () => {
    await pdp.admin.createGrant({
      user: 'leaver',
      agent: 'demo',
      servers: ['everything'],
      teams: [],
      expiresInMs: 3_600_000,
    })
    await set({ user: 'leaver' })
    await ask('POST', '/admin/v1/users/leaver/offboard')
    expect(
      credentialsPage.parse((await ask('GET', '/admin/v1/credentials')).json).credentials,
    ).toEqual([])
  })
})

describe('a decision', () => {
  test('brings the credential with an allow; the record names it by id and version', async () => {
    const { id } = credentialRow.parse((await set()).json)
    const verdict = await decide()
    expect(verdict).toMatchObject({
      decision: 'allow',
      credential: { id, version: 1, headers: { 'x-demo-key': CANARY }, env: {}, secrets: [CANARY] },
    })
    expect(JSON.parse(verdict.record.leaf)).toMatchObject({ cr: { i: id, v: 1 } })
    expect(JSON.stringify(verdict.record)).not.toContain('canary')
  })

  test('and the list says when', async () => {
    await set()
    await decide()
    await expect.poll(async () => credentialsPage.parse((await ask('GET', '/admin/v1/credentials')).json).credentials[0]?.lastUsedAt, { timeout: 5_000 }).toMatch(/^20/) // biome-ignore format: long
  })

  test("a person's own goes before the deployment's", async () => {
    await set()
    await set({ user: 'carol', secret: header('carols-own-canary') })
    expect((await decide()).credential?.headers).toEqual({ 'x-demo-key': 'carols-own-canary' })
  })

  test('brings none with a deny, none to another server, none for what the server asks, none without one set', async () => {
    await set()
    const denied = await decide({
      method: 'nonsense',
      message: '{"jsonrpc":"2.0","id":1,"method":"nonsense"}',
    })
    expect(denied).toMatchObject({ decision: 'deny' })
    expect(denied).not.toHaveProperty('credential')
    const params = { name: 'echo', arguments: { message: 'hi' } }
    const message = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params })
    const unseen = await decide({ method: 'tools/call', message, definition: null })
    expect(unseen).toMatchObject({ decision: 'deny', code: 'unknown_tool' })
    expect(unseen).not.toHaveProperty('credential')
    expect(await decide({ server: 'files' })).not.toHaveProperty('credential')
    const asked = await decide({
      from: 'server',
      method: 'roots/list',
      message: '{"jsonrpc":"2.0","id":1,"method":"roots/list"}',
    })
    expect(asked).not.toHaveProperty('credential')
    await pdp.store.sql.query('delete from credentials')
    await pdp.store.sql.query(`select pg_sleep(0)`)
    await expect.poll(async () => (await decide()).credential, { timeout: 3_000 }).toBeUndefined()
  })

  test('is none for a PEP of another server', async () => {
    await set()
    await expect(decide({}, 'pep-files')).rejects.toThrow('unknown_server')
  })

  test('is a deny where the credential does not open: recorded, and what was asked of Cedar with it', async () => {
    await set()
    await pdp.store.sql.query(
      `update credentials set sealed = substr(sealed, 1, length(sealed) - 40)`,
    )
    await expect
      .poll(async () => (await decide()).code, { timeout: 3_000 })
      .toBe('credential_unavailable')
    const verdict = await decide()
    expect(verdict).toMatchObject({
      decision: 'deny',
      code: 'credential_unavailable',
      policies: [],
    })
    expect(verdict.text).toContain('cannot decrypt')
    expect(verdict).not.toHaveProperty('credential')
    expect(JSON.parse(verdict.record.leaf)).toMatchObject({
      dc: { r: 'deny', by: [] },
      cd: 'credential_unavailable',
    })
    expect(JSON.parse(verdict.record.leaf)).not.toHaveProperty('cr')
  })

  test('of AuthZEN never brings one', async () => {
    await set()
    const { status, text } = await ask('POST', '/access/v1/evaluation', {
      subject: { type: 'user', id: 'carol' },
      action: { name: 'tools/call' },
      resource: { type: 'tool', id: 'everything/echo' },
      context: { arguments: { message: 'hi' } },
    })
    expect(status).toBe(200)
    expect(JSON.parse(text)).toMatchObject({ decision: true })
    expect(text).not.toContain('canary')
  })
})

test('nothing of a secret is in the log, the database or the metrics', async () => {
  await set()
  await decide()
  const tables = await pdp.store.sql.query(
    `select table_name as name from information_schema.tables where table_schema = 'public'`,
  )
  for (const { name } of tables) {
    const rows = await pdp.store.sql.query(`select t::text as row from public."${String(name)}" t`)
    expect({ name, rows: JSON.stringify(rows) }).not.toMatchObject({
      rows: expect.stringContaining('canary'),
    })
  }
  expect((await ask('GET', '/metrics')).text).not.toContain('canary')
  expect(logged.join('')).not.toContain('canary')
})
