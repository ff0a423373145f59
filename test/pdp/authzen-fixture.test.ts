// The AuthZEN certification scenario on a bundle of types beyond MCP: its decisions, batches and searches; and what a
// bundle that does not trust its callers makes of the same questions.
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AUTHZEN_BUNDLE, startTestPdp, type TestPdp } from '../harness/pdp.ts'

let pdp: TestPdp
/** The same bundle without `trustRequestProperties`. */
let wary: TestPdp
let home: string
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'cedargate-authzen-'))
  await cp(AUTHZEN_BUNDLE, home, { recursive: true })
  await writeFile(join(home, 'gateway.yaml'), 'name: Wary\n')
  pdp = await startTestPdp(AUTHZEN_BUNDLE)
  wary = await startTestPdp(home)
})
afterAll(async () => {
  await pdp.stop()
  await wary.stop()
  await rm(home, { recursive: true })
})

type Answered = { readonly status: number; readonly headers: Headers; readonly body: unknown }
type Options = {
  readonly to?: TestPdp
  readonly headers?: Record<string, string>
  readonly as?: string
}

async function post(
  path: string,
  body: unknown,
  { to = pdp, headers = {}, as = 'operator' }: Options = {},
): Promise<Answered> {
  const answer = await to.app.request(`/access/v1/${path}`, {
    method: 'POST',
    headers: { ...to.authorization(as), 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  return { status: answer.status, headers: answer.headers, body: await answer.json() }
}

const alice = { type: 'user', id: 'alice' }
const bob = { type: 'user', id: 'bob' }
const [active, archived] = [
  { type: 'record', id: 'record-1' },
  { type: 'record', id: 'record-2' },
]
const [read, write, remove] = [{ name: 'read' }, { name: 'write' }, { name: 'delete' }]
const named = (of: object, properties: object) => ({ ...of, properties })
const admin = named(alice, { role: 'admin' })
const softly = (soft: unknown) => named(remove, { soft })
const ARCHIVED = { status: 'archived' }

const READ = { subject: alice, action: read, resource: active }
/** The rows of the scenario, and what they come to where the properties of a question do not count. */
const ROWS = [
  { row: '1', question: READ, want: true, wary: true },
  { row: '2', question: { ...READ, action: write }, want: true, wary: true },
  { row: '3', question: { ...READ, subject: bob }, want: true, wary: true },
  { row: '4', question: { ...READ, subject: bob, action: write }, want: false, wary: false },
  { row: '5', question: { ...READ, action: write, resource: named(active, ARCHIVED) }, want: false, wary: true },
  { row: '5, a record nobody knows', question: { ...READ, action: write, resource: named({ type: 'record', id: 'x' }, ARCHIVED) }, want: false, wary: false },
  { row: '6', question: { subject: admin, action: write, resource: named(archived, ARCHIVED) }, want: true, wary: false },
  { row: '6, a user nobody knows', question: { subject: { ...admin, id: 'x' }, action: write, resource: named({ type: 'record', id: 'x' }, ARCHIVED) }, want: true, wary: false },
  { row: '7', question: { ...READ, action: softly(true) }, want: true, wary: false },
  { row: '8', question: { ...READ, action: softly(false) }, want: false, wary: false },
  { row: 'an archived record is not read', question: { ...READ, resource: archived }, want: false, wary: false },
  { row: 'an admin who is known writes what is archived', question: { subject: bob, action: write, resource: archived }, want: true, wary: true },
  { row: 'a delete that does not say how', question: { ...READ, action: remove }, want: false, wary: false },
  { row: 'nobody', question: { ...READ, subject: { type: 'user', id: 'x' } }, want: true, wary: true },
  { row: 'nothing', question: { ...READ, resource: { type: 'record', id: 'x' } }, want: false, wary: false },
  { row: 'an unknown action', question: { ...READ, action: { name: 'shred' } }, want: false, wary: false },
  { row: 'an unknown subject type', question: { ...READ, subject: { type: 'robot', id: 'alice' } }, want: false, wary: false },
  { row: 'an unknown resource type', question: { ...READ, resource: { type: 'book', id: 'record-1' } }, want: false, wary: false },
  { row: 'the types the wrong way round', question: { subject: active, action: read, resource: alice }, want: false, wary: false },
  { row: 'a property of another type', question: { ...READ, resource: named(active, { status: 5 }) }, want: false, wary: true },
  { row: 'a property that Cedar has no value for', question: { ...READ, action: softly(null) }, want: false, wary: false },
  { row: 'the context in the place of the action', question: { ...READ, action: remove, context: { action: { soft: true } } }, want: false, wary: false },
] // biome-ignore format: a table

describe('evaluation', () => {
  test.each(ROWS)('$row: $want', async ({ question, want }) => {
    expect(await post('evaluation', question)).toMatchObject({ status: 200, body: { decision: want } })
  })

  test.each(ROWS)('$row, where properties do not count: $wary', async ({ question, wary: want }) => {
    const answer = await post('evaluation', question, { to: wary })
    expect(answer).toMatchObject({ status: 200, body: { decision: want } })
  })

  test.each(ROWS.slice(0, 12))('$row: extra properties, fields and context change nothing', async ({ question, want }) => {
    const extra = { deep: [{ none: null, half: 0.5, big: 1e300 }], 'a b': '' }
    const more = (of: object) => ({ ...of, extra, properties: { ...extra, ...(of as { properties?: object }).properties } })
    const { subject, action, resource } = question
    const asked = { subject: more(subject), action: more(action), resource: more(resource), context: { ...extra, time: 'now', action: { soft: true } }, extra }
    expect(await post('evaluation', asked)).toMatchObject({ status: 200, body: { decision: want } })
  })

  test('the same question gets the same answer every time', async () => {
    const answers = await Promise.all(
      ROWS.flatMap(({ question }) => Array.from({ length: 5 }, () => post('evaluation', question))),
    )
    const said = answers.map(({ body }) => {
      const { decision, context } = body as { decision: boolean; context?: { code: string; policies: string[] } }
      return JSON.stringify([decision, context?.code, context?.policies])
    })
    expect(ROWS.map((_, row) => new Set(said.slice(row * 5, row * 5 + 5)).size)).toEqual(ROWS.map(() => 1))
  })

  test.each([
    { name: 'no subject', body: { ...READ, subject: undefined } },
    { name: 'no action', body: { ...READ, action: undefined } },
    { name: 'no resource', body: { ...READ, resource: undefined } },
    { name: 'no subject type', body: { ...READ, subject: { id: 'alice' } } },
    { name: 'no subject id', body: { ...READ, subject: { type: 'user' } } },
    { name: 'no action name', body: { ...READ, action: {} } },
    { name: 'no resource type', body: { ...READ, resource: { id: 'record-1' } } },
    { name: 'no resource id', body: { ...READ, resource: { type: 'record' } } },
    { name: 'a subject that is text', body: { ...READ, subject: 'alice' } },
    { name: 'an action that is text', body: { ...READ, action: 'read' } },
    { name: 'an action name that is a number', body: { ...READ, action: { name: 123 } } },
    { name: 'a subject id that is a number', body: { ...READ, subject: { type: 'user', id: 1 } } },
    { name: 'a resource that is a list', body: { ...READ, resource: [] } },
    { name: 'properties that are text', body: { ...READ, subject: { ...alice, properties: 'x' } } },
    { name: 'a context that is a list', body: { ...READ, context: [] } },
    { name: 'a property named like Cedar’s escape', body: { ...READ, subject: named(alice, { role: { __entity: { type: 'user', id: 'bob' } } }) } },
    { name: 'malformed', body: '{"subject":' },
    { name: 'empty', body: '' },
    { name: 'null', body: 'null' },
  ])('400: $name', async ({ body }) => {
    const headers = { 'x-request-id': 'r-1' }
    for (const path of ['evaluation', 'evaluations']) {
      const answer = await post(path, body, { headers })
      expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } })
      expect(answer.headers.get('x-request-id')).toBe('r-1')
    }
  })

  test.each(['text/plain', 'application/xml', ''])('400: content type «%s»', async (type) => {
    const headers = { 'content-type': type }
    for (const path of ['evaluation', 'evaluations', 'search/subject', 'search/resource', 'search/action']) {
      expect((await post(path, READ, { headers })).status).toBe(400)
    }
  })

  test('X-Request-ID comes back', async () => {
    const headers = { 'x-request-id': 'r-2' }
    for (const path of ['evaluation', 'evaluations', 'search/action']) {
      expect((await post(path, READ, { headers })).headers.get('x-request-id')).toBe('r-2')
    }
  })

  test('a PEP, enrolled for MCP servers, may not ask: 422 in the context', async () => {
    expect(await post('evaluation', READ, { as: 'pep' })).toMatchObject({
      status: 200,
      body: { decision: false, context: { error: { status: 422, message: 'types beyond MCP are for operators' } } },
    })
    const search = await post('search/action', { subject: alice, resource: active }, { as: 'pep' })
    expect(search.body).toMatchObject({ results: [] })
  })
}) // biome-ignore format: tables and long lines

