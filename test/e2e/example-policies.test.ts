// The example bundle on the two demo servers, through a real gateway: who may do what, by person, tool and argument.
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connectClient, type TestClient } from '../harness/client.ts'
import { type Dev, startDev } from '../harness/dev.ts'

let dev: Dev
const clients = new Map<string, TestClient>()
beforeAll(async () => {
  dev = await startDev()
  for (const user of ['alice', 'bob']) {
    for (const server of ['files', 'everything']) {
      const token = dev.facts.users[user]?.token ?? ''
      const { pepUrl } = dev.facts
      clients.set(`${user} ${server}`, await connectClient('sdk-1.32', { pepUrl, server, token }))
    }
  }
})
afterAll(async () => {
  await Promise.all([...clients.values()].map((client) => client.close()))
  await dev.stop()
})

const clientOf = (user: string, server: string): TestClient => {
  const client = clients.get(`${user} ${server}`)
  if (client === undefined) throw new Error(`no client of ${user} on ${server}`)
  return client
}
const demo = (path: string): string => join(dev.home, 'demo', path)

const READS = [
  'directory_tree', 'get_file_info', 'list_allowed_directories', 'list_directory', 'list_directory_with_sizes',
  'read_file', 'read_media_file', 'read_multiple_files', 'read_text_file', 'search_files',
] // biome-ignore format: a list

describe('lists show what some call could be allowed', () => {
  test.each([
    { user: 'alice', tools: [...READS, 'write_file', 'edit_file', 'create_directory'] },
    { user: 'bob', tools: READS },
  ])('$user on files', async ({ user, tools }) => {
    expect((await clientOf(user, 'files').listTools()).toSorted()).toEqual(tools.toSorted())
  })

  test.each(['alice', 'bob'])('%s on everything: reads only', async (user) => {
    const tools = await clientOf(user, 'everything').listTools()
    expect(tools).toEqual(expect.arrayContaining(['echo', 'get-sum', 'get-env']))
    expect(tools.filter((tool) => /toggle|gzip|trigger-(sampling|elicitation)/.test(tool))).toEqual(
      [],
    )
  })
})

type Row = {
  user: 'alice' | 'bob'
  server: 'files' | 'everything'
  tool: string
  args: Record<string, unknown>
}
const files = (user: Row['user'], tool: string, args: Row['args']): Row => ({
  user,
  server: 'files',
  tool,
  args,
})
const file = (path: string) => ({ path, content: 'x' })

test.each([
  files('alice', 'write_file', file('drafts/new.txt')),
  files('alice', 'write_file', file('./drafts//deep.txt')),
  files('alice', 'edit_file', {
    path: 'drafts/hello.txt',
    edits: [{ oldText: 'gateway', newText: 'gate' }],
  }),
  files('alice', 'create_directory', { path: 'drafts/sub' }),
  files('alice', 'read_text_file', { path: 'notes.txt', head: 1 }),
  files('alice', 'read_multiple_files', { paths: ['notes.txt', 'drafts/hello.txt'] }),
  files('bob', 'list_directory', { path: '.' }),
  { user: 'alice', server: 'everything', tool: 'echo', args: { message: 'hi' } },
  { user: 'bob', server: 'everything', tool: 'echo', args: { message: 'hi' } },
  { user: 'alice', server: 'everything', tool: 'get-sum', args: { a: 1.5, b: 2 } },
] satisfies Row[])('$user may $tool $args', async ({ user, server, tool, args }) => {
  const answer = await clientOf(user, server).call(tool, args)
  expect(answer).toMatchObject({ isError: false, refusal: undefined })
})

