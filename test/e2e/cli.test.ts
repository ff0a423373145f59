// The command line against a running gateway: the life of a grant, what it says when something is wrong, and that a
// token is shown once and kept nowhere.
import { hash } from 'node:crypto'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { z } from 'zod'
import { freePort } from '../../pep/src/upstream/free-port.ts'
import { bundleInfo, createdGrant, createdPep, grantRow, pepRow } from '../../schemas/admin-api.ts'
import { SCOPES } from '../../schemas/scopes.ts'
import { connectClient } from '../harness/client.ts'
import { type Ended, runCommand, sleep } from '../harness/command.ts'
import { type Dev, startDev } from '../harness/dev.ts'
import { jsonHere, runHere } from '../harness/in-process.ts'
import { EXAMPLE_BUNDLE } from '../harness/pdp.ts'
import { filesBelow, findSecrets, tablesOf } from '../harness/secrets.ts'
import { createTestDatabase } from '../harness/store.ts'
import { copyBundle } from './bundle-copy.ts'

const DAY_MS = 86_400_000
let home: string
let bundle: string
let databaseUrl: string | undefined
let dev: Dev
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'cedargate-cli-'))
  bundle = await copyBundle()
  // Nobody but who is made here: no person, no check.
  await rm(join(bundle, 'dev.yaml'))
  databaseUrl = await createTestDatabase()
  const database = databaseUrl === undefined ? {} : { databaseUrl }
  dev = await startDev({ home, bundle, ...database, env: { CEDARGATE_LOG_LEVEL: 'debug' } })
})
afterAll(async () => {
  await dev.stop()
  for (const path of [home, bundle]) await rm(path, { recursive: true, force: true })
})

const run = (...words: string[]): Promise<Ended> => runHere(words, { CEDARGATE_HOME: home })
const json = (...words: string[]): Promise<unknown> => jsonHere(words, { CEDARGATE_HOME: home })
const create = async (...words: string[]) =>
  createdGrant.parse(await json('grants', 'create', ...words))
const grants = async () => z.array(grantRow).parse(await json('grants', 'ls'))
const CAROL = ['--user', 'carol', '--agent', 'codex', '--server', 'files']

describe('nothing there yet', () => {
  test('`grants ls` is `[]` for programs, a word for people', async () => {
    expect(await grants()).toEqual([])
    const said = 'no grants yet; see `cedargate grants create --help`\n'
    expect(await run('grants', 'ls')).toEqual({ code: 0, stdout: '', stderr: said })
  })

  test('`decisions ls` is `[]` for who did nothing', async () => {
    expect(await json('decisions', 'ls', '--user', 'carol')).toEqual([])
  })
})

