// Which gateway a command talks to, what is kept of a login session, and what is said when it is over. Signing in at a
// real identity provider: test/e2e/login.test.ts.
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { bootstrapRequest } from '../../../schemas/admin-api.ts'
import type { Ended } from '../../../test/harness/command.ts'
import { runHere } from '../../../test/harness/in-process.ts'
import { type FakeGateway, type Route, startFakeGateway } from '../testing.ts'

const LATER = '2999-01-01T00:00:00.000Z'
const ME = { user: 'carol', roles: ['admin'], expiresAt: LATER }
const BOOTSTRAP: Route = {
  on: 'POST /admin/v1/bootstrap',
  takes: bootstrapRequest,
  status: 201,
  answers: { token: 'cgs_new', ...ME },
}
const WHOAMI: Route = { on: 'GET /admin/v1/whoami', answers: ME }

let gateway: FakeGateway
let home: string
beforeAll(async () => {
  gateway = await startFakeGateway()
})
afterAll(() => gateway.close())
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cedargate-login-'))
})
afterEach(() => rm(home, { recursive: true }))

const run = (words: string, env: Record<string, string> = {}): Promise<Ended> =>
  runHere(words.split(' '), { CEDARGATE_HOME: home, ...env })
const bootstrap = (url = gateway.url) => run(`login --url ${url} --bootstrap cgb_x --user carol`)
const saved = async (): Promise<unknown> =>
  JSON.parse(await readFile(join(home, 'login.json'), 'utf8'))
const save = (change: object): Promise<void> =>
  writeFile(join(home, 'login.json'), JSON.stringify({ url: gateway.url, token: 'cgs_old', user: 'carol', expiresAt: LATER, ...change })) // biome-ignore format: long

describe('login', () => {
  test('the session is kept for its owner alone, and never printed', async () => {
    gateway.answer(BOOTSTRAP)
    const ended = await bootstrap(`${gateway.url}/`)
    expect(ended).toEqual({ code: 0, stdout: '', stderr: expect.any(String) })
    const [first, ...next] = ended.stderr.split('\n')
    expect(first).toBe(`signed in to ${gateway.url} as carol (admin), until ${LATER}`)
    expect(next.join(' ')).toMatch(
      /before this session ends.* cedargate users add carol --issuer … --subject … $/,
    )
    expect(gateway.asked).toEqual([
      { on: BOOTSTRAP.on, bearer: undefined, body: { token: 'cgb_x', user: 'carol' } },
    ])
    expect(await saved()).toEqual({ url: gateway.url, token: 'cgs_new', user: 'carol', expiresAt: LATER }) // biome-ignore format: long
    expect(await readdir(home)).toEqual(['login.json'])
    expect((await stat(join(home, 'login.json'))).mode & 0o777).toBe(0o600)
    expect((await stat(home)).mode & 0o777).toBe(0o700)
  })

  test('--format json: who, until when, and no token', async () => {
    gateway.answer(BOOTSTRAP)
    const { stdout } = await run(`login --url ${gateway.url} --bootstrap cgb_x --user carol --format json`) // biome-ignore format: long
    expect(JSON.parse(stdout)).toEqual({ url: gateway.url, ...ME })
  })

  test('a file of another mode is replaced, not written into', async () => {
    await writeFile(join(home, 'login.json'), '{}', { mode: 0o644 })
    gateway.answer(BOOTSTRAP)
    await bootstrap()
    expect((await stat(join(home, 'login.json'))).mode & 0o777).toBe(0o600)
  })

  test('without --url: CEDARGATE_URL, else the gateway of last time', async () => {
    const words = 'login --bootstrap cgb_x --user carol'
    expect(await run(words)).toMatchObject({ code: 2, stderr: expect.stringMatching(/^cedargate: no gateway to sign in to\nhint: .*--url https:/) }) // biome-ignore format: long
    gateway.answer(BOOTSTRAP)
    expect(await run(words, { CEDARGATE_URL: gateway.url })).toMatchObject({ code: 0 })
    await save({ expiresAt: '2020-01-01T00:00:00.000Z' })
    expect(await run(words)).toMatchObject({ code: 0 })
  })

  test('a token in the environment goes before it, and that is said', async () => {
    gateway.answer(BOOTSTRAP)
    const env = { CEDARGATE_URL: gateway.url, CEDARGATE_TOKEN: 'cgs_other' }
    expect((await run('login --bootstrap cgb_x --user carol', env)).stderr).toMatch(/CEDARGATE_TOKEN is set and goes before it/) // biome-ignore format: long
  })

  test.each([
    { words: 'login --url http://pdp.example.com', says: /`http:\/\/pdp\.example\.com` is not an https URL\nhint: http is for this machine alone/ },
    { words: 'login --url http://127.0.0.1.example.com', says: /is not an https URL/ },
    { words: 'login --url http://127.0.0.1@example.com', says: /is not an https URL/ },
    { words: 'login --url file:///etc/passwd', says: /is not an https URL/ },
    { words: 'login --url pdp', says: /is not an https URL/ },
    { words: 'login --bootstrap cgb_x', says: /--bootstrap and --user belong together/ },
    { words: 'login --user carol', says: /--bootstrap and --user belong together/ },
  ])('$words: exit 2, nothing is asked and nothing kept', async ({ words, says }) => {
    gateway.answer(BOOTSTRAP)
    const ended = await run(words, words.includes('--url') ? {} : { CEDARGATE_URL: gateway.url })
    expect(ended).toEqual({ code: 2, stdout: '', stderr: expect.stringMatching(says) })
    expect(gateway.asked).toEqual([])
    expect(await readdir(home)).toEqual([])
  }) // biome-ignore format: a table

  test('a refused sign-in keeps what was', async () => {
    await save({})
    gateway.answer({ ...BOOTSTRAP, status: 401, answers: { message: 'the token was used' } })
    expect(await bootstrap()).toMatchObject({ code: 2, stderr: 'cedargate: the token was used\n' })
    expect(await saved()).toMatchObject({ token: 'cgs_old' })
  })

  test.each([
    { issuer: 'http://login.example.com', says: /the identity provider: `http:\/\/login\.example\.com` is not an https URL/ },
    { issuer: 'javascript:alert(1)', says: /is not an https URL/ },
    { issuer: 'https://127.0.0.1:1', says: /^cedargate: sign-in at https:\/\/127\.0\.0\.1:1 failed: / },
  ])('an identity provider at $issuer', async ({ issuer, says }) => {
    gateway.answer({ on: 'GET /admin/v1/login', answers: { issuer, clientId: 'c', scope: 'openid' } })
    const ended = await run(`login --url ${gateway.url}`)
    expect(ended).toEqual({ code: 2, stdout: '', stderr: expect.stringMatching(says) })
    expect(ended.stderr).not.toContain('    at ')
  }) // biome-ignore format: a table
})