const decisions = (body: unknown) =>
  (body as { evaluations: { decision: boolean }[] }).evaluations.map(({ decision }) => decision)

describe('evaluations', () => {
  test('every row at once, in order', async () => {
    const { body } = await post('evaluations', { evaluations: ROWS.map(({ question }) => question) })
    expect(decisions(body)).toEqual(ROWS.map(({ want }) => want))
  })

  const evaluations = [{}, { subject: bob }, { action: read }, { resource: archived }]
  test.each([
    { semantic: undefined, want: [true, false, true, false] },
    { semantic: 'execute_all', want: [true, false, true, false] },
    { semantic: 'deny_on_first_deny', want: [true, false] },
    { semantic: 'permit_on_first_permit', want: [true] },
  ])('defaults, replaced whole, $semantic: $want', async ({ semantic, want }) => {
    const options = semantic === undefined ? {} : { options: { evaluations_semantic: semantic } }
    const answer = await post('evaluations', { ...READ, action: write, evaluations, ...options })
    expect(decisions(answer.body)).toEqual(want)
  })

  test('a default with properties is replaced with all of them', async () => {
    const batch = { ...READ, action: write, resource: named(active, ARCHIVED), evaluations: [{}, { resource: active }] }
    expect(decisions((await post('evaluations', batch)).body)).toEqual([false, true])
  })

  test('an item in error answers in its place', async () => {
    const { status, body } = await post('evaluations', { ...READ, evaluations: [{ subject: 'alice' }, {}, { action: {} }] })
    expect(status).toBe(200)
    expect(decisions(body)).toEqual([false, true, false])
    expect(body).toMatchObject({ evaluations: [{ context: { error: { status: 400 } } }, {}, { context: { error: { status: 400 } } }] })
  })

  test.each([{}, { evaluations: [] }])('none is a single evaluation: %j', async (none) => {
    expect((await post('evaluations', { ...READ, ...none })).body).toMatchObject({ decision: true })
  })
}) // biome-ignore format: tables and long lines

