// What operators do is recorded before it is done, and argument values are seen by an auditor alone, who is recorded too.
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { CLAIM_MS } from '../../pdp/src/ledger/issued.ts'
import { actRow, createdGrant } from '../../schemas/admin-api.ts'
import { decisionRow } from '../../schemas/decisions-api.ts'
import { signInAs } from '../harness/operators.ts'
import { EXAMPLE_BUNDLE, startTestPdp, type TestPdp } from '../harness/pdp.ts'

let pdp: TestPdp
let admin: Record<string, string>
let auditor: Record<string, string>
let viewer: Record<string, string>
beforeAll(async () => {
  pdp = await startTestPdp()
  admin = await signInAs(pdp, 'ada', ['admin'])
  auditor = await signInAs(pdp, 'audrey', ['auditor'])
  viewer = await signInAs(pdp, 'vera', ['viewer'])
})
afterAll(() => pdp.stop())

type Asked = { readonly method?: string; readonly body?: unknown }

async function ask(
  path: string,
  headers: Record<string, string>,
  { method = 'GET', body }: Asked = {},
) {
  const answer = await pdp.app.request(`/admin/v1/${path}`, {
    method,
    headers: { ...headers, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await answer.text()
  return { status: answer.status, body: (text === '' ? null : JSON.parse(text)) as unknown, text }
}

const acts = () => page('limit=1000')
const page = async (query: string) =>
  z.object({ acts: z.array(actRow) }).parse((await ask(`acts?${query}`, auditor)).body).acts
const last = async () => (await acts())[0]
const GRANT = { user: 'zoe', agent: 'ci', servers: ['files'], expiresInMs: 60_000 }

test('an act says who, what and how it ended; no token is in it', async () => {
  const made = await ask('grants', admin, { method: 'POST', body: GRANT })
  const { id, token } = createdGrant.parse(made.body)
  expect(await last()).toMatchObject({ act: 'grants.create', by: 'ada', status: 201, what: GRANT })
  await ask(`grants/${id}/rotate`, admin, { method: 'POST' })
  expect(await last()).toMatchObject({ act: 'grants.rotate', by: 'ada', status: 200, what: { id } })
  await ask(`grants/${id}`, admin, { method: 'DELETE' })
  expect(await last()).toMatchObject({ act: 'grants.revoke', by: 'ada', status: 200, what: { id } })
  const missing = randomUUID()
  await ask(`grants/${missing}`, admin, { method: 'DELETE' })
  expect(await last()).toMatchObject({ act: 'grants.revoke', status: 404, what: { id: missing } })
  expect(JSON.stringify(await acts())).not.toContain(token)
})

test('acts can be asked for by whom and of which kind, page by page', async () => {
  const all = await acts()
  expect(await page('limit=1')).toEqual(all.slice(0, 1))
  expect(await page(`before=${all[0]?.id}`)).toEqual(all.slice(1))
  expect(await page('act=grants.rotate')).toEqual(all.filter(({ act }) => act === 'grants.rotate'))
  expect(await page('by=nobody')).toEqual([])
  for (const bad of ['limit=0', 'limit=1001', 'before=x', 'who=ada'])
    expect(await ask(`acts?${bad}`, auditor)).toMatchObject({ status: 400 })
})

test('what may not be done, or is not understood, is no act', async () => {
  const before = await acts()
  expect(await ask('grants', viewer, { method: 'POST', body: GRANT })).toMatchObject({
    status: 403,
  })
  for (const body of ['', '{', { ...GRANT, extra: 1 }, { ...GRANT, servers: [] }])
    expect(await ask('grants', admin, { method: 'POST', body })).toMatchObject({ status: 400 })
  const half = `{"link":{"issuer":"\\ud800","subject":"x"}}`
  expect(await ask('users/zoe', admin, { method: 'PUT', body: half })).toMatchObject({
    status: 400,
  })
  expect(await acts()).toEqual(before)
})

test('what cannot be recorded is not done, and what is asked without change still is answered', async () => {
  const { sql } = pdp.store
  const grants = async () => (await sql.query('select id from grants')).length
  const [before, seen] = [await grants(), await acts()]
  await sql.query('alter table record rename to record_away')
  try {
    const refused = await ask('grants', admin, { method: 'POST', body: GRANT })
    expect(refused).toMatchObject({ status: 503, body: { code: 'record_unavailable' } })
    expect(await ask('users/zoe/offboard', admin, { method: 'POST' })).toMatchObject({
      status: 503,
    })
    expect(await ask('grants', viewer)).toMatchObject({ status: 200 })
  } finally {
    await sql.query('alter table record_away rename to record')
  }
  expect(await grants()).toBe(before)
  expect(await ask('users/zoe', viewer)).toMatchObject({ body: { offboardedAt: null } })
  expect((await acts()).slice(-seen.length)).toEqual(seen)
})

test('roles: given and taken, each at once', async () => {
  const roles = (body: unknown, user = 'vera') => ask(`users/${user}/roles`, admin, { method: 'PUT', body })
  expect(await ask('acts', viewer)).toMatchObject({ status: 403 })
  expect(await roles({ roles: ['auditor', 'viewer'] })).toMatchObject({ status: 200, body: { id: 'vera', roles: ['auditor', 'viewer'] } })
  expect(await ask('acts', viewer)).toMatchObject({ status: 200 })
  expect(await roles({ roles: ['viewer'] })).toMatchObject({ status: 200 })
  expect(await ask('acts', viewer)).toMatchObject({ status: 403 })
  expect(await roles({ roles: ['root'] })).toMatchObject({ status: 400 })
  expect(await roles({ roles: ['admin'] }, 'nobody')).toMatchObject({ status: 404 })
  expect(await ask('whoami', viewer)).toMatchObject({ body: { user: 'vera', roles: ['viewer'], expiresAt: expect.any(String) } })
}) // biome-ignore format: long lines

test('an operator who is offboarded is out at once, and stays out when let in again', async () => {
  const gone = await signInAs(pdp, 'gwen', ['admin'])
  expect(await ask('whoami', gone)).toMatchObject({ status: 200 })
  expect(await ask('users/gwen/offboard', admin, { method: 'POST' })).toMatchObject({ body: { sessions: 1 } })
  expect(await ask('whoami', gone)).toMatchObject({ status: 401 })
  await ask('users/gwen/reinstate', admin, { method: 'POST' })
  expect(await ask('whoami', gone)).toMatchObject({ status: 401 })
  expect(await ask('whoami', admin)).toMatchObject({ status: 200 })
}) // biome-ignore format: long lines

test('signing out ends that session, as an act', async () => {
  const headers = await signInAs(pdp, 'olga', ['viewer'])
  expect(await ask('sessions/current', headers, { method: 'DELETE' })).toMatchObject({
    status: 204,
  })
  expect(await ask('whoami', headers)).toMatchObject({ status: 401 })
  expect(await last()).toMatchObject({ act: 'sessions.end', by: 'olga', status: 204 })
})

test('argument values are for an auditor alone, and showing them is an act', async () => {
  const question = {
    subject: { type: 'user', id: 'alice' },
    action: { name: 'tools/call' },
    resource: { type: 'tool', id: 'files/read_text_file' },
    context: { arguments: { path: 'a-canary.txt' } },
  }
  await pdp.app.request('/access/v1/evaluation', {
    method: 'POST',
    headers: { ...auditor, 'content-type': 'application/json' },
    body: JSON.stringify(question),
  })
  const rows = z.object({ decisions: z.array(decisionRow) })
  const list = async (headers: Record<string, string>, query = '') =>
    rows.parse((await ask(`decisions${query}`, headers)).body).decisions
  const before = await acts()
  for (const headers of [admin, viewer]) {
    const [row] = await list(headers)
    expect(row).toMatchObject({ user: 'alice', arguments: null, argumentsShown: false })
    const whole = await ask(`decisions/${row?.id}`, headers)
    expect(whole.body).toMatchObject({ arguments: null, argumentsShown: false })
    expect(whole.text).not.toContain('a-canary')
  }
  expect(await list(auditor, '?arguments=false')).toMatchObject([{ argumentsShown: false }])
  expect(await acts()).toEqual(before)

  const [row] = await list(auditor, '?limit=1&user=alice')
  expect(row).toMatchObject({ arguments: { path: 'a-canary.txt' }, argumentsShown: true })
  expect(await last()).toMatchObject({ act: 'decisions.arguments', by: 'audrey', status: 200, what: { limit: '1', user: 'alice' } })
  expect((await ask(`decisions/${row?.id}`, auditor)).text).toContain('a-canary')
  expect(await last()).toMatchObject({ act: 'decisions.arguments', status: 200, what: { id: row?.id } })
  await pdp.store.sql.query('alter table record_detail rename to away')
  expect((await ask(`decisions/${row?.id}`, auditor)).text).not.toContain('a-canary')
  await pdp.store.sql.query('alter table away rename to record_detail')
}) // biome-ignore format: long lines

test('the ledger holds all of it', async () => {
  const { text } = await askText('ledger/fsck', admin)
  expect(text.trim().split('\n').at(-1)).toContain('"findings":0')
  // What could not be recorded in time is recorded later: an ending perhaps at once, its act once it is overdue.
  const open = async () => Number((await counts())['act']) - Number((await counts())['act-outcome'])
  await expect.poll(open, { timeout: CLAIM_MS + 10_000 }).toBe(0)
  expect((await counts())['act']).toBeGreaterThan(10)
})

async function counts(): Promise<Record<string, unknown>> {
  const kinds = await pdp.store.sql.query(`select kind, count(*) as n from record group by kind`)
  return Object.fromEntries(kinds.map((row) => [row['kind'], row['n']]))
}

async function askText(path: string, headers: Record<string, string>): Promise<{ text: string }> {
  const answer = await pdp.app.request(`/admin/v1/${path}`, { headers })
  return { text: await answer.text() }
}

test('without an operator token there is none: its digest is not asked', async () => {
  const other = await startTestPdp(EXAMPLE_BUNDLE, { operatorTokenSha256: undefined })
  const answer = await other.app.request('/admin/v1/whoami', { headers: other.authorization('operator') })
  expect(answer.status).toBe(401)
  await other.stop()
  const own = await pdp.app.request('/admin/v1/whoami', { headers: pdp.authorization('operator') })
  expect(await own.json()).toMatchObject({ user: 'operator', expiresAt: null })
}) // biome-ignore format: long lines
