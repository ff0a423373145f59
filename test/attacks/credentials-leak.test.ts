// A secret of every kind is used through all that can go wrong, at servers that give away what they are sent. Then all that
// left the gateway, and all that it wrote, is searched: not one of them is anywhere, in any form.
import { type ChildProcess, spawn } from 'node:child_process'
import { hash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { z } from 'zod'
import { credentialRow } from '../../schemas/credentials-api.ts'
import { AS_CLIENT } from '../harness/authorization-server.ts'
import { sleep } from '../harness/command.ts'
import { ECHOES } from '../harness/echo-server.ts'
import {
  CHILD_TOOLS,
  canary,
  childServer,
  type LeakGateway,
  startLeakGateway,
} from '../harness/leak-gateway.ts'
import { callText, legacyText, modern } from '../harness/mcp-request.ts'
import { findSecrets } from '../harness/secrets.ts'

const SET = [
  { name: 'header', server: 'header', words: ['--header', 'x-api-key'], secret: canary('header') },
  { name: 'second', server: 'header', words: ['--header', 'x-second'], secret: canary('second') },
  { name: 'bearer', server: 'bearer', words: ['--bearer'], secret: canary('bearer') },
  { name: 'basic', server: 'basic', words: ['--basic'], secret: `somebody:${canary('basic')}` },
  { name: 'child', server: 'child', words: ['--env', 'API_KEY'], secret: `${canary('child')}\nπ` },
  { name: 'client', server: 'machine', words: ['--client', AS_CLIENT.id], secret: AS_CLIENT.secret },
] // biome-ignore format: a table
const CHILD_SECRET = SET.find(({ name }) => name === 'child')?.secret ?? ''
/** What tells that a call came where it should. */
const SAYS: Readonly<Record<string, string>> = {
  plain: 'fine',
  denied: '"code":"forbid"',
  proof: hash('sha256', CHILD_SECRET),
}
const HTTP = ['header', 'bearer', 'basic', 'machine', 'account']
/** Ways that give nothing away; those whose answer is refused before it is read, or ends before it is one. */
const SILENT: ReadonlySet<string> = new Set(['plain', 'proof', 'denied'])
const UNREAD: ReadonlySet<string> = new Set([
  'unauthorized',
  'redirect',
  'page',
  'zipped',
  'cut',
  'crash',
  'die',
])
/** Of a child: what it says beside its answers is no outcome of a call. */
const BESIDE: ReadonlySet<string> = new Set(['notify', 'noise', 'split', 'hang'])
const CALLS = HTTP.flatMap((server) =>
  Object.keys(ECHOES)
    .filter((tool) => tool !== 'hang')
    .map((tool) => [server, tool] as const),
)

describe.runIf(inject('postgresUrl') !== null && process.platform === 'linux')('leaks', () => {
  let gateway: LeakGateway
  beforeAll(async () => {
    gateway = await startLeakGateway({
      header: (url) => `url: ${url}/header\ncredential: { kind: header, names: [x-api-key, x-second] }\ninstructions: pass\n`,
      bearer: (url) => `url: ${url}/bearer\ncredential: { kind: bearer }\n`,
      basic: (url) => `url: ${url}/basic\ncredential: { kind: basic }\n`,
      child: childServer,
      machine: (url, issuer) => `url: ${url}/machine\ncredential: { kind: client_credentials, issuer: "${issuer}", scopes: [read] }\n`,
      account: (url, issuer) => `url: ${url}/account\ncredential: { kind: oauth, issuer: "${issuer}", scopes: [read] }\n`,
    })
  }, 60_000) // biome-ignore format: long lines
  afterAll(() => gateway.stop())

  const open = async (server: string, name = 'client'): Promise<Record<string, string>> => {
    const clientInfo = { name, version: '1' }
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo }
    const body = legacyText('initialize', params)
    const answered = await gateway.ask(`${server} initialize ${name}`, { server, body })
    const session = answered.headers['mcp-session-id']
    const headers: Record<string, string> = {
      'mcp-protocol-version': '2025-11-25',
      ...(typeof session === 'string' ? { 'mcp-session-id': session } : {}),
    }
    const told = '{"jsonrpc":"2.0","method":"notifications/initialized"}'
    await gateway.ask(`${server} initialized`, { server, body: told, headers })
    return headers
  }
  const call = async (server: string, tool: string, headers?: Record<string, string>) => {
    const own = headers ?? (await open(server))
    return await gateway.ask(`${server} ${tool}`, { server, body: callText('{}', tool), headers: own })
  } // biome-ignore format: one line
  const credentials = async () =>
    z.array(credentialRow).parse(await gateway.json('credentials', 'ls'))

  test.each(SET)('credentials set: $name', async ({ server, words, secret }) => {
    const set = ['credentials', 'set', '--server', server, ...words, '--stdin']
    expect(await gateway.command(secret, ...set)).toMatchObject({ code: 0 })
    expect(await gateway.command(`${secret}\0`, ...set)).toMatchObject({ code: 2 })
  })

  test('an account is connected, and tokens are renewed', async () => {
    await open('account')
    expect(gateway.said('account initialize')).toContain('/connect/account')
    expect((await call('account', 'plain')).body).not.toContain('fine')
    await gateway.connect('account')
    for (const server of ['account', 'machine']) {
      const headers = await open(server)
      await gateway.ask(`${server} list`, { server, body: legacyText('tools/list'), headers })
      expect((await call(server, 'plain', headers)).body).toContain('fine')
      const id = (await credentials()).find(({ server: own, kind }) => own === server && kind !== 'client')?.id ?? ''
      expect(await gateway.command('', 'credentials', 'test', id)).toMatchObject({ code: 0 })
      expect(await gateway.command('', 'credentials', 'rotate', id)).toMatchObject({ code: 0 })
    }
  }) // biome-ignore format: long lines

  test.each(HTTP)('%s: everything that is said', async (server) => {
    const headers = await open(server)
    await open(server, 'session')
    await gateway.ask(`${server} list`, { server, body: legacyText('tools/list'), headers })
    await gateway.ask(`${server} GET`, { server, method: 'GET', headers })
    for (const method of ['resources/list', 'prompts/list', 'ping'])
      await gateway.ask(`${server} ${method}`, { server, body: legacyText(method), headers })
    expect(gateway.said(`${server} list`)).toContain('"name":"plain"')
  })

  test.each(CALLS)('%s: %s', async (server, tool) => {
    const first = await call(server, tool)
    const { headers = {}, body } = modern('tools/call', { name: tool, arguments: {} })
    const own = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value ?? ''])) // biome-ignore format: long
    const second = await gateway.ask(`${server} ${tool}, modern`, { server, body, headers: own })
    for (const { body: said } of [first, second]) expect(said).toContain(SAYS[tool] ?? '')
  })

  test.each(CHILD_TOOLS.filter((tool) => tool !== 'hang'))('child: %s', async (tool) => {
    expect((await call('child', tool)).body).toContain(SAYS[tool] ?? '')
  })

  test('child: everything that is said', async () => {
    const [server, headers] = ['child', await open('child')]
    await gateway.ask('child list', { server, body: legacyText('tools/list'), headers })
    const signal = AbortSignal.timeout(1_500)
    const listening = gateway.ask('child GET', { server, method: 'GET', headers, signal })
    await call('child', 'notify', headers)
    await call('child', 'noise', headers)
    await listening.catch(() => undefined)
    await gateway.ask('child DELETE', { server, method: 'DELETE', headers })
    expect(gateway.said('child list')).toContain('"name":"plain"')
    expect(gateway.said('child GET')).toContain('credential masked')
  })

  test('the PEP is killed in the middle of calls, and goes on', async () => {
    const hanging = ['header', 'account', 'child'].map((server) => call(server, 'hang').catch(() => undefined)) // biome-ignore format: long
    await sleep(1_000)
    await gateway.killPep()
    await Promise.all(hanging)
    expect((await call('header', 'plain')).body).toContain('fine')
  })

  test('an authorization server says what it was asked, and fails', async () => {
    gateway.as.fault = (request, response) => {
      if (request.url !== '/token') return undefined
      response.writeHead(500, { 'content-type': 'application/json' }).end(`{"error":"${JSON.stringify(gateway.as.tokenRequests.map(({ form, authorization }) => [authorization, String(form)])).replaceAll('"', '')}"}`)
      return 'answered'
    }
    const renewed = (await credentials()).filter(({ kind }) => /^(oauth|client_credentials)$/.test(kind))
    const ended = await Promise.all(renewed.map(({ id }) => gateway.command('', 'credentials', 'rotate', id)))
    expect(ended.map(({ code }) => code === 0)).toEqual([false, false])
  }) // biome-ignore format: long lines

  test('each server was sent its own', () => {
    for (const { server, secret } of SET.filter(({ words }) =>
      /header|bearer|basic/.test(words.join()),
    )) {
      const sent = server === 'basic' ? Buffer.from(secret).toString('base64') : secret
      expect(gateway.echo.got(`/${server}`)).toContain(sent)
    }
    for (const server of ['machine', 'account'])
      expect(new Set(gateway.echo.got(`/${server}`).match(/eyJ\S+/g)).size).toBeGreaterThan(1)
  })

  test('each echo is marked in the record, and nothing else is', async () => {
    const rows = await decided(gateway.databaseUrl)
    const wrong = rows.filter(({ server, tool, echoed }) => {
      const isUnread = UNREAD.has(tool) || (server === 'child' && BESIDE.has(tool))
      return isUnread ? false : echoed !== !SILENT.has(tool)
    })
    expect(rows.length).toBeGreaterThan(CALLS.length)
    expect(wrong).toEqual([])
    const metrics = await (await fetch(`${gateway.urls.pep}/metrics`)).text()
    expect(metrics).toMatch(/^cedargate_pep_credential_echoes_total\{server="header"\} [1-9]/m)
  })

  test('nothing of them is anywhere', async () => {
    for (const words of [['decisions', 'ls'], ['acts', 'ls'], ['credentials', 'ls'], ['keys', 'ls']])
      gateway.keep(words.join(' '), JSON.stringify(await gateway.json(...words)))
    for (const { id } of await decided(gateway.databaseUrl))
      gateway.keep('decisions show', JSON.stringify(await gateway.json('decisions', 'show', id)))
    const places = await gateway.places()
    expect([...places.keys()].filter((name) => name.includes('metrics'))).toHaveLength(2)
    expect(findSecrets(secretsOf(gateway), places)).toEqual([])
  }) // biome-ignore format: long lines

  test('the search finds a secret in each of the places', async () => {
    const planted = canary('planted')
    const client = new Client({ connectionString: gateway.databaseUrl })
    await client.connect()
    await client.query('create table planted as select $1::text as secret', [planted])
    await client.query('create table coded as select convert_to($1, $2) as secret', [planted, 'utf8']) // biome-ignore format: long
    await client.end()
    await writeFile(join(gateway.folder, 'pep', 'planted'), Buffer.from(planted).toString('base64'))
    const children: ChildProcess[] = [
      spawn('sleep', ['20'], { env: { KEY: planted } }),
      spawn('sh', ['-c', 'sleep 20; true', planted], { env: { PATH: process.env['PATH'] } }),
    ]
    gateway.keep('an answer', JSON.stringify({ planted }))
    await sleep(200)
    const found = findSecrets({ planted }, await gateway.places()).join('\n')
    for (const child of children) child.kill()
    for (const place of ['an answer', 'pep/planted', 'public.planted', 'public.coded', 'environment of', 'words of'])
      expect(found).toContain(place)
  }) // biome-ignore format: long lines
})

