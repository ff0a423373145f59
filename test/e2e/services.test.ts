// The two services apart, as an operator runs them: two PDPs over one PostgreSQL, a PEP on each, one by port and one by
// socket. Where there is no PostgreSQL, that they say so.
import { hash, randomBytes, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { z } from 'zod'
import { parseKeks } from '../../pdp/src/keys/key-file.ts'
import { createdGrant, createdPep } from '../../schemas/admin-api.ts'
import { credentialRow } from '../../schemas/credentials-api.ts'
import { decisionRow } from '../../schemas/decisions-api.ts'
import { AUTH_FAILURES_MAX } from '../../schemas/limits.ts'
import { connectClient, type TestClient } from '../harness/client.ts'
import { type Ended, endCommand, type Running, sleep, startCommand } from '../harness/command.ts'
import { jsonHere, runHere } from '../harness/in-process.ts'
import { firstAdmin } from '../harness/operators.ts'
import { EXAMPLE_BUNDLE } from '../harness/pdp.ts'
import { filesBelow, findSecrets, tablesOf } from '../harness/secrets.ts'
import { servingUrl } from '../harness/service.ts'
import { createTestDatabase } from '../harness/store.ts'

/** A key of credentials that is in no file. */
const KEK = randomBytes(32).toString('base64')
const BUNDLE = { CEDARGATE_BUNDLE: EXAMPLE_BUNDLE }

const NOTES = ['read_text_file', { path: 'notes.txt' }] as const
const connect = (pepUrl: string, server: string, token: string): Promise<TestClient> =>
  connectClient('sdk-1.32', { pepUrl, server, token })

const TABLES = [
  'record',
  'record_detail',
  'pending',
  'subject_key',
  'users',
  'grants',
  'peps',
  'bundle',
  'agents',
  'bootstrap',
  'login_sessions',
  'used_id_token',
  'identity_change',
]
/** All but an INSERT into the two tables of the record. */
const FORBIDDEN_ACTS = [
  ...TABLES.flatMap((table) => [`select * from ${table}`, `delete from ${table}`, `truncate ${table}`]),
  `update record set verdict = 'allow'`,
  `insert into peps values ('x', 'y', '{}', now())`,
  `insert into pending (id, leaf_hash) values (gen_random_uuid(), '')`,
  'create table x ()',
  'set role postgres',
] // biome-ignore format: a list

describe('without a database', () => {
  test.each([
    { words: ['pdp'], env: BUNDLE },
    { words: ['pep', '--pdp', 'http://127.0.0.1:8181'], env: { CEDARGATE_PEP_KEY: 'cgp' } },
    { words: ['db', 'migrate'], env: {} },
  ])('$words says what is missing', async ({ words, env }) => {
    const { code, stderr } = await runHere(words, env)
    expect(code).toBe(2)
    expect(stderr).toMatch(/^cedargate: DATABASE_URL is not set\n(hint: .+\n)?$/)
  })
})

describe.runIf(inject('postgresUrl') !== null)('on PostgreSQL', () => {
  let folder: string
  let databaseUrl: string
  /** Of a login that may act as the writer of records, and as nothing else. */
  let writerUrl: string
  /** A session of the first admin. */
  let operator: string
  const running = new Map<string, Running>()
  const urls = { a: '', b: '', filesPep: '', bothPep: '' }
  const at = (name: string): string => join(folder, name)

  /** Environment of a service of ours, with a home, a directory for temporary files and a log of everything. */
  const service = (name: string, env: Record<string, string>): Record<string, string> => ({
    CEDARGATE_HOME: at(name),
    CEDARGATE_LOG_LEVEL: 'debug',
    TMPDIR: at('tmp'),
    ...env,
  })
  const pdpEnv = (env: Record<string, string> = {}): Record<string, string> =>
    service('pdp', {
      ...BUNDLE,
      DATABASE_URL: databaseUrl,
      CEDARGATE_PDP_PORT: '0',
      ...env,
    })
  const pepEnv = (key: string, env: Record<string, string> = {}): Record<string, string> =>
    service('pep', {
      CEDARGATE_PEP_KEY: key,
      DATABASE_URL: writerUrl,
      CEDARGATE_PEP_PORT: '0',
      ...env,
    })

  /** Starts a service and answers the URL it logs once it serves. */
  async function start(
    name: string,
    words: string[],
    env: Record<string, string>,
  ): Promise<string> {
    const started = startCommand(words, env, at('cwd'))
    running.set(name, started)
    return servingUrl(started)
  }

  const admin = (url: string = urls.a) => ({ CEDARGATE_URL: url, CEDARGATE_TOKEN: operator })
  const json = (...words: string[]): Promise<unknown> => jsonHere(words, admin())
  const grant = async (...words: string[]) =>
    createdGrant.parse(
      await json(
        'grants',
        'create',
        '--user',
        'alice',
        '--agent',
        'ci',
        '--team',
        'engineering',
        ...words,
      ),
    )

  let pepKeys: { files: z.infer<typeof createdPep>; both: z.infer<typeof createdPep> }
  let token: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cedargate-services-'))
    for (const name of ['pdp', 'pep/demo/drafts', 'tmp', 'cwd'])
      await mkdir(at(name), { recursive: true })
    await writeFile(at('pep/demo/notes.txt'), 'hello')
    databaseUrl = (await createTestDatabase()) ?? ''
    await jsonHere(['keys', 'create'], { CEDARGATE_HOME: at('pdp') })
  })
  afterAll(async () => {
    for (const one of running.values()) one.child.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  })

  test('keys create: private files, and never a second time', async () => {
    for (const name of ['deployment.pem', 'data.key'])
      expect(((await stat(at(`pdp/keys/${name}`))).mode & 0o777).toString(8)).toBe('600')
    const again = await runHere(['keys', 'create'], { CEDARGATE_HOME: at('pdp') })
    expect(again).toMatchObject({ code: 2, stdout: '' })
    expect(again.stderr).toMatch(
      /^cedargate: .*deployment\.pem exists; keys are never overwritten\n$/,
    )
  })

  test('a PDP does not start before `db migrate`, which can be run twice', async () => {
    const early = await runHere(['pdp'], pdpEnv())
    expect(early).toMatchObject({ code: 1, stdout: '' })
    expect(early.stderr).toMatch(
      /^cedargate: .* 0 of \d+ migrations; run `cedargate db migrate`\n$/,
    )
    for (const _ of [1, 2]) {
      const migrated = await runHere(['db', 'migrate'], { DATABASE_URL: databaseUrl })
      expect(migrated).toEqual({ code: 0, stdout: '', stderr: 'the tables are up to date\n' })
    }
  })

  test.each<{ name: string; env: Record<string, string>; code: number; says: RegExp }>([
    { name: 'a setting of before', env: { CEDARGATE_OPERATOR_TOKEN_SHA256: '0'.repeat(64) }, code: 2, says: /unknown setting CEDARGATE_OPERATOR_TOKEN_SHA256/ },
    { name: 'a login file that is not there', env: { CEDARGATE_LOGIN_FILE: '/nowhere.yaml' }, code: 2, says: /CEDARGATE_LOGIN_FILE \/nowhere.yaml cannot be read/ },
    { name: 'a login file with a mistake', env: { CEDARGATE_LOGIN_FILE: join(EXAMPLE_BUNDLE, 'gateway.yaml') }, code: 2, says: /CEDARGATE_LOGIN_FILE: .*gateway.yaml:1:1: `issuer`/ },
    { name: 'no keys', env: { CEDARGATE_HOME: join(tmpdir(), randomUUID()) }, code: 2, says: /make keys with `cedargate keys create`/ },
    { name: 'an address for everybody', env: { CEDARGATE_PDP_HOST: '0.0.0.0' }, code: 2, says: /CEDARGATE_PDP_HOST .*loopback/ },
    { name: 'no bundle', env: { CEDARGATE_BUNDLE: '' }, code: 2, says: /CEDARGATE_BUNDLE is not set/ },
    { name: 'a misspelt setting', env: { CEDARGATE_BUNDEL: 'x' }, code: 2, says: /unknown setting CEDARGATE_BUNDEL/ },
  ])('a PDP with $name does not start', async ({ env, code, says }) => {
    const ended = await runHere(['pdp'], pdpEnv(env))
    expect(ended).toMatchObject({ code, stdout: '' })
    expect(ended.stderr).toMatch(says)
    expect(ended.stderr).toMatch(/^cedargate: .+\n(hint: .+\n)?$/)
  }) // biome-ignore format: a table

  test('two PDPs, by port and by socket, and a PEP on each start', async () => {
    ;[urls.a, urls.b] = await Promise.all([
      start('a', ['pdp'], pdpEnv({ CEDARGATE_CREDENTIAL_KEYS: KEK })),
      start(
        'b',
        ['pdp'],
        pdpEnv({ CEDARGATE_CREDENTIAL_KEYS: KEK, CEDARGATE_PDP_SOCKET: at('pdp.sock') }),
      ),
    ])
    expect(urls.a).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    expect(urls.b).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    operator = await firstAdmin(urls.a, () => {
      return ['a', 'b'].map((name) => running.get(name)?.stderr() ?? '').join('\n')
    })
    for (const listed of ['grants', 'peps', 'decisions'])
      expect(await json(listed, 'ls')).toEqual([])

    writerUrl = await createWriter(databaseUrl)
    pepKeys = {
      files: createdPep.parse(await json('peps', 'enroll', '--server', 'files')),
      both: createdPep.parse(
        await json('peps', 'enroll', '--server', 'files', '--server', 'everything'),
      ),
    }
    ;[urls.filesPep, urls.bothPep] = await Promise.all([
      start(
        'filesPep',
        ['pep', '--pdp', urls.a],
        pepEnv(pepKeys.files.key, { CEDARGATE_TRUSTED_PROXIES: 'loopback' }),
      ),
      start('bothPep', ['pep', '--pdp', at('pdp.sock')], pepEnv(pepKeys.both.key)),
    ])
    token = (await grant('--server', 'files', '--server', 'everything')).token
  })

  test('the key of credentials is the one of the setting, whatever file there is, at both PDPs', async () => {
    await writeFile(at('cwd/secret'), 'a-secret-of-everything', { mode: 0o600 })
    const words = ['--server', 'everything', '--header', 'x-key', '--file', at('cwd/secret')]
    const { id } = credentialRow.parse(await json('credentials', 'set', ...words))
    await rm(at('cwd/secret'))
    const [kek] = parseKeks(KEK, 'a test')
    for (const url of [urls.a, urls.b]) {
      expect(await jsonHere(['keys', 'ls'], admin(url))).toEqual([{ id: kek?.id, known: true, current: true, credentials: 1 }])
      expect(await runHere(['keys', 'ls'], admin(url))).toMatchObject({ stderr: 'from CEDARGATE_CREDENTIAL_KEYS\n' })
      expect(await runHere(['credentials', 'test', id], admin(url))).toMatchObject({ code: 0 })
    }
  }) // biome-ignore format: long lines

  test.each([
    { pep: 'filesPep', server: 'files', allowed: NOTES },
    { pep: 'bothPep', server: 'files', allowed: NOTES },
    { pep: 'bothPep', server: 'everything', allowed: ['echo', { message: 'hi' }] },
  ] as const)('a client reaches $server through $pep', async ({ pep, server, allowed }) => {
    const client = await connect(urls[pep], server, token)
    expect(await client.call(allowed[0], allowed[1])).toMatchObject({
      isError: false,
      refusal: undefined,
    })
    const refused = await client.call('write_file', { path: 'x', content: '' })
    expect(refused).toMatchObject({ isError: true, refusal: { decisionId: expect.any(String) } })
    await client.close()
    const id = refused.refusal?.decisionId ?? ''
    expect(decisionRow.parse(await json('decisions', 'show', id))).toMatchObject({
      id,
      verdict: 'deny',
      user: 'alice',
    })
  })

  test.each([
    { pep: 'filesPep', source: '192.0.2.7', name: 'one that the operator trusts' },
    { pep: 'bothPep', source: '127.0.0.1', name: 'any other' },
  ] as const)('behind a proxy, $name: the source of a call is $source', async ({ pep, source }) => {
    const { id, token: own } = await grant('--server', 'files')
    const ask = (bearer: string, from: string) =>
      fetch(`${urls[pep]}/files/mcp`, {
        method: 'POST',
        headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'x-forwarded-for': `203.0.113.1, ${from}` },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'c', version: '1' } } }),
      }).then(({ status }) => status)
    expect(await ask(own, '192.0.2.7')).toBe(200)
    await expect.poll(() => json('grants', 'show', id)).toMatchObject({ lastSource: source })
    if (source === '127.0.0.1') return
    for (let times = 0; times < AUTH_FAILURES_MAX; times++) await ask('nobody', '192.0.2.8')
    expect([await ask('nobody', '192.0.2.8'), await ask('nobody', '192.0.2.9')]).toEqual([429, 401])
  }) // biome-ignore format: long lines

  test('a PEP does not serve what its key does not name: 404', async () => {
    const answer = await fetch(`${urls.filesPep}/everything/mcp`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
      body: '{"jsonrpc":"2.0","id":1,"method":"ping"}',
    })
    expect(answer.status).toBe(404)
  }) // biome-ignore format: long lines

  test('the login of a PEP may insert records and nothing else', async () => {
    const client = new Client({ connectionString: writerUrl })
    await client.connect()
    await client.query('set role cedargate_pep')
    const allowed: string[] = []
    for (const act of FORBIDDEN_ACTS) {
      await client.query(act).then(
        () => allowed.push(act),
        (error: unknown) => {
          if (!/permission denied/.test(String(error))) throw error
        },
      )
    }
    expect(allowed).toEqual([])
    await client.end()
  })

  test.each<{ name: string; pdp: () => string; env: () => Record<string, string>; says: RegExp }>([
    { name: 'a PDP on another host in plaintext', pdp: () => 'http://10.0.0.1:8181', env: () => ({}), says: /`CEDARGATE_PDP` must be https, a socket path, or http on loopback/ },
    { name: 'a PDP that is no address', pdp: () => 'pdp', env: () => ({}), says: /`CEDARGATE_PDP` is neither a URL nor a socket path/ },
    { name: 'a key nobody enrolled', pdp: () => urls.a, env: () => ({ CEDARGATE_PEP_KEY: operator }), says: /CEDARGATE_PEP_KEY/ },
    { name: 'no key', pdp: () => urls.a, env: () => ({ CEDARGATE_PEP_KEY: '' }), says: /CEDARGATE_PEP_KEY is not set.*peps enroll/ },
    { name: 'a PDP that is not there', pdp: () => at('nowhere.sock'), env: () => ({}), says: /CEDARGATE_PDP/ },
    { name: 'a port that is taken', pdp: () => urls.a, env: () => ({ CEDARGATE_PEP_PORT: new URL(urls.a).port }), says: /CEDARGATE_PEP_PORT \d+ cannot be listened on: EADDRINUSE/ },
  ])('a PEP with $name does not start', async ({ pdp, env, says }) => {
    const ended = await runHere(['pep', '--pdp', pdp()], { ...pepEnv(pepKeys.files.key, { CEDARGATE_LOG_LEVEL: 'silent' }), ...env() })
    expect(ended).toMatchObject({ code: 2, stdout: '' })
    expect(ended.stderr).toMatch(says)
    expect(ended.stderr).toMatch(/^cedargate: .+\n$/)
    expect(ended.stderr).not.toContain(pepKeys.files.key)
  }) // biome-ignore format: a table

  test('a revocation at one PDP is in force at the other a second later', async () => {
    const { id, token: short } = await grant('--server', 'files')
    const client = await connect(urls.bothPep, 'files', short)
    expect(await client.call(...NOTES)).toMatchObject({ isError: false })
    expect(await runHere(['grants', 'revoke', id], admin(urls.a))).toMatchObject({ code: 0 })
    await sleep(1_000)
    await expect(client.call(...NOTES)).rejects.toThrow(/unauthenticated/)
    await client.close()
  })

  test('a revoked PEP gets no verdict any more, a second later', async () => {
    const client = await connect(urls.filesPep, 'files', token)
    expect(await client.call(...NOTES)).toMatchObject({ isError: false })
    expect(await runHere(['peps', 'revoke', pepKeys.files.id], admin())).toMatchObject({ code: 0 })
    await sleep(1_000)
    const answer = await client.call(...NOTES)
    expect(answer).toMatchObject({ isError: true, refusal: { code: 'pdp_unavailable' } })
    await client.close()
  })

  test('fsck is content with what two PDPs and two PEPs wrote', async () => {
    const { code, stderr } = await runHere(['ledger', 'fsck'], admin())
    expect(stderr).toMatch(/\d+ leaves checked, nothing found\n$/)
    expect(code).toBe(0)
  })

  test('all of them end in order on SIGTERM', async () => {
    const ended: Ended[] = []
    for (const name of ['filesPep', 'bothPep', 'a', 'b']) {
      const one = running.get(name)
      if (one !== undefined) ended.push(await endCommand(one))
    }
    expect(ended.map(({ code, stdout }) => ({ code, stdout }))).toEqual(
      ended.map(() => ({ code: 0, stdout: '' })),
    )
    expect(ended.length).toBe(4)
    expect(existsSync(at('pdp.sock'))).toBe(false)
  })

  test('no token and no key was written anywhere: files, tables, logs of everything', async () => {
    const secrets = {
      operator,
      token,
      kek: KEK,
      credential: 'a-secret-of-everything',
      filesKey: pepKeys.files.key,
      bothKey: pepKeys.both.key,
    }
    const places = new Map([...filesBelow(folder), ...(await tablesOf(databaseUrl))])
    for (const [name, { stdout, stderr }] of running) {
      places.set(`output of ${name}`, Buffer.from(stdout() + stderr()))
    }
    expect(places.get('output of bothPep')?.includes('"level":20')).toBe(true)
    expect(findSecrets(secrets, places)).toEqual([])
    const digests = { token: hash('sha256', token), filesKey: hash('sha256', pepKeys.files.key) }
    expect(findSecrets(digests, places).length).toBeGreaterThanOrEqual(2)
  })
})

/** A login that is a member of the writing role; its URL. */
async function createWriter(databaseUrl: string): Promise<string> {
  const name = `writer_${randomUUID().replaceAll('-', '')}`
  const client = new Client({ connectionString: databaseUrl })
  await client.connect()
  await client.query(`create role ${name} login password '${name}' in role cedargate_pep`)
  await client.end()
  const url = new URL(databaseUrl)
  url.username = name
  url.password = name
  return url.href
}
