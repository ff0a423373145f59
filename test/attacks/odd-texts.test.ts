// Texts that no database keeps, in every place of every route where a text can stand: refused or simply unknown, never a
// failure of the PDP. A route that is new has to be here.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as adminApi from '../../schemas/admin-api.ts'
import { startTestPdp, type TestPdp } from '../harness/pdp.ts'

let pdp: TestPdp
beforeAll(async () => {
  pdp = await startTestPdp()
})
afterAll(() => pdp.stop())

const LONG = 'x'.repeat(10_000)
/** As they stand in a URL: NUL, half a character, what is too long, and what is no encoding. */
const IN_URL = [
  '%00',
  'a%00b',
  '%ED%A0%80',
  LONG,
  '%',
  '%zz',
  '%C0%80',
  '%FF',
  '%F4%90%80%80',
  '%EF%BF%BF',
  '%25%30%30',
]
const IN_JSON = ['\0', 'a\0b', '\ud800', 'a\udc00b', LONG, '%00', '\uffff'] // biome-ignore format: a list

/** Every name that some query of the operator face has. */
const NAMES = Object.entries(adminApi)
  .filter(([name]) => name.endsWith('Query'))
  .flatMap(([, schema]) => Object.keys((schema as typeof adminApi.grantsQuery).shape))

const sha = 'a'.repeat(64)
const uuid = '0190a0a0-0000-7000-8000-000000000000'
const call = {
  requestId: uuid,
  token: null,
  server: 'files',
  method: 'tools/call',
  message:
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file","arguments":{}}}',
  era: 'modern',
  definition: null,
  client: { name: 'x', version: '1' },
  sourceIp: '127.0.0.1',
}
const question = {
  subject: { type: 'user', id: 'alice' },
  action: { name: 'tools/call' },
  resource: { type: 'tool', id: 'files/write_file' },
  context: { agent: 'demo', arguments: { path: 'drafts/a.txt', content: 'x' } },
}
const onServer = {
  subject: { type: 'agent', id: 'demo' },
  action: { name: 'tools/list' },
  resource: { type: 'mcp_server', id: 'files' },
}
const ofServer = {
  ...question,
  resource: { type: 'tool', id: 'write_file', properties: { server: 'files' } },
}

/** Good bodies, each text of which is replaced in turn. */
const BODIES: Readonly<Record<string, readonly object[]>> = {
  'POST /access/v1/evaluation': [question, onServer, ofServer],
  'POST /access/v1/evaluations': [{ evaluations: [question, onServer] }, { ...question, evaluations: [{}] }],
  'POST /access/v1/search/subject': [question, onServer],
  'POST /access/v1/search/resource': [question, onServer],
  'POST /access/v1/search/action': [question, onServer],
  'POST /admin/v1/sessions': [{ idToken: 'a.b.c' }],
  'POST /admin/v1/bootstrap': [{ token: 'cgb', user: 'vera' }],
  'PUT /admin/v1/users/:id/roles': [{ roles: ['viewer'] }],
  'POST /admin/v1/grants': [{ user: 'alice', agent: 'demo', servers: ['files'], teams: ['a'], scopes: ['mcp:read'], expiresInMs: 1000 }],
  'POST /admin/v1/client-grants': [{ user: 'alice', issuer: 'https://idp.test', client: 'c', expiresInMs: 1000 }],
  'PUT /admin/v1/users/:id': [{ teams: ['a'], scopes: ['mcp:read'] }, { link: { issuer: 'https://idp.test', subject: 's' } }],
  'PUT /admin/v1/agents/:id': [{ scopes: ['mcp:read'] }],
  'POST /admin/v1/peps': [{ servers: ['files'] }],
  'PUT /admin/v1/credentials': [
    { server: 'everything', user: null, secret: { kind: 'header', name: 'x-key', value: 'a-secret' } },
    { server: 'everything', user: 'alice', secret: { kind: 'client', clientId: 'c', value: 'a-secret' } },
  ],
  'POST /admin/v1/credentials/:id/rotate': [{ secret: { kind: 'header', name: 'x-key', value: 'a-secret' } }],
  'POST /pep/v1/identify': [{ token: sha, jwt: 'a.b.c', sourceIp: '::1' }, { token: sha, sourceIp: null }],
  'POST /pep/v1/decide': [{ calls: [call] }],
  'POST /pep/v1/list': [{ callers: [{ grant: uuid, server: 'files' }] }],
  'POST /pep/v1/outcomes': [{ outcomes: [{ decisionId: uuid, result: 'forwarded', status: 200, upstreamMs: 1, isError: false, bytes: 1 }] }],
  'POST /pep/v1/definitions': [{ server: 'files', look: true, tools: [{ name: 'read_file', sha256: sha }] }, { server: 'files', look: false, tools: [{ name: 'read_file', sha256: sha }] }, { server: 'files', contents: [{ sha256: sha, content: '{}' }] }],
} // biome-ignore format: a table