/** All that may not be anywhere: what was set, and what authorization servers gave and got. */
function secretsOf({ as, echo }: LeakGateway): Record<string, string> {
  const tokens = ['/machine', '/account'].flatMap((path) => echo.got(path).match(/eyJ\S+/g) ?? [])
  const sent = as.tokenRequests.flatMap(({ form, authorization }) => [
    ...['refresh_token', 'code', 'code_verifier', 'client_secret'].map((name) => form.get(name)),
    decodeURIComponent(Buffer.from(authorization?.split(' ')[1] ?? '', 'base64').toString()).split(':')[1],
  ]) // biome-ignore format: long
  const all = [...tokens, ...sent].filter((secret) => typeof secret === 'string' && secret !== '')
  return {
    ...Object.fromEntries(SET.map(({ name, secret }) => [name, secret])),
    ...Object.fromEntries([...new Set(all)].map((secret, at) => [`token ${at}`, String(secret)])),
  }
}

/** Every call of a tool that has an outcome, and whether the outcome says that the answer held the credential. */
async function decided(databaseUrl: string) {
  const client = new Client({ connectionString: databaseUrl })
  await client.connect()
  const { rows } = await client.query<{
    id: string
    server: string
    tool: string
    echoed: boolean
  }>(
    `select d.id, d.server, d.tool, convert_from(o.leaf, 'utf8') like '%"ec":true%' as echoed
     from record d join record o on o.decision = d.id and o.kind = 'outcome'
     where d.method = 'tools/call' order by d.id`,
  )
  await client.end()
  return rows
}