describe('grants', () => {
  test('create --format json: what was granted, and the token', async () => {
    const before = Date.now()
    const grant = await create(
      ...CAROL,
      '--server',
      'everything',
      '--team',
      'b',
      '--team',
      'a',
      '--expires',
      '30d',
    )
    expect(grant).toEqual({
      id: expect.any(String),
      token: expect.stringMatching(/^cgt_[\w-]{43}_[0-9a-f]{8}$/),
      user: 'carol',
      agent: 'codex',
      servers: ['files', 'everything'],
      teams: ['a', 'b'],
      scopes: [...SCOPES].toSorted(),
      expiresAt: expect.any(String),
    })
    const lifeMs = Date.parse(grant.expiresAt) - before
    expect(Math.abs(lifeMs - 30 * DAY_MS)).toBeLessThan(60_000)
  })

  test('create for people: the token alone on stdout, the rest on stderr', async () => {
    const { code, stdout, stderr } = await run('grants', 'create', ...CAROL)
    expect(code).toBe(0)
    expect(stdout).toMatch(/^cgt_\S+\n$/)
    expect(stderr).toMatch(/^grant [0-9a-f-]{36} for carol through codex, until \d{4}-/)
    expect(stderr).toContain('shown this once')
    expect(stderr).not.toContain(stdout.trim())
  })

  test('a grant lives 90 days when nobody says; teams add up', async () => {
    const { expiresAt, teams } = await create(...CAROL, '--team', 'c')
    expect(Math.abs(Date.parse(expiresAt) - Date.now() - 90 * DAY_MS)).toBeLessThan(60_000)
    expect(teams).toEqual(['a', 'b', 'c'])
  })

  test('ls: newest first, with the end of the token and never the whole', async () => {
    const grant = await create(...CAROL)
    const { stdout } = await run('grants', 'ls', '--format', 'json')
    const [newest, ...older] = z.array(grantRow).parse(JSON.parse(stdout))
    expect(newest).toMatchObject({
      id: grant.id,
      tokenLast4: grant.token.slice(-4),
      revokedAt: null,
    })
    expect(older.length).toBe(3)
    expect(stdout).not.toContain(grant.token)
    const table = await run('grants', 'ls')
    expect(table.stdout).toMatch(
      /ID +USER +AGENT +SERVERS +TEAMS +SCOPES +TOKEN +STATE +EXPIRES +LAST USED +SOURCE/,
    )
    expect(table.stdout).toContain(`…${grant.token.slice(-4)}`)
  })

  test('revoke: refused with 401 a second later, also in a session that was open; once more is no error', async () => {
    const { id, token } = await create(...CAROL, '--team', 'engineering')
    const { pepUrl } = dev.facts
    const client = await connectClient('sdk-1.32', { pepUrl, server: 'files', token })
    expect(await client.call('list_directory', { path: '.' })).toMatchObject({ isError: false })
    const said = { code: 0, stdout: '', stderr: `grant ${id} is revoked\n` }
    expect(await run('grants', 'revoke', id)).toEqual(said)
    await sleep(1_000)
    await expect(client.call('list_directory', { path: '.' })).rejects.toThrow('send one valid token')
    await client.close()
    const answer = await fetch(`${pepUrl}/files/mcp`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
      body: '{"jsonrpc":"2.0","id":1,"method":"ping"}',
    })
    expect(answer.status).toBe(401)
    const revokedAt = (await grants()).find((grant) => grant.id === id)?.revokedAt
    expect(revokedAt).toEqual(expect.any(String))
    expect(await run('grants', 'revoke', id)).toEqual(said)
    expect((await grants()).find((grant) => grant.id === id)?.revokedAt).toBe(revokedAt)
  }) // biome-ignore format: long lines
})

describe('peps', () => {
  test('enroll, ls, revoke', async () => {
    const { id, key, servers } = createdPep.parse(await json('peps', 'enroll', '--server', 'files'))
    expect({ key, servers }).toEqual({ key: expect.stringMatching(/^cgp_/), servers: ['files'] })
    const own = async () => z.array(pepRow).parse(await json('peps', 'ls')).find((pep) => pep.id === id)
    expect(await own()).toMatchObject({ servers: ['files'], revokedAt: null })
    expect(await run('peps', 'revoke', id)).toEqual({ code: 0, stdout: '', stderr: `pep ${id} is revoked\n` })
    expect(await own()).toMatchObject({ revokedAt: expect.any(String) })
  })
}) // biome-ignore format: long lines

const listedBundle = z.strictObject({ id: z.string(), active: z.boolean(), pinned: z.boolean() })
const bundleRows = async () =>
  z.array(z.looseObject(listedBundle.shape)).parse(await json('bundles', 'ls'))
const save = (text: string): Promise<void> => writeFile(join(bundle, 'cedar/cli.cedar'), text)
const policy = (slug: string, reason: string) =>
  `@id("cli/${slug}") @reason("${reason}") forbid (principal, action == MCP::Action::"files/read_file", resource);\n`
const activeBundle = async () => (await bundleRows()).find((row) => row.active)?.id ?? ''
/** Saves a bundle and waits until it decides; answers its id. */
const activeAfter = async (text: string): Promise<string> => {
  const before = await activeBundle()
  await save(text)
  await expect.poll(activeBundle).not.toBe(before)
  return activeBundle()
}
const bundlesSay = async () => (await run('bundles', 'ls')).stderr