const ids = (type: string, ...of: string[]) => of.map((id) => ({ type, id }))
const names = (...of: string[]) => of.map((name) => ({ name }))

describe('search', () => {
  const [user, record] = [{ type: 'user' }, { type: 'record' }]
  test.each<{ name: string; path: string; body: object; want: object[]; wary?: object[] }>([
    { name: 'who reads record-1', path: 'subject', body: { ...READ, subject: user }, want: ids('user', 'alice', 'bob') },
    { name: 'whatever id the subject has', path: 'subject', body: { ...READ, subject: { ...user, id: 'x' } }, want: ids('user', 'alice', 'bob') },
    { name: 'who writes record-1', path: 'subject', body: { ...READ, subject: user, action: write }, want: ids('user', 'alice') },
    { name: 'who writes record-2', path: 'subject', body: { subject: user, action: write, resource: archived }, want: ids('user', 'bob') },
    { name: 'who reads record-2', path: 'subject', body: { ...READ, subject: user, resource: archived }, want: [] },
    { name: 'who would write it as an admin', path: 'subject', body: { subject: named(user, { role: 'admin' }), action: write, resource: archived }, want: ids('user', 'alice', 'bob'), wary: ids('user', 'bob') },
    { name: 'subjects of an unknown type', path: 'subject', body: { ...READ, subject: { type: 'robot' } }, want: [] },
    { name: 'subjects of an unknown resource', path: 'subject', body: { ...READ, subject: user, resource: { type: 'record', id: 'x' } }, want: [] },
    { name: 'subjects of an unknown resource type', path: 'subject', body: { ...READ, subject: user, resource: { type: 'book', id: 'x' } }, want: [] },
    { name: 'subjects of an unknown action', path: 'subject', body: { ...READ, subject: user, action: { name: 'shred' } }, want: [] },
    { name: 'subjects of a tool', path: 'subject', body: { subject: user, action: { name: 'tools/call' }, resource: { type: 'tool', id: 'files/read' } }, want: [] },
    { name: 'what alice reads', path: 'resource', body: { ...READ, resource: record }, want: ids('record', 'record-1') },
    { name: 'what bob writes', path: 'resource', body: { subject: bob, action: write, resource: { ...record, id: 'x' } }, want: ids('record', 'record-2') },
    { name: 'what alice deletes softly', path: 'resource', body: { ...READ, action: softly(true), resource: record }, want: ids('record', 'record-1', 'record-2'), wary: [] },
    { name: 'what nobody reads', path: 'resource', body: { ...READ, subject: { type: 'robot', id: 'x' }, resource: record }, want: [] },
    { name: 'resources of an unknown type', path: 'resource', body: { ...READ, resource: { type: 'book' } }, want: [] },
    { name: 'resources for an unknown action', path: 'resource', body: { ...READ, action: { name: 'shred' }, resource: record }, want: [] },
    { name: 'what alice does to record-1', path: 'action', body: { subject: alice, resource: active }, want: names('read', 'write') },
    { name: 'what bob does to record-1', path: 'action', body: { subject: bob, resource: active }, want: names('read') },
    { name: 'what bob does to record-2', path: 'action', body: { subject: bob, resource: archived, context: { more: 1 } }, want: names('write') },
    { name: 'what alice does to record-2', path: 'action', body: { subject: alice, resource: archived }, want: [] },
    { name: 'actions on an unknown record', path: 'action', body: { subject: alice, resource: { type: 'record', id: 'x' } }, want: [] },
    { name: 'actions on an unknown type', path: 'action', body: { subject: alice, resource: { type: 'book', id: 'x' } }, want: [] },
    { name: 'actions of an unknown type', path: 'action', body: { subject: { type: 'robot', id: 'x' }, resource: active }, want: [] },
    { name: 'actions on an unknown server', path: 'action', body: { subject: alice, resource: { type: 'mcp_server', id: 'x' } }, want: [] },
  ])('$name', async ({ path, body, want, wary: without = want }) => {
    const page = { next_token: '' }
    const answer = await post(`search/${path}`, body)
    expect(answer).toMatchObject({ status: 200, body: { results: want, page } })
    expect((await post(`search/${path}`, { ...body, page: { limit: 1 } })).body).toEqual({ results: want, page })
    expect((await post(`search/${path}`, body, { to: wary })).body).toEqual({ results: without, page })
  })

  test.each([
    { path: 'subject', body: { ...READ, subject: undefined } },
    { path: 'subject', body: { ...READ, subject: { id: 'alice' } } },
    { path: 'subject', body: { ...READ, subject: user, resource: record } },
    { path: 'subject', body: { subject: user, resource: active } },
    { path: 'resource', body: { ...READ, resource: {} } },
    { path: 'resource', body: { ...READ, subject: user, resource: record } },
    { path: 'resource', body: { subject: alice, resource: record } },
    { path: 'action', body: { subject: alice } },
    { path: 'action', body: { subject: alice, resource: 'record-1' } },
    { path: 'action', body: '{' },
    { path: 'action', body: '' },
  ])('400: $path $body', async ({ path, body }) => {
    expect(await post(`search/${path}`, body)).toMatchObject({ status: 400, body: { code: 'invalid_request' } })
  })
}) // biome-ignore format: tables and long lines