/** What a route with such a body reads none of, or ends as an open stream. */
const WITHOUT_BODY =
  /\/(grants\/:id\/rotate|offboard|reinstate|pin|current|test|rewrap|oauth\/consent)$|^DELETE |^GET /
const STREAMS = /\/(events|fsck|rewrap)$/

test('every route that reads a body is in the table', () => {
  const reading = pdp.routes
    .map(({ method, path }) => `${method} ${path}`)
    .filter((route) => !WITHOUT_BODY.test(route))
  expect(reading.toSorted()).toEqual(Object.keys(BODIES).toSorted())
})

test('in the path', async () => {
  const failed: string[] = []
  const inPath = pdp.routes.filter(({ path }) => path.includes(':id'))
  expect(inPath.length).toBeGreaterThan(8)
  for (const { method, path } of inPath)
    for (const text of IN_URL) {
      const body = BODIES[`${method} ${path}`]?.[0]
      failed.push(...(await failureOf(method, path.replace(':id', text), body)))
    }
  expect(failed).toEqual([])
})

test('in the query', async () => {
  const failed: string[] = []
  expect(NAMES).toContain('by')
  const read = pdp.routes.filter(({ method, path }) => method === 'GET' && !STREAMS.test(path))
  for (const { path } of read)
    for (const name of new Set([...NAMES, 'server', '%00', '%ED%A0%80']))
      for (const text of IN_URL)
        failed.push(...(await failureOf('GET', `${path.replace(':id', uuid)}?${name}=${text}`)))
  expect(failed).toEqual([])
})

describe.each(Object.entries(BODIES))('%s', (route, bodies) => {
  test('in the body', async () => {
    const [method = '', path = ''] = route.split(' ')
    const failed: string[] = []
    for (const body of bodies)
      for (const odd of IN_JSON.flatMap((text) => oddities(body, text)))
        failed.push(...(await failureOf(method, path.replace(':id', 'somebody'), odd)))
    expect(failed).toEqual([])
  })
})

test('a subject that no user can be is simply unknown, and the others of its batch are answered', async () => {
  const odd = { ...question, subject: { type: 'user', id: 'a\0b' } }
  const answer = await send('POST', '/access/v1/evaluations', { evaluations: [odd, ofServer] })
  expect(await answer.json()).toMatchObject({
    evaluations: [{ decision: false, context: { policies: [] } }, { decision: true }],
  })
})

/** Each body that has `text` in the place of one of its texts, or as the name of one of its fields. */
function oddities(body: unknown, text: string): unknown[] {
  if (typeof body === 'string') return [text]
  if (Array.isArray(body))
    return body.flatMap((item, at) => oddities(item, text).map((odd) => body.with(at, odd)))
  if (typeof body !== 'object' || body === null) return []
  const inside = Object.entries(body).flatMap(([name, value]) =>
    oddities(value, text).map((odd) => ({ ...body, [name]: odd })),
  )
  return [...inside, { ...body, [text]: 1 }]
}

function send(method: string, path: string, body?: unknown): Promise<Response> {
  return Promise.resolve(
    pdp.app.request(path, {
      method,
      headers: {
        ...pdp.authorization(path.startsWith('/pep/') ? 'pep' : 'operator'),
        'content-type': 'application/json',
      },
      ...(method === 'GET' ? {} : { body: JSON.stringify(body ?? {}) }),
    }),
  )
}

/** What was asked, where the PDP failed on it. */
async function failureOf(method: string, path: string, body?: unknown): Promise<string[]> {
  const answer = await send(method, path, body)
  const said = await answer.text()
  if (answer.status < 500) return []
  return [`${method} ${path} ${JSON.stringify(body)}: ${answer.status} ${said}`.slice(0, 300)]
}