describe('bundles', () => {
  test('ls: the one that decides, for programs and for people', async () => {
    const [row, ...others] = await bundleRows()
    expect(row).toMatchObject({ active: true, pinned: false, commit: null })
    expect(others).toEqual([])
    const { code, stdout, stderr } = await run('bundles', 'ls')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^ID +STATE +FIRST ACTIVATED +LAST ACTIVATED +COMMIT +SOURCE/)
    expect(stdout).toMatch(new RegExp(`\\n${row?.id.slice(0, 12)} +active +\\d{4}-`))
    expect(stderr).toMatch(new RegExp(`^${row?.id.slice(0, 12)} decides, from .+\\n$`))
    const said = await run('bundles', 'activate', 'previous')
    expect(said).toMatchObject({ code: 2, stderr: expect.stringContaining('no bundle `previous` was ever active') })
  })

  test('diff, show, activate and --follow over two of them', async () => {
    const first = await activeBundle()
    const second = await activeAfter(policy('new', 'not \u001b[31mtoday'))
    expect((await bundleRows()).map(({ id, active }) => [id, active])).toEqual([[second, true], [first, false]])

    expect(await run('bundles', 'diff', 'active')).toEqual({ code: 0, stdout: '', stderr: 'they are the same\n' })
    const differ = await run('bundles', 'diff', first.slice(0, 12), second)
    expect(differ).toMatchObject({ code: 5, stderr: expect.stringContaining('1 differences') })
    expect(differ.stdout).toMatch(/^added +policy cli\/new\n {2}\+ @id\("cli\/new"\)/)
    expect(differ.stdout).not.toContain('\u001b')
    const found = await run('bundles', 'diff', 'previous', '--format', 'json')
    expect(found.code).toBe(5)
    expect(JSON.parse(found.stdout)).toEqual([
      { change: 'added', what: 'policy cli/new', before: null, after: expect.stringContaining('cli/new') },
    ])
    expect((await run('bundles', 'diff', 'active', 'previous')).stdout).toMatch(/^removed +policy cli\/new\n {2}- /)

    const shown = await run('bundles', 'show')
    expect(shown.code).toBe(0)
    expect(shown.stdout).toMatch(new RegExp(`^bundle +${second}\\n`))
    expect(shown.stdout).toMatch(/\nserver +files +\d+ tools\n/)
    expect(shown.stdout).toContain('@id("cli/new")')
    expect(shown.stdout).not.toContain('\u001b')
    const content = JSON.stringify(await json('bundles', 'show', 'previous'))
    expect(content).not.toContain('cli/new')
    expect(JSON.parse(content)).toMatchObject({ format: 'cedargate-bundle/v1' })

    const held = await run('bundles', 'activate', 'previous')
    expect(held).toMatchObject({ code: 0, stdout: '' })
    expect(held.stderr).toMatch(new RegExp(`^${first.slice(0, 12)} decides, held by an operator, from `))
    expect((await run('bundles', 'ls')).stdout).toMatch(new RegExp(`${first.slice(0, 12)} +held `))
    const again = await json('bundles', 'activate', second)
    expect(again).toMatchObject({ id: second, pinned: true, problem: null })
    expect(await json('bundles', 'activate', 'previous')).toMatchObject({ id: first, pinned: true })
    expect(await json('bundles', 'activate', '--follow')).toMatchObject({ id: second, pinned: false })
  })

  test('what the source holds and is refused is said', async () => {
    const before = await activeBundle()
    await save('@id("cli/new") permit (principal');
    await expect.poll(bundlesSay).toContain('cedar/cli.cedar:1:')
    expect(await bundlesSay()).toContain('the source holds another one that is refused')
    expect(await activeBundle()).toBe(before)
    await rm(join(bundle, 'cedar/cli.cedar'))
    await expect.poll(bundlesSay).not.toContain('refused')
  })

  test.each([
    { words: ['show', 'f'.repeat(64)], says: /no bundle `f+` was ever active\nhint: cedargate bundles ls/ },
    { words: ['show', ''], says: /no bundle `` was ever active/ },
    { words: ['diff', 'zz'], says: /no bundle `zz` was ever active/ },
    { words: ['activate', 'nonsense'], says: /no bundle `nonsense` was ever active/ },
    { words: ['activate'], says: /name one bundle, or use --follow/ },
    { words: ['activate', 'previous', '--follow'], says: /name one bundle, or use --follow/ },
  ])('bundles $words: exit 2', async ({ words, says }) => {
    const { code, stdout, stderr } = await run('bundles', ...words)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(says)
  })
}) // biome-ignore format: long lines

