// AuthZEN searches over MCP's types: which tools a user may call is what `tools/list` would show that user.
import { hash, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestPdp, type TestPdp } from '../harness/pdp.ts'

const SERVERS = ['everything', 'files']
const USERS = ['alice', 'bob', 'eve']
let pdp: TestPdp
/** SHA-256 of a gateway token of each user; eve is in a team that no policy names. */
const tokens: Record<string, string> = {}
beforeAll(async () => {
  pdp = await startTestPdp()
  for (const user of USERS) {
    const teams = user === 'eve' ? ['guests'] : []
    const wanted = { user, agent: 'demo', servers: SERVERS, teams, expiresInMs: 60_000 }
    tokens[user] = hash('sha256', (await pdp.admin.createGrant(wanted)).token)
  }
})
afterAll(() => pdp.stop())

async function post(path: string, body: object, as = 'operator'): Promise<unknown> {
  const answer = await pdp.app.request(path, {
    method: 'POST',
    headers: { ...pdp.authorization(as), 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  expect(answer.status).toBe(200)
  return answer.json()
}

type Results = { readonly results: object[]; readonly page: object }
async function search(what: string, body: object, as?: string): Promise<object[]> {
  const { results, page } = (await post(`/access/v1/search/${what}`, body, as)) as Results
  expect(page).toEqual({ next_token: '' })
  return results
}

/** The tools that `tools/list` would show `user`, as the PDP tells a PEP. */
async function listed(user: string, server: string): Promise<string[]> {
  const call = {
    requestId: randomUUID(),
    token: tokens[user],
    server,
    method: 'tools/list',
    message: '{"jsonrpc":"2.0","id":1,"method":"tools/list"}',
    era: 'modern',
    definition: null,
    client: null,
    sourceIp: null,
  }
  const answer = (await post('/pep/v1/decide', { calls: [call] }, 'pep')) as {
    results: { visible: { tools: string[] } | null }[]
  }
  return answer.results[0]?.visible?.tools ?? []
}

const subject = (id: string) => ({ type: 'user', id })
const serverOf = (id: string) => ({ type: 'mcp_server', id })
const call = { name: 'tools/call' }

test.each(USERS)('%s may call what `tools/list` shows, server by server', async (user) => {
  const shown: string[] = []
  for (const server of SERVERS) {
    const tools = await listed(user, server)
    shown.push(...tools.map((tool) => `${server}/${tool}`))
    const found = await search('action', { subject: subject(user), resource: serverOf(server) })
    expect(found).toEqual(tools.map((tool) => ({ name: 'tools/call', properties: { tool } })))
  }
  const found = await search('resource', { subject: subject(user), action: call, resource: { type: 'tool' } })
  expect(found).toEqual(shown.map((id) => ({ type: 'tool', id })))
}) // biome-ignore format: long lines

test('some tools are shown to some users, and a tool decided by its arguments is', async () => {
  const counts = await Promise.all(USERS.map(async (user) => (await listed(user, 'files')).length))
  expect(counts[0]).toBeGreaterThan(counts[1] ?? 0)
  expect(counts[1]).toBeGreaterThan(0)
  expect(counts[2]).toBe(0)
  expect(await listed('alice', 'files')).toContain('write_file')
})

const writeFile = { type: 'tool', id: 'files/write_file' }
test.each<{ name: string; what: string; body: object; want: object[]; as?: string }>([
  { name: 'what alice does to one tool', what: 'action', body: { subject: subject('alice'), resource: writeFile }, want: [call] },
  { name: 'the server beside the id', what: 'action', body: { subject: subject('alice'), resource: { type: 'tool', id: 'write_file', properties: { server: 'files' } } }, want: [call] },
  { name: 'what bob does to it', what: 'action', body: { subject: subject('bob'), resource: writeFile }, want: [] },
  { name: 'an unknown tool', what: 'action', body: { subject: subject('alice'), resource: { type: 'tool', id: 'files/nothing' } }, want: [] },
  { name: 'a tool of no server', what: 'action', body: { subject: subject('alice'), resource: { type: 'tool', id: 'write_file' } }, want: [] },
  { name: 'an unknown server', what: 'action', body: { subject: subject('alice'), resource: serverOf('nowhere') }, want: [] },
  { name: 'an unknown user', what: 'action', body: { subject: subject('nobody'), resource: serverOf('files') }, want: [] },
  { name: 'an unknown subject type', what: 'action', body: { subject: { type: 'robot', id: 'alice' }, resource: serverOf('files') }, want: [] },
  { name: 'an unknown resource type', what: 'action', body: { subject: subject('alice'), resource: { type: 'book', id: 'files' } }, want: [] },
  { name: 'claimed teams', what: 'action', body: { subject: { ...subject('eve'), properties: { teams: ['engineering'] } }, resource: serverOf('files') }, want: [] },
  { name: 'the servers of alice', what: 'resource', body: { subject: subject('alice'), action: { name: 'tools/list' }, resource: { type: 'mcp_server' } }, want: SERVERS.map(serverOf) },
  { name: 'the servers of eve', what: 'resource', body: { subject: subject('eve'), action: { name: 'tools/list' }, resource: { type: 'mcp_server' } }, want: [] },
  { name: 'tools for another action', what: 'resource', body: { subject: subject('alice'), action: { name: 'tools/list' }, resource: { type: 'tool' } }, want: [] },
  { name: 'who calls a tool', what: 'subject', body: { subject: { type: 'user' }, action: call, resource: writeFile }, want: [] },
  { name: 'a PEP of another server', what: 'action', body: { subject: subject('alice'), resource: serverOf('files') }, want: [], as: 'pep-everything' },
])('$name', async ({ what, body, want, as }) => {
  expect(await search(what, body, as)).toEqual(want)
}) // biome-ignore format: a table

test('a PEP finds the tools of its own servers alone', async () => {
  const body = { subject: subject('alice'), action: call, resource: { type: 'tool' } }
  const found = (await search('resource', body, 'pep-files')) as { id: string }[]
  expect(found.length).toBe((await listed('alice', 'files')).length)
  expect(found.filter(({ id }) => !id.startsWith('files/'))).toEqual([])
})