describe('the session', () => {
  test('stands for whoever types, before `dev`', async () => {
    await writeFile(join(home, 'dev.json'), JSON.stringify({ pdpUrl: 'http://127.0.0.1:1', operatorToken: 'cgo' })) // biome-ignore format: long
    await save({})
    gateway.answer(WHOAMI)
    expect(await run('whoami')).toEqual({ code: 0, stdout: `user      carol\nroles     ["admin"]\nexpiresAt ${LATER}\n`, stderr: '' }) // biome-ignore format: long
    expect(gateway.asked[0]?.bearer).toBe('cgs_old')
  })

  test('of a gateway that CEDARGATE_URL names; never for another', async () => {
    await save({})
    gateway.answer(WHOAMI)
    expect(await run('whoami', { CEDARGATE_URL: `${gateway.url}/` })).toMatchObject({ code: 0 })
    const other = await run('whoami', { CEDARGATE_URL: 'http://127.0.0.1:1' })
    expect(other).toMatchObject({ code: 2, stderr: expect.stringMatching(/belong together.*\nhint: or sign in: cedargate login --url http:\/\/127\.0\.0\.1:1\n/) }) // biome-ignore format: long
    expect(gateway.asked.length).toBe(1)
  })

  test('CEDARGATE_TOKEN goes before it', async () => {
    await save({})
    gateway.answer(WHOAMI)
    await run('whoami', { CEDARGATE_URL: gateway.url, CEDARGATE_TOKEN: 'cgs_other' })
    expect(gateway.asked[0]?.bearer).toBe('cgs_other')
  })

  test('that is over is not sent', async () => {
    await save({ expiresAt: new Date().toISOString() })
    gateway.answer(WHOAMI)
    expect(await run('whoami')).toMatchObject({ code: 2, stderr: expect.stringMatching(/^cedargate: you are signed out of \S+ since \S+\nhint: `cedargate login` signs in again/) }) // biome-ignore format: long
    expect(gateway.asked).toEqual([])
  })

  test('that the gateway ended', async () => {
    await save({})
    gateway.answer({ ...WHOAMI, status: 401, answers: { message: 'no' } })
    expect(await run('whoami')).toMatchObject({ code: 2, stderr: expect.stringMatching(/no longer knows your login session\nhint: you were signed out, or it expired: `cedargate login`/) }) // biome-ignore format: long
  })

  test.each(['{"url":', '{}', '[]', ''])('in a damaged file: %s', async (text) => {
    await writeFile(join(home, 'login.json'), text)
    for (const words of ['whoami', 'logout'])
      expect(await run(words)).toMatchObject({ code: 2, stderr: expect.stringMatching(/login\.json is damaged\nhint: delete it/) }) // biome-ignore format: long
  })

  test('in what is no file', async () => {
    await mkdir(join(home, 'login.json'))
    expect(await run('whoami')).toMatchObject({ code: 2, stderr: expect.stringMatching(/login\.json cannot be read: EISDIR/) }) // biome-ignore format: long
  })
})

describe('logout', () => {
  const END = 'DELETE /admin/v1/sessions/current'
  test('ends it at the gateway, and forgets it', async () => {
    await save({})
    gateway.answer({ on: END, status: 204 })
    expect(await run('logout')).toEqual({ code: 0, stdout: '', stderr: `signed out of ${gateway.url}\n` }) // biome-ignore format: long
    expect(gateway.asked).toEqual([{ on: END, bearer: 'cgs_old', body: undefined }])
    expect(await readdir(home)).toEqual([])
    expect(await run('logout')).toEqual({ code: 0, stdout: '', stderr: 'nobody is signed in\n' })
  })

  test('of a session that the gateway ended before', async () => {
    await save({})
    gateway.answer({ on: END, status: 401 })
    expect(await run('logout')).toMatchObject({ code: 0 })
    expect(await readdir(home)).toEqual([])
  })

  test('where the gateway does not end it: forgotten all the same, and said', async () => {
    await save({})
    gateway.answer({ on: END, status: 503, answers: { message: 'not now' } })
    expect(await run('logout')).toEqual({ code: 2, stdout: '', stderr: `cedargate: forgotten here, but not ended at the gateway: not now\nhint: it ends by itself at ${LATER}\n` }) // biome-ignore format: long
    expect(await readdir(home)).toEqual([])
  })
})