const NOBODY = '00000000-0000-7000-8000-000000000000'
describe('what is wrong is said with what to do', () => {
  test.each([
    { words: ['grants', 'create', ...CAROL, '--expires', 'soon'], says: /`soon` is not a duration\nhint: .*90d/ },
    { words: ['grants', 'create', ...CAROL, '--expires', '0d'], says: /`0d` is not a duration/ },
    { words: ['grants', 'create', ...CAROL, '--expires', '367d'], says: /--expires 367d .*\nhint: at most 366d/ },
    { words: ['grants', 'create', '--user', 'carol', '--agent', 'codex'], says: /--server/ },
    { words: ['grants', 'create', '--agent', 'codex', '--server', 'files'], says: /--user/ },
    { words: ['grants', 'create', ...CAROL, '--server', 'nowhere'], says: /no server nowhere; it has .*files/ },
    { words: ['grants', 'create', ...CAROL, '--server', 'Files'], says: /a server id is/ },
    { words: ['grants', 'create', '--user', 'carol smith', '--agent', 'codex', '--server', 'files'], says: /an id is letters, digits.*user/ },
    { words: ['grants', 'create', ...CAROL, '--team', ''], says: /teams/ },
    { words: ['grants', 'revoke', NOBODY], says: /no such grant; see `cedargate grants ls`/ },
    { words: ['grants', 'revoke', 'nonsense'], says: /no such grant; see `cedargate grants ls`/ },
    { words: ['grants', 'revoke'], says: /missing required argument 'id'/ },
    { words: ['grants', 'show', NOBODY], says: /no such grant; see `cedargate grants ls`/ },
    { words: ['grants', 'rotate', NOBODY], says: /no such grant; see `cedargate grants ls`/ },
    { words: ['grants', 'create', '--user', 'carol', '--client', 'c', '--issuer', 'https://login.example.com'], says: /gateway\.yaml/ },
    { words: ['users', 'show', 'nobody-here'], says: /no such user; see `cedargate users ls`/ },
    { words: ['users', 'offboard', 'nobody-here'], says: /no such user; see `cedargate users ls`; .*never came: `cedargate users add <id>`, then offboard/ },
    { words: ['users', 'unlink', 'nobody-here'], says: /no such user; see `cedargate users ls`/ },
    { words: ['users', 'reinstate', 'nobody-here'], says: /no such user; see `cedargate users ls`/ },
    { words: ['users', 'roles', 'nobody-here', 'viewer'], says: /no such user; see `cedargate users ls`/ },
    { words: ['users', 'roles', 'carol', 'emperor'], says: /roles/ },
    { words: ['users', 'add', 'carol smith'], says: /names no user id: an id is letters/ },
    { words: ['users', 'add', 'ｃａｒｏｌ'], says: /names no user id: an id is in its plain form/ },
    { words: ['users', 'add', '--', '-carol'], says: /an id does not begin with `-`/ },
    { words: ['agents', 'set', 'cedargate', '--scope', 'mcp:read'], says: /the gateway's own/ },

    { words: ['peps', 'enroll', '--server', 'nowhere'], says: /no server nowhere; it has .*files/ },
    { words: ['peps', 'enroll'], says: /--server/ },
    { words: ['peps', 'revoke', 'nonsense'], says: /no such pep; see `cedargate peps ls`/ },
  ])('$words', async ({ words, says }) => {
    const { code, stdout, stderr } = await run(...words)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(says)
    expect(stderr).not.toContain('    at ')
  }) // biome-ignore format: a table

  test('a token that is not the operator’s', async () => {
    const { token } = await create(...CAROL)
    for (const CEDARGATE_TOKEN of [token, 'nonsense']) {
      const ended = await runHere(['grants', 'ls'], { CEDARGATE_URL: dev.facts.pdpUrl, CEDARGATE_TOKEN })
      expect(ended).toMatchObject({ code: 2, stdout: '' })
      expect(ended.stderr).toMatch(/does not know this operator token\nhint: set CEDARGATE_TOKEN/)
    }
  }) // biome-ignore format: long lines
})

/** A process of its own for what only a process shows: its exit code. */
describe.runIf(inject('postgresUrl') === null)('exit codes of the command itself', () => {
  test.concurrent.each([
    { words: ['--version'], code: 0, says: /^$/ },
    { words: ['conjure'], code: 2, says: /unknown command 'conjure'/ },
    { words: ['grants', 'ls', '--colour'], code: 2, says: /unknown option '--colour'/ },
  ])('$words: $code', async ({ words, code, says }) => {
    const ended = await runCommand(words)
    expect(ended).toMatchObject({ code, stderr: expect.stringMatching(says) })
  })

  test.concurrent('nobody answers: 2, and what to do', async () => {
    const url = `http://127.0.0.1:${await freePort()}`
    const ended = await runCommand(['grants', 'ls'], { CEDARGATE_URL: url, CEDARGATE_TOKEN: 'cgo' })
    const stderr = `cedargate: no gateway answers at ${url}\nhint: check that its PDP runs and has that URL; \`cedargate login --url https://<pdp>\` signs in to another\n` // biome-ignore format: long
    expect(ended).toEqual({ code: 2, stdout: '', stderr })
  })

  test.concurrent.each(['files', 'everything'])('tools lock of %s gives what is committed', async (server) => {
    const own = await mkdtemp(join(tmpdir(), 'cedargate-lock-'))
    await cp(EXAMPLE_BUNDLE, join(own, 'bundle'), { recursive: true })
    await mkdir(join(own, 'demo'))
    const ended = await runCommand(['tools', 'lock', server, '--bundle', join(own, 'bundle')], { CEDARGATE_HOME: own })
    expect(ended.code).toBe(0)
    const lock = join('servers', server, 'tools.lock.json')
    expect(await readFile(join(own, 'bundle', lock), 'utf8')).toBe(await readFile(join(EXAMPLE_BUNDLE, lock), 'utf8'))
    await rm(own, { recursive: true })
  }) // biome-ignore format: long lines
})

test('the bundle that decides is told by the API', async () => {
  const { pdpUrl, operatorToken } = dev.facts
  const headers = { authorization: `Bearer ${operatorToken}` }
  const info = bundleInfo.parse(
    await (await fetch(`${pdpUrl}/admin/v1/bundle`, { headers })).json(),
  )
  expect(info.servers.map(({ id }) => id).toSorted()).toEqual(['everything', 'files'])
})

test('a token is kept nowhere: not in the database, not in the home, not in what was printed', async () => {
  const { token } = await create(...CAROL, '--team', 'engineering')
  const { key } = createdPep.parse(await json('peps', 'enroll', '--server', 'files'))
  const { pepUrl } = dev.facts
  const client = await connectClient('sdk-1.32', { pepUrl, server: 'files', token })
  await client.call('read_text_file', { path: 'notes.txt' })
  await client.close()
  await dev.stop()
  const places = new Map([
    ...filesBelow(home),
    ...(databaseUrl === undefined ? [] : await tablesOf(databaseUrl)),
    ['stdout', Buffer.from(dev.stdout())] as const,
    ['stderr', Buffer.from(dev.stderr())] as const,
  ])
  expect(findSecrets({ token, key }, places)).toEqual([])
  // The same search finds what is kept of it, so it would find the token.
  const kept = { digest: hash('sha256', token), keyDigest: hash('sha256', key) }
  expect(new Set(findSecrets(kept, places).map((line) => line.split(' ')[0]))).toEqual(new Set(['digest', 'keyDigest']))
}) // biome-ignore format: long lines
