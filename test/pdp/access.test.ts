// The AuthZEN face: every 400, header and batch rule of the Authorization API 1.0, and the MCP mapping.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestPdp, type TestPdp } from '../harness/pdp.ts'

let pdp: TestPdp
beforeAll(async () => {
  pdp = await startTestPdp()
})
afterAll(() => pdp.stop())

const alice = { type: 'user', id: 'alice' }
const bob = { type: 'user', id: 'bob' }
const call = { name: 'tools/call' }
const tool = (id: string) => ({ type: 'tool', id })
const drafts = { arguments: { path: 'drafts/a.txt', content: 'x' } }
const write = { subject: alice, action: call, resource: tool('files/write_file'), context: drafts }

type Answered = { readonly status: number; readonly headers: Headers; readonly body: unknown }

async function post(
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Answered> {
  const answer = await pdp.app.request(`/access/v1/${path}`, {
    method: 'POST',
    headers: { ...pdp.authorization('operator'), 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  return { status: answer.status, headers: answer.headers, body: await answer.json() }
}

describe('evaluation', () => {
  test.each([
    { name: 'a permitted write', question: write, want: true },
    { name: 'the server in properties', want: true, question: { ...write, resource: { ...tool('write_file'), properties: { server: 'files' } } } },
    { name: 'subject type identity', want: true, question: { ...write, subject: { type: 'identity', id: 'alice' } } },
    { name: 'a write by an intern', want: false, question: { ...write, subject: bob } },
    { name: 'a write outside drafts', want: false, question: { ...write, context: { arguments: { path: 'drafts/../a', content: '' } } } },
    { name: 'a write without arguments', want: false, question: { ...write, context: {} } },
    { name: 'a read by an intern', want: true, question: { ...write, subject: bob, resource: tool('everything/echo'), context: { arguments: { message: 'hi' } } } },
    { name: 'a list', want: true, question: { subject: bob, action: { name: 'tools/list' }, resource: { type: 'mcp_server', id: 'files' } } },
    { name: 'an unknown subject', want: false, question: { ...write, subject: { type: 'user', id: 'nobody' } } },
    { name: 'an unknown subject type', want: false, question: { ...write, subject: { type: 'robot', id: 'alice' } } },
    { name: 'an unknown action', want: false, question: { ...write, action: { name: 'tools/destroy' } } },
    { name: 'an unknown server', want: false, question: { ...write, resource: tool('nowhere/write_file') } },
    { name: 'an unknown tool', want: false, question: { ...write, resource: tool('files/nothing') } },
    { name: 'subject properties that claim a team', want: false, question: { ...write, subject: { ...bob, properties: { team: 'engineering', teams: ['engineering'] } } } },
    { name: 'extra properties and fields', want: true, question: { ...write, extra: 1, action: { ...call, properties: { a: [] } }, context: { ...drafts, more: { deep: true } } } },
  ])('$name: $want', async ({ question, want }) => {
    const answer = await post('evaluation', question)
    expect(answer.status).toBe(200)
    expect(answer.body).toMatchObject({ decision: want })
  }) // biome-ignore format: a table

  test.each([
    { name: 'a user without the scope', sql: "update users set scopes = '{mcp:read}' where id = 'alice'", back: "update users set scopes = default where id = 'alice'" },
    { name: 'a user who is offboarded', connects: false, sql: "update users set offboarded = now() where id = 'alice'", back: "update users set offboarded = null where id = 'alice'" },
    { name: 'an agent without the scope', sql: "update agents set scopes = '{mcp:destructive}' where id = 'demo'", back: "update agents set scopes = default where id = 'demo'" },
    { name: 'an agent that is disabled', sql: "update agents set disabled = now() where id = 'demo'", back: "update agents set disabled = null where id = 'demo'" },
  ])('$name may not write', async ({ sql, back, connects = true }) => {
    const question = { ...write, context: { ...drafts, agent: 'demo' } }
    const connect = { ...question, action: { name: 'tools/list' }, resource: { type: 'mcp_server', id: 'files' } }
    try {
      await pdp.store.sql.query(sql)
      const said = { decision: false, context: { code: 'forbid', policies: ['cedargate/scope-write'] } }
      expect((await post('evaluation', question)).body).toMatchObject(said)
      expect((await post('evaluation', connect)).body).toMatchObject({ decision: connects })
    } finally {
      await pdp.store.sql.query(back)
    }
    expect((await post('evaluation', question)).body).toMatchObject({ decision: true })
  }) // biome-ignore format: a table

  test('the same request answers the same decision, code and policies every time', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => post('evaluation', write)))
    const said = answers.map(({ body }) => {
      const { context, decision } = body as {
        decision: boolean
        context: { code: string; policies: string[] }
      }
      return JSON.stringify([decision, context.code, context.policies])
    })
    expect(new Set(said).size).toBe(1)
  })

  test.each([
    { name: 'no subject', body: { ...write, subject: undefined } },
    { name: 'no action', body: { ...write, action: undefined } },
    { name: 'no resource', body: { ...write, resource: undefined } },
    { name: 'no subject type', body: { ...write, subject: { id: 'alice' } } },
    { name: 'no subject id', body: { ...write, subject: { type: 'user' } } },
    { name: 'no action name', body: { ...write, action: {} } },
    { name: 'no resource type', body: { ...write, resource: { id: 'x' } } },
    { name: 'no resource id', body: { ...write, resource: { type: 'tool' } } },
    { name: 'subject a string', body: { ...write, subject: 'alice' } },
    { name: 'action name a number', body: { ...write, action: { name: 123 } } },
    { name: 'resource an array', body: { ...write, resource: [] } },
    { name: 'context a string', body: { ...write, context: 'x' } },
    { name: 'malformed', body: '{"subject":' },
    { name: 'empty', body: '' },
    { name: 'an array', body: [] },
    { name: 'a duplicate key', body: '{"subject":{"type":"user","id":"bob","id":"alice"}}' },
    { name: 'a lone surrogate', body: JSON.stringify(write).replace('alice', '\\ud800') },
  ])('400: $name', async ({ body }) => {
    const answer = await post('evaluation', body)
    expect(answer.status).toBe(400)
    expect(answer.body).toMatchObject({ code: 'invalid_request', message: expect.any(String) })
  })

  test.each(['text/plain', 'application/x-www-form-urlencoded', ''])(
    '400: content type «%s»',
    async (type) => {
      expect((await post('evaluation', write, { 'content-type': type })).status).toBe(400)
    },
  )

  test('X-Request-ID comes back, on errors too', async () => {
    const headers = { 'x-request-id': 'abc-123' }
    expect((await post('evaluation', write, headers)).headers.get('x-request-id')).toBe('abc-123')
    expect((await post('evaluation', '', headers)).headers.get('x-request-id')).toBe('abc-123')
  })

  test('the decision is recorded as advisory, with its subject and arguments', async () => {
    const { body } = await post('evaluation', write)
    const { id } = (body as { context: { id: string } }).context
    expect(await pdp.admin.showDecision(id)).toMatchObject({
      user: 'alice', tool: 'write_file', mode: 'advisory', verdict: 'allow', arguments: drafts.arguments,
    }) // biome-ignore format: one row
  })

  test('a PEP key asks only about its own servers', async () => {
    const own = await post('evaluation', write, pdp.authorization('pep-everything'))
    expect(own.body).toMatchObject({ decision: false })
  })
})

const item = (path: string) => ({ context: { arguments: { path, content: '' } } })
const decisions = (body: unknown) => {
  return (body as { evaluations: { decision: boolean }[] }).evaluations.map(
    ({ decision }) => decision,
  )
}

describe('evaluations', () => {
  const defaults = { subject: alice, action: call, resource: tool('files/write_file') }

  test.each([
    { semantic: undefined, want: [true, false, true] },
    { semantic: 'execute_all', want: [true, false, true] },
    { semantic: 'deny_on_first_deny', want: [true, false] },
    { semantic: 'permit_on_first_permit', want: [true] },
  ])('$semantic: $want', async ({ semantic, want }) => {
    const options = semantic === undefined ? {} : { options: { evaluations_semantic: semantic } }
    const evaluations = [item('drafts/a'), item('a'), item('drafts/b')]
    const answer = await post('evaluations', { ...defaults, evaluations, ...options })
    expect(decisions(answer.body)).toEqual(want)
  })

  test('an item replaces a default whole, and inherits what it omits', async () => {
    const evaluations = [{ subject: bob }, { subject: { type: 'user' } }, {}]
    const answer = await post('evaluations', { ...defaults, context: drafts, evaluations })
    expect(answer.status).toBe(200)
    expect(decisions(answer.body)).toEqual([false, false, true])
    expect(answer.body).toMatchObject({
      evaluations: [{}, { context: { error: { status: 400 } } }, {}],
    })
  })

  test.each([{ evaluations: [] }, {}])('none: a single evaluation (%j)', async (batch) => {
    const answer = await post('evaluations', { ...write, ...batch })
    expect(answer.body).toMatchObject({ decision: true })
    expect(answer.body).not.toHaveProperty('evaluations')
  })

  test.each([
    { name: 'none, and no subject', body: { action: call, resource: tool('x'), evaluations: [] } },
    { name: 'not an array', body: { ...defaults, evaluations: {} } },
    { name: 'items of the wrong type', body: { ...defaults, evaluations: ['x'] } },
    {
      name: 'an unknown semantic',
      body: { ...defaults, evaluations: [{}], options: { evaluations_semantic: 'x' } },
    },
    {
      name: 'a default of the wrong type',
      body: { ...defaults, subject: 'alice', evaluations: [{}] },
    },
    {
      name: 'too many',
      body: { ...defaults, evaluations: Array.from({ length: 257 }, () => ({})) },
    },
  ])('400: $name', async ({ body }) => {
    expect((await post('evaluations', body)).status).toBe(400)
  })
})

test('discovery names the base it is found under', async () => {
  const answer = await pdp.app.request('/.well-known/authzen-configuration')
  expect(await answer.json()).toEqual({
    policy_decision_point: pdp.publicUrl,
    access_evaluation_endpoint: `${pdp.publicUrl}/access/v1/evaluation`,
    access_evaluations_endpoint: `${pdp.publicUrl}/access/v1/evaluations`,
    search_subject_endpoint: `${pdp.publicUrl}/access/v1/search/subject`,
    search_resource_endpoint: `${pdp.publicUrl}/access/v1/search/resource`,
    search_action_endpoint: `${pdp.publicUrl}/access/v1/search/action`,
  })
})