test.each([
  { ...files('alice', 'write_file', file('drafts/../x')), code: 'forbid' },
  { ...files('alice', 'write_file', file('drafts/..//x')), code: 'forbid' },
  { ...files('alice', 'write_file', file('drafts')), code: 'forbid' },
  { ...files('alice', 'write_file', file('drafts/.')), code: 'forbid' },
  { ...files('alice', 'write_file', file('notes.txt')), code: 'forbid' },
  { ...files('alice', 'write_file', file('/etc/passwd')), code: 'forbid' },
  { ...files('alice', 'write_file', file('drafts/\0x')), code: 'unrepresentable_argument' },
  { ...files('alice', 'write_file', file('drafts/..\\..\\x')), code: 'unrepresentable_argument' },
  { ...files('alice', 'write_file', file('~/x')), code: 'unrepresentable_argument' },
  { ...files('alice', 'write_file', file(' drafts/x')), code: 'unrepresentable_argument' },
  { ...files('alice', 'edit_file', { path: 'notes.txt', edits: [] }), code: 'forbid' },
  { ...files('alice', 'create_directory', { path: 'drafts/../other' }), code: 'forbid' },
  {
    ...files('alice', 'move_file', { source: 'notes.txt', destination: 'drafts/n' }),
    code: 'forbid',
  },
  {
    ...files('alice', 'move_file', { source: 'drafts/hello.txt', destination: 'drafts/n' }),
    code: 'no_permit',
  },
  { ...files('alice', 'read_text_file', { path: '../keys/deployment.pem' }), code: 'forbid' },
  {
    ...files('alice', 'read_multiple_files', { paths: ['notes.txt', '../tokens.json'] }),
    code: 'forbid',
  },
  {
    ...files('alice', 'read_multiple_files', { paths: ['notes.txt', '/etc/passwd'] }),
    code: 'forbid',
  },
  { ...files('alice', 'delete_file', { path: 'notes.txt' }), code: 'unknown_tool' },
  {
    ...files('alice', 'write_file', { ...file('drafts/x'), mode: '777' }),
    code: 'unknown_argument',
  },
  {
    ...files('alice', 'write_file', { path: ['drafts/x'], content: 'x' }),
    code: 'invalid_request',
  },
  { ...files('alice', 'write_file', { content: 'x' }), code: 'invalid_request' },
  { ...files('bob', 'write_file', file('drafts/x')), code: 'no_permit' },
  { ...files('bob', 'write_file', file('x')), code: 'forbid' },
  {
    user: 'alice',
    server: 'everything',
    tool: 'gzip-file-as-resource',
    args: {},
    code: 'no_permit',
  },
  {
    user: 'bob',
    server: 'everything',
    tool: 'toggle-simulated-logging',
    args: {},
    code: 'no_permit',
  },
  {
    user: 'alice',
    server: 'everything',
    tool: 'write_file',
    args: file('drafts/x'),
    code: 'unknown_tool',
  },
] satisfies (Row & { code: string })[])('$user may not $tool $args: $code', async (row) => {
  const answer = await clientOf(row.user, row.server).call(row.tool, row.args)
  expect(answer).toMatchObject({ isError: true, refusal: { code: row.code } })
  expect(answer.text).toContain(answer.refusal?.decisionId)
  const named = answer.refusal?.policies ?? []
  expect(named.length > 0).toBe(row.code === 'forbid')
  const whys = row.code === 'no_permit' ? ['No policy permits it'] : named
  for (const why of whys) expect(answer.text).toContain(why)
})

test('an absolute path is decided as the same file: with `..` it is refused, without it is allowed', async () => {
  const alice = clientOf('alice', 'files')
  const escape = await alice.call('write_file', file(demo('drafts/../escaped.txt')))
  expect(escape).toMatchObject({ isError: true, refusal: { code: 'forbid' } })
  expect(await alice.call('write_file', file(demo('drafts/absolute.txt')))).toMatchObject({
    isError: false,
  })
  expect(existsSync(demo('escaped.txt'))).toBe(false)
  expect(await readFile(demo('drafts/absolute.txt'), 'utf8')).toBe('x')
})

test('nothing outside drafts was changed by all of the above', async () => {
  expect(await readFile(demo('notes.txt'), 'utf8')).toContain('Read by everybody')
  expect(existsSync(demo('x'))).toBe(false)
})
