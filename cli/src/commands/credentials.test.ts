// Credentials on the command line: what each command asks of the gateway, where it takes a secret from, and that it shows
// none. What a gateway makes of it: test/e2e/credentials.test.ts.
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { credentialRequest, rotateRequest } from '../../../schemas/credentials-api.ts'
import type { Ended } from '../../../test/harness/command.ts'
import { runHere } from '../../../test/harness/in-process.ts'
import { CREDENTIAL, type FakeGateway, type Route, startFakeGateway } from '../testing.ts'

const { id: ID, createdAt: AT } = CREDENTIAL
const SECRET = 'hunter2-canary'
const TESTED = { id: ID, server: 'files', user: 'carol', version: 3, ok: true, problem: null }
const LINK = { url: 'https://pdp.example.com/connect/files', server: 'files', user: 'carol' }

let gateway: FakeGateway
let home: string
const at = (name: string): string => join(home, name)
beforeAll(async () => {
  gateway = await startFakeGateway()
  home = await mkdtemp(join(tmpdir(), 'cedargate-credentials-'))
  await writeFile(at('secret'), `${SECRET}\n`, { mode: 0o600 })
  await writeFile(at('basic'), 'carol:password9\r\n', { mode: 0o600 })
  await writeFile(at('lines'), 'two\nlines\n\n', { mode: 0o600 })
  await writeFile(at('short'), 'seven77\n', { mode: 0o600 })
  await writeFile(at('long'), 'x'.repeat(70_000), { mode: 0o600 })
  await writeFile(at('binary'), Buffer.from([0xff, 0xfe, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), { mode: 0o600 })
}) // biome-ignore format: long lines
afterAll(async () => {
  await gateway.close()
  await rm(home, { recursive: true })
})
/** `@name` is a file of `home`. */
const run = (...words: string[]): Promise<Ended> =>
  runHere(
    words.map((word) => (word.startsWith('@') ? at(word.slice(1)) : word)),
    { CEDARGATE_URL: gateway.url, CEDARGATE_TOKEN: 'cgs_mine', CEDARGATE_HOME: home },
  )

type Case = { words: string; route: Route; sends?: unknown; says: RegExp }
const set = (words: string, body: object, says: RegExp, answers: object = CREDENTIAL): Case => ({
  words: `credentials set --server files ${words}`,
  route: { on: 'PUT /admin/v1/credentials', takes: credentialRequest, answers },
  sends: { server: 'files', user: null, ...body },
  says,
})
const LIST = 'GET /admin/v1/credentials?limit='

describe('what a command asks, and what it says', () => {
  test.each<Case>([
    set('--header X-Api-Key --file @secret', { secret: { kind: 'header', name: 'x-api-key', value: SECRET } }, /^credential \S+1 version 3 for server files: header x-api-key of the deployment\n$/),
    set('--env TOKEN --file @lines --user carol', { user: 'carol', secret: { kind: 'env', name: 'TOKEN', value: 'two\nlines\n' } }, /: env A, B of user carol\n$/, { ...CREDENTIAL, user: 'carol', kind: 'env', names: ['A', 'B'] }),
    set('--bearer --file @secret', { secret: { kind: 'bearer', value: SECRET } }, /: bearer of the deployment\n\|not used: servers\/files\/server\.yaml asks for another credential, or none\n$/, { ...CREDENTIAL, kind: 'bearer', names: [], state: 'undeclared' }),
    set('--basic --file @basic', { secret: { kind: 'basic', value: 'carol:password9' } }, /: basic of/, { ...CREDENTIAL, kind: 'basic', names: [] }),
    set('--client --file @secret', { secret: { kind: 'client', value: SECRET } }, /: client of/, { ...CREDENTIAL, kind: 'client', names: [] }),
    set('--client our-id --file @secret', { secret: { kind: 'client', clientId: 'our-id', value: SECRET } }, /\|ended: set it anew\n$/, { ...CREDENTIAL, kind: 'client', names: [], state: 'reconnect' }),
    {
      words: 'credentials ls',
      route: { on: `${LIST}200`, answers: { credentials: [CREDENTIAL] } },
      says: /^ID +SERVER +USER +KIND +NAMES +VERSION +STATE +EXPIRES +LAST USED\n\S+ +files +header +x-api-key +3 +ok +never\n$/,
    },
    {
      words: `credentials ls --server files --user carol --limit 1 --after ${ID}`,
      route: { on: `${LIST}1&server=files&user=carol&after=${ID}`, answers: { credentials: [{ ...CREDENTIAL, user: 'carol', lastUsedAt: AT, expiresAt: AT }] } },
      says: new RegExp(`carol +header .* ${AT} +${AT}\\n\\|more: --after ${ID}\\n$`),
    },
    { words: 'credentials ls --user nobody', route: { on: `${LIST}200&user=nobody`, answers: { credentials: [] } }, says: /^no credentials match\n$/ },
    { words: 'credentials ls', route: { on: `${LIST}200`, answers: { credentials: [] } }, says: /^no credentials yet; see/ },
    { words: `credentials test ${ID}`, route: { on: `POST /admin/v1/credentials/${ID}/test`, answers: TESTED }, sends: {}, says: /^credential \S+1 version 3 for server files of user carol is ok\n$/ },
    { words: `credentials rotate ${ID}`, route: { on: `POST /admin/v1/credentials/${ID}/rotate`, takes: rotateRequest, answers: { ...CREDENTIAL, kind: 'oauth', names: [], user: 'carol', state: 'reconnect' } }, sends: {}, says: /: oauth of user carol\n\|ended: run `cedargate credentials connect --server files --user carol`\n$/ },
    { words: `credentials rm ${ID}`, route: { on: `DELETE /admin/v1/credentials/${ID}`, answers: { id: ID, server: 'files', user: null } }, says: /^credential \S+1 for server files of the deployment is removed\n$/ },
    { words: 'credentials connect --server files --user carol --no-wait', route: { on: 'GET /admin/v1/credentials/link?server=files&user=carol', answers: LINK }, says: /^https:\/\/pdp\.example\.com\/connect\/files\n$/ },
  ])('cedargate $words', async ({ words, route, sends, says }) => {
    gateway.answer(route)
    const text = await run(...words.split(' '))
    expect(text).toMatchObject({ code: 0 })
    expect(gateway.asked).toEqual([{ on: route.on, bearer: 'cgs_mine', body: sends }])
    expect([text.stdout, text.stderr].filter((said) => said !== '').join('|')).toMatch(says)
    const { code, stdout, stderr } = await run(...words.split(' '), '--format', 'json')
    const rows = / ls\b/.test(words) ? Object.values(route.answers as object)[0] : route.answers
    expect({ code, data: JSON.parse(stdout) }).toEqual({ code: 0, data: rows })
    expect(stderr.replace(/^more: .*\n$/, '')).toBe('')
    expect(`${text.stdout}${text.stderr}${stdout}`).not.toContain(SECRET)
  })
}) // biome-ignore format: a table

test('a credential that cannot be used: exit 3, and why', async () => {
  const problem = 'the authorization server takes it no more\u001b[2J'
  gateway.answer({ on: `POST /admin/v1/credentials/${ID}/test`, answers: { ...TESTED, ok: false, problem } }) // biome-ignore format: long
  const said = 'cedargate: the authorization server takes it no more\\u{1b}[2J\n'
  expect(await run('credentials', 'test', ID)).toEqual({ code: 3, stdout: '', stderr: said })
  const json = await run('credentials', 'test', ID, '--format', 'json')
  expect(json).toMatchObject({ code: 3, stderr: said })
  expect(JSON.parse(json.stdout)).toEqual({ ...TESTED, ok: false, problem })
})

describe('rotate takes the place of what is there', () => {
  const rotating = (row: object, ...before: object[]): Route[] => [
    ...(before.length === 0 ? [] : [{ on: `${LIST}1000`, answers: { credentials: before } }]),
    { on: `${LIST}1000${before.length === 0 ? '' : `&after=${OTHER}`}`, answers: { credentials: [{ ...CREDENTIAL, ...row }] } },
    { on: `POST /admin/v1/credentials/${ID}/rotate`, takes: rotateRequest, answers: { ...CREDENTIAL, ...row, version: 4 } },
  ] // biome-ignore format: long lines
  const OTHER = '01990000-0000-7000-8000-000000000000'
  const TWO = { names: ['x-a', 'x-b'] }
  test.each([
    { name: 'its only header', row: {}, words: '', sends: { kind: 'header', name: 'x-api-key', value: SECRET } },
    { name: 'one of two', row: TWO, words: '--header X-B', sends: { kind: 'header', name: 'x-b', value: SECRET } },
    { name: 'a variable', row: { kind: 'env', names: ['A'] }, words: '--env A', sends: { kind: 'env', name: 'A', value: SECRET } },
    { name: 'a bearer token', row: { kind: 'bearer', names: [] }, words: '', sends: { kind: 'bearer', value: SECRET } },
    { name: 'the secret of a client', row: { kind: 'client_credentials', names: [] }, words: '', sends: { kind: 'client', value: SECRET } },
  ])('$name', async ({ row, words, sends }) => {
    gateway.answer(...rotating(row))
    const ended = await run('credentials', 'rotate', ID, '--file', '@secret', ...words.split(' ').filter(Boolean))
    expect(ended).toMatchObject({ code: 0, stdout: expect.stringContaining(`credential ${ID} version 4 for server files`) })
    expect(gateway.asked.at(-1)).toMatchObject({ body: { secret: sends } })
  }) // biome-ignore format: a table

  test('on the second page', async () => {
    const page = Array.from({ length: 1_000 }, () => ({ ...CREDENTIAL, id: OTHER, kind: 'oauth' }))
    gateway.answer(...rotating({}, ...page))
    expect(await run('credentials', 'rotate', ID, '--file', '@secret')).toMatchObject({ code: 0 })
  })

  test.each([
    { row: TWO, words: '', says: /name which of x-a, x-b: --header <name>\n$/ },
    { row: {}, words: '--env A', says: /of kind header: --env does not name it/ },
    { row: { kind: 'bearer', names: [] }, words: '--header x', says: /of kind bearer: --header does not name it/ },
    { row: { kind: 'oauth', names: [] }, words: '', says: /an account that somebody connected\nhint: `cedargate credentials connect`/ },
    { row: { id: OTHER }, words: '', says: /no such credential\nhint: / },
  ])('$row $words: nothing is sent', async ({ row, words, says }) => {
    gateway.answer(...rotating(row))
    const ended = await run('credentials', 'rotate', ID, '--file', '@secret', ...words.split(' ').filter(Boolean))
    expect(ended).toEqual({ code: 2, stdout: '', stderr: expect.stringMatching(says) })
    expect(gateway.asked.length).toBe(1)
  }) // biome-ignore format: a table
})

describe('what does not fit together: exit 2, nothing is asked, and no secret is shown', () => {
  beforeEach(() => gateway.answer())
  const header = '--server files --header x-api-key'
  const HINT = 'hint: a secret is not taken from the command line,.*--stdin or --file <path>\n$'
  const ARGV = new RegExp(`^cedargate: too many arguments\n${HINT}`)
  const OPTION = new RegExp(`^cedargate: unknown option '--(?:value|secret|bearer)'\n${HINT}`)
  test.each([
    { words: `set ${header} ${SECRET}`, says: ARGV },
    { words: `set ${header} --stdin ${SECRET}`, says: ARGV },
    { words: `set ${header} --value ${SECRET}`, says: OPTION },
    { words: `set ${header} --secret=${SECRET} --stdin`, says: OPTION },
    { words: `set --server files --bearer=${SECRET} --stdin`, says: OPTION },
    { words: `set ${header} --file @secret -- ${SECRET}`, says: ARGV },
    { words: `rotate ${ID} ${SECRET}`, says: ARGV },
    { words: `rotate --value=${SECRET} ${ID}`, says: OPTION },
    { words: `rotate ${SECRET}`, says: /this is not the id of a credential\nhint: `cedargate credentials ls`/ },
    { words: `test ${SECRET}`, says: /this is not the id/ },
    { words: `rm ${SECRET}`, says: /this is not the id/ },
    { words: 'set --header x --stdin', says: /required option '--server <id>'/ },
    { words: 'set --server files --stdin', says: /say what the secret is, by one of --header/ },
    { words: 'set --server files --bearer --basic --stdin', says: /say what the secret is/ },
    { words: 'set --server files --header a --env B --stdin', says: /say what the secret is/ },
    { words: `set ${header}`, says: /say where the secret is: --stdin or --file <path>/ },
    { words: `set ${header} --stdin --file @secret`, says: /say where the secret is/ },
    { words: `rotate ${ID} --header x`, says: /say where the secret is/ },
    { words: `set ${header} --file @nothing`, says: /--file \S+nothing cannot be read: ENOENT/ },
    { words: `set ${header} --file .`, says: /--file \. cannot be read: EISDIR/ },
    { words: `set ${header} --file @short`, says: /the secret must have at least 8 characters/ },
    { words: `set ${header} --file @long`, says: /the secret must have at most 16384 characters/ },
    { words: `set ${header} --file @lines`, says: /the secret must be visible ASCII characters on one line/ },
    { words: `set ${header} --file @binary`, says: /the secret is not UTF-8 text/ },
    { words: 'set --server files --basic --file @secret', says: /the secret must be user:password/ },
    { words: `set --server files --header Authorization:${SECRET} --file @secret`, says: /--header must be the name of an HTTP header/ },
    { words: 'set --server files --header mcp-session-id --file @secret', says: /--header mcp-session-id: this header is the gateway's own/ },
    { words: `set --server files --env TOKEN=${SECRET} --file @secret`, says: /--env must be the name of an environment variable/ },
    { words: 'set --server files --env PATH --file @secret', says: /--env PATH: this variable says how the server is run/ },
    { words: `set --server ../x --bearer --file @secret`, says: /--server / },
    { words: `set --server files --user .. --bearer --file @secret`, says: /--user / },
    { words: 'connect', says: /required option '--server <id>'/ },
  ])('cedargate credentials $words', async ({ words, says }) => {
    const { code, stdout, stderr } = await run('credentials', ...words.split(' '))
    expect({ code, stdout, asked: gateway.asked }).toEqual({ code: 2, stdout: '', asked: [] })
    expect(stderr).toMatch(says)
    expect(stderr).not.toContain(SECRET)
  })
}) // biome-ignore format: a table

test('a file that others can read is warned of, and used', async () => {
  await writeFile(at('open'), SECRET)
  await chmod(at('open'), 0o640)
  gateway.answer({ on: 'PUT /admin/v1/credentials', takes: credentialRequest, answers: CREDENTIAL })
  const { code, stderr } = await run('credentials', 'set', '--server', 'files', '--bearer', '--file', '@open') // biome-ignore format: long
  expect(code).toBe(0)
  expect(stderr).toBe(`warning: ${at('open')} has mode 0640, others can read it; run \`chmod 600 ${at('open')}\`\n`) // biome-ignore format: long
})

const rowsOf = (...credentials: object[]): Route => ({ on: `${LIST}1000&server=files&user=carol`, answers: { credentials } }) // biome-ignore format: long

describe('connect', () => {
  const ASK = { on: 'GET /admin/v1/credentials/link?server=files&user=carol', answers: LINK }
  const OAUTH = { ...CREDENTIAL, user: 'carol', kind: 'oauth', names: [] }
  const words = ['connect', '--server', 'files', '--user', 'carol', '--no-browser']

  test.each([
    { name: 'a first account', before: [], after: OAUTH },
    { name: 'a newer one', before: [OAUTH], after: { ...OAUTH, version: 4 } },
    { name: 'one that was to be connected anew', before: [{ ...OAUTH, state: 'reconnect' }], after: OAUTH },
  ])('waits for $name', async ({ before, after }) => {
    const others = [{ ...CREDENTIAL, kind: 'client', names: [] }]
    gateway.answer(ASK, rowsOf(...others, ...before))
    const waiting = run('credentials', ...words, '--format', 'json')
    const looked = () => gateway.asked.filter(({ on }) => on.includes('limit=')).length
    await expect.poll(looked, { timeout: 5_000 }).toBe(2)
    gateway.answer(rowsOf(...others, after))
    const { code, stdout, stderr } = await waiting
    expect({ code, row: JSON.parse(stdout) }).toEqual({ code: 0, row: after })
    expect(stderr).toBe('connect the account here:\n  https://pdp.example.com/connect/files\n')
  }) // biome-ignore format: a table

  test.each(['javascript:alert(1)', 'file:///etc/passwd', 'http://pdp.example.com/'])('a link to %s is not opened', async (url) => {
    gateway.answer({ ...ASK, answers: { ...LINK, url } })
    for (const wait of [[], ['--no-wait']])
      expect(await run('credentials', ...words, ...wait)).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/is not an https URL/) })
  }) // biome-ignore format: a table
})