test('discovery names the searches', async () => {
  const answer = await pdp.app.request('/.well-known/authzen-configuration')
  expect(await answer.json()).toMatchObject({
    policy_decision_point: pdp.publicUrl,
    search_subject_endpoint: `${pdp.publicUrl}/access/v1/search/subject`,
    search_resource_endpoint: `${pdp.publicUrl}/access/v1/search/resource`,
    search_action_endpoint: `${pdp.publicUrl}/access/v1/search/action`,
  })
})

test('a decision is recorded as advisory, a search is not, and fsck finds nothing', async () => {
  const { body } = await post('evaluation', { ...READ, subject: bob, action: write })
  const { id } = (body as { context: { id: string } }).context
  expect(await pdp.admin.showDecision(id)).toMatchObject({
    user: 'user::bob',
    server: 'record::record-1',
    method: 'write',
    tool: null,
    verdict: 'deny',
    code: 'no_permit',
    policies: [],
    mode: 'advisory',
    bundle: pdp.bundle.id,
  })
  const count = async () => (await pdp.store.sql.query('select count(*)::int as n from record'))[0]?.['n']
  const before = await count()
  await post('search/action', { subject: alice, resource: active })
  expect(await count()).toBe(before)
  const lines = await Array.fromAsync(pdp.admin.fsck())
  expect(lines.filter(({ kind }) => kind === 'finding')).toEqual([])
  expect(lines.at(-1)).toMatchObject({ kind: 'summary', findings: 0 })
}) // biome-ignore format: long lines
