// The bypass list: every request that must go nowhere. Nothing is asked, recorded or sent for any
// of them.
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { RefusalCode } from '../../schemas/codes.ts'
import { BODY_BYTES_MAX } from '../../schemas/limits.ts'
import { META } from '../../schemas/mcp.ts'
import {
  bearer,
  countingSql,
  createTestPdp,
  EVERYTHING_VISIBLE,
  openTestUpstream,
  type RunningTestPep,
  startTestPep,
  type TestPdp,
  type TestUpstream,
  testJwt,
  testToken,
  until,
} from './testing.ts'

const TOKEN = testToken(1)
const MODERN = '2026-07-28'
const LOGGED: string[] = []
let pep: RunningTestPep
let pdp: TestPdp
let server: TestUpstream
const sql = countingSql()

beforeAll(async () => {
  server = await openTestUpstream('demo')
  pdp = createTestPdp([server.upstream])
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      LOGGED.push(chunk.toString())
      done()
    },
  })
  pep = await startTestPep({ pdp: pdp.port, sql, log: pino({ level: 'debug' }, sink) })
})
afterAll(async () => {
  await pep.close()
  await server.close()
})
beforeEach(() => {
  server.reached.length = 0
  pdp.calls.length = 0
  sql.statements.length = 0
})

type Sent = {
  readonly method?: string
  readonly path?: string
  /** A list is sent as it is: names may repeat. */
  readonly headers?: Record<string, string | string[] | undefined>
  readonly body?: string | Buffer
  readonly chunked?: boolean
}
type Got = {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly body: string
}

const CALL = {
  jsonrpc: '2.0',
  id: 7,
  method: 'tools/call',
  params: { name: 'echo', arguments: { message: 'hi' } },
}
const MODERN_CALL = {
  ...CALL,
  params: {
    ...CALL.params,
    _meta: { [META.protocolVersion]: MODERN, [META.clientCapabilities]: {} },
  },
}
const MODERN_HEADERS = {
  'mcp-protocol-version': MODERN,
  'mcp-method': 'tools/call',
  'mcp-name': 'echo',
}

/** A well-formed call, changed by `sent`; a header that is undefined is left out. */
function send(sent: Sent): Promise<Got> {
  const { method = 'POST', path = '/demo/mcp', body = JSON.stringify(CALL), chunked } = sent
  const bodiless = method === 'GET' || method === 'DELETE'
  const headers: Sent['headers'] = {
    host: `127.0.0.1:${pep.port}`,
    authorization: `Bearer ${TOKEN}`,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    ...(chunked || bodiless ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
    ...sent.headers,
  }
  const list = Object.entries(headers).flatMap(([name, value]) =>
    [value ?? []].flat().flatMap((one) => [name, one]),
  )
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({ port: pep.port, host: '127.0.0.1', method, path, headers: list })
    outgoing.on('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        const { statusCode = 0, headers: answered } = response
        resolve({ status: statusCode, headers: answered, body: Buffer.concat(chunks).toString() })
      })
    })
    outgoing.on('error', reject)
    outgoing.end(bodiless ? undefined : body)
  })
}

function codeOf({ body }: Got): unknown {
  return (JSON.parse(body) as { error: { data: { code: unknown } } }).error.data.code
}

type Row = Sent & { readonly name: string; readonly want: RefusalCode; readonly status: number }

const raw = (text: string): { body: string } => ({ body: text })
const params = (text: string): { body: string } =>
  raw(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":${text}}`)
const deep = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels)
const typo = `${TOKEN.slice(0, -1)}${TOKEN.endsWith('0') ? '1' : '0'}`

const ROWS: readonly Row[] = [
  { name: 'no token', headers: { authorization: undefined }, want: 'unauthenticated', status: 401 },
  { name: 'Basic', headers: { authorization: 'Basic eDp5' }, want: 'unauthenticated', status: 401 },
  { name: 'a token with a typo', headers: { authorization: `Bearer ${typo}` }, want: 'unauthenticated', status: 401 },
  { name: 'a key of another kind', headers: { authorization: `Bearer ${TOKEN.replace('cgt', 'cgp')}` }, want: 'unauthenticated', status: 401 },
  { name: 'two tokens in one header', headers: { authorization: `Bearer ${TOKEN}, Bearer ${TOKEN}` }, want: 'unauthenticated', status: 401 },
  { name: 'two Authorization headers', headers: { authorization: [`Bearer ${TOKEN}`, `Bearer ${testToken(2)}`] }, want: 'unauthenticated', status: 401 },
  { name: 'a token in the query', path: `/demo/mcp?token=${TOKEN}`, headers: { authorization: undefined }, want: 'unauthenticated', status: 401 },
  { name: 'a token in the query beside the header', path: `/demo/mcp?access_token=${TOKEN}`, want: 'unauthenticated', status: 401 },
  { name: 'a foreign Origin', headers: { origin: 'https://evil.example' }, want: 'foreign_origin', status: 403 },
  { name: 'an opaque Origin', headers: { origin: 'null' }, want: 'foreign_origin', status: 403 },
  { name: 'a loopback Origin of another port', headers: { origin: 'http://127.0.0.1:1' }, want: 'foreign_origin', status: 403 },
  { name: 'a foreign Host', headers: { host: 'evil.example' }, want: 'foreign_host', status: 403 },
  { name: 'a Host that begins like loopback', headers: { host: '127.0.0.1.evil.example' }, want: 'foreign_host', status: 403 },
  { name: 'no content type', headers: { 'content-type': undefined }, want: 'wrong_content_type', status: 415 },
  { name: 'text/plain', headers: { 'content-type': 'text/plain' }, want: 'wrong_content_type', status: 415 },
  { name: 'a longer name', headers: { 'content-type': 'application/json-seq' }, want: 'wrong_content_type', status: 415 },
  { name: 'another charset', headers: { 'content-type': 'application/json; charset=utf-16' }, want: 'wrong_content_type', status: 415 },
  { name: 'two content types', headers: { 'content-type': ['application/json', 'text/plain'] }, want: 'wrong_content_type', status: 415 },
  { name: 'a compressed body', headers: { 'content-encoding': 'gzip' }, want: 'wrong_content_type', status: 415 },
  { name: 'no Accept', headers: { accept: undefined }, want: 'not_acceptable', status: 406 },
  { name: 'Accept without events', headers: { accept: 'application/json' }, want: 'not_acceptable', status: 406 },
  { name: 'Accept anything', headers: { accept: '*/*' }, want: 'not_acceptable', status: 406 },
  { name: 'more than 4 MiB', body: Buffer.alloc(4 * 1024 * 1024 + 1, 0x20), want: 'body_too_large', status: 413 },
  { name: 'more than 4 MiB in chunks', body: Buffer.alloc(4 * 1024 * 1024 + 1, 0x20), chunked: true, want: 'body_too_large', status: 413 },
  { name: 'bytes that are not UTF-8', body: Buffer.from([0x22, 0xff, 0x22]), want: 'malformed_text', status: 400 },
  { name: 'a byte order mark', ...raw(`\uFEFF${JSON.stringify(CALL)}`), want: 'malformed_json', status: 400 },
  { name: 'nothing', ...raw(''), want: 'malformed_json', status: 400 },
  { name: 'half a message', ...raw('{"jsonrpc":"2.0"'), want: 'malformed_json', status: 400 },
  { name: 'two messages', ...raw(`${JSON.stringify(CALL)}${JSON.stringify(CALL)}`), want: 'malformed_json', status: 400 },
  { name: 'a duplicate key', ...params('{"name":"safe","name":"danger"}'), want: 'duplicate_key', status: 400 },
  { name: 'a duplicate key, escaped', ...params(String.raw`{"name":"safe","n\u0061me":"danger"}`), want: 'duplicate_key', status: 400 },
  { name: 'a duplicate key, deep', ...params('{"name":"x","arguments":{"a":[{"b":1,"b":2}]}}'), want: 'duplicate_key', status: 400 },
  { name: 'a lone surrogate', ...params(String.raw`{"name":"\ud800"}`), want: 'malformed_text', status: 400 },
  { name: '2^53+1', ...params('{"name":"x","arguments":{"n":9007199254740993}}'), want: 'number_not_exact', status: 400 },
  { name: '1e400', ...params('{"name":"x","arguments":{"n":1e400}}'), want: 'number_not_exact', status: 400 },
  { name: '33 levels', ...params(`{"arguments":${deep(31)}}`), want: 'too_deep', status: 400 },
  { name: '__entity', ...params('{"name":"x","arguments":{"__entity":{}}}'), want: 'reserved_key', status: 400 },
  { name: '__extn', ...params('{"name":"x","arguments":{"a":{"__extn":{}}}}'), want: 'reserved_key', status: 400 },
  { name: '__expr', ...params('{"name":"x","arguments":{"a":[{"__expr":""}]}}'), want: 'reserved_key', status: 400 },
  { name: 'a batch', ...raw(`[${JSON.stringify(CALL)}]`), want: 'batch_not_supported', status: 400 },
  { name: 'an empty batch', ...raw('[]'), want: 'batch_not_supported', status: 400 },
  { name: 'a string', ...raw('"tools/call"'), want: 'not_a_message', status: 400 },
  { name: 'null', ...raw('null'), want: 'not_a_message', status: 400 },
  { name: 'JSON-RPC 1.0', ...raw('{"jsonrpc":"1.0","id":1,"method":"ping"}'), want: 'not_a_message', status: 400 },
  { name: 'id null', ...raw('{"jsonrpc":"2.0","id":null,"method":"ping"}'), want: 'not_a_message', status: 400 },
  { name: 'a fraction as id', ...raw('{"jsonrpc":"2.0","id":1.5,"method":"ping"}'), want: 'not_a_message', status: 400 },
  { name: 'a method that is no string', ...raw('{"jsonrpc":"2.0","id":1,"method":["tools/call"]}'), want: 'not_a_message', status: 400 },
  { name: 'a method too long', ...raw(`{"jsonrpc":"2.0","id":1,"method":"${'x'.repeat(257)}"}`), want: 'not_a_message', status: 400 },
  { name: 'positional parameters', ...params('["echo"]'), want: 'not_a_message', status: 400 },
  { name: 'request and response in one', ...raw('{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}'), want: 'not_a_message', status: 400 },
  { name: 'neither result nor error', ...raw('{"jsonrpc":"2.0","id":1}'), want: 'not_a_message', status: 400 },
  { name: 'Method beside method', ...raw('{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}'), want: 'not_a_message', status: 400 },
  { name: 'Name beside name', ...params('{"name":"safe","Name":"danger"}'), want: 'not_a_message', status: 400 },
  { name: 'a Kelvin sign in a key', ...params('{"name":"x","token":"a","to\u212Aen":"b"}'), want: 'not_a_message', status: 400 },
  { name: 'Arguments alone', ...params('{"name":"x","Arguments":{}}'), want: 'not_a_message', status: 400 },
  { name: 'an unknown version', headers: { 'mcp-protocol-version': '2099-01-01' }, want: 'unsupported_version', status: 400 },
  { name: 'modern without _meta', headers: MODERN_HEADERS, want: 'missing_metadata', status: 400 },
  { name: 'modern without headers', body: JSON.stringify(MODERN_CALL), want: 'header_mismatch', status: 400 },
  { name: 'modern _meta, legacy header', body: JSON.stringify(MODERN_CALL), headers: { ...MODERN_HEADERS, 'mcp-protocol-version': '2025-11-25' }, want: 'header_mismatch', status: 400 },
  { name: 'modern without Mcp-Method', body: JSON.stringify(MODERN_CALL), headers: { ...MODERN_HEADERS, 'mcp-method': undefined }, want: 'header_mismatch', status: 400 },
  { name: 'modern without Mcp-Name', body: JSON.stringify(MODERN_CALL), headers: { ...MODERN_HEADERS, 'mcp-name': undefined }, want: 'header_mismatch', status: 400 },
  { name: 'another Mcp-Name', body: JSON.stringify(MODERN_CALL), headers: { ...MODERN_HEADERS, 'mcp-name': 'safe' }, want: 'header_mismatch', status: 400 },
  { name: 'another Mcp-Name, coded', body: JSON.stringify(MODERN_CALL), headers: { ...MODERN_HEADERS, 'mcp-name': '=?base64?c2FmZQ==?=' }, want: 'header_mismatch', status: 400 },
  { name: 'two Mcp-Names', body: JSON.stringify(MODERN_CALL), headers: { ...MODERN_HEADERS, 'mcp-name': ['echo', 'safe'] }, want: 'header_mismatch', status: 400 },
  { name: 'Mcp-Method in another case', body: JSON.stringify(MODERN_CALL), headers: { ...MODERN_HEADERS, 'mcp-method': 'Tools/Call' }, want: 'header_mismatch', status: 400 },
  { name: 'legacy with another Mcp-Name', headers: { 'mcp-name': 'safe' }, want: 'header_mismatch', status: 400 },
  { name: 'legacy with another Mcp-Method', headers: { 'mcp-method': 'ping' }, want: 'header_mismatch', status: 400 },
  { name: 'a session of nobody', headers: { 'mcp-session-id': 'abc' }, want: 'unknown_session', status: 404 },
  { name: 'PUT', method: 'PUT', want: 'method_not_allowed', status: 405 },
  { name: 'a modern GET', method: 'GET', headers: { 'mcp-protocol-version': MODERN }, want: 'method_not_allowed', status: 405 },
  { name: 'GET that takes no events', method: 'GET', headers: { accept: 'application/json' }, want: 'not_acceptable', status: 406 },
] // biome-ignore format: a table

test('clients that announce much and send little take nothing from others, nor from their own grant', async () => {
  pdp.rule = () => ({ allow: true })
  const stalled = Array.from({ length: 64 }, (_, index) => {
    const request = httpRequest({
      port: pep.port,
      host: '127.0.0.1',
      method: 'POST',
      path: '/demo/mcp',
      headers: {
        authorization: `Bearer ${testToken(1 + (index % 32))}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'content-length': String(BODY_BYTES_MAX),
      },
    })
    request.on('error', () => undefined)
    request.write('{')
    return request
  })
  await Promise.all(stalled.map((request) => once(request, 'socket')))
  await until(() => pdp.identified.length >= 32)
  expect((await send({})).status).toBe(200)
  for (const request of stalled) request.destroy()
})

test.each(ROWS)('$name: $want', async ({ want, status, ...sent }) => {
  const got = await send(sent)
  expect({ status: got.status, code: codeOf(got) }).toEqual({ status, code: want })
  expect(server.reached).toEqual([])
  expect(pdp.calls).toEqual([])
  expect(sql.statements).toEqual([])
})

const CREDENTIAL = bearer('canary-credential')
test.each([
  { name: 'beside a deny', rule: { deny: 'forbid' as const }, change: {} },
  { name: 'with a line end in a value', change: { headers: { 'x-a': 'canary\r\nmcp-session-id: 1' }, secrets: ['canary\r\nmcp-session-id: 1'] } },
  { name: 'with a line end in a name', change: { headers: { 'x-a: 1\r\nx-b': 'canary-credential' } } },
  { name: 'as the session', change: { headers: { 'mcp-session-id': 'canary-credential' } } },
  { name: 'as the name of a tool', change: { headers: { 'mcp-name': 'canary-credential' } } },
  { name: 'as the host', change: { headers: { host: 'canary-credential' } } },
  { name: 'as the length', change: { headers: { 'content-length': 'canary-credential' } } },
  { name: 'as an encoding that hides an answer', change: { headers: { 'accept-encoding': 'canary-credential' } } },
  { name: 'in upper case', change: { headers: { Authorization: 'canary-credential' } } },
  { name: 'that cannot be searched for', change: { secrets: ['something-else'] } },
  { name: 'as PATH', change: { env: { PATH: 'canary-credential' } } },
])('a verdict with a credential $name: nothing is recorded, sent or said', async ({ rule, change }) => {
  pdp.rule = () => rule ?? { allow: true }
  pdp.corrupt = (results) => ({
    results: results.map((result) => ({ ...result, credential: { ...CREDENTIAL, ...change } })),
  })
  const from = LOGGED.length
  const got = await send({})
  pdp.corrupt = (results) => ({ results })
  pdp.rule = () => ({ allow: true })
  expect(got.body).toContain('pdp_unavailable')
  expect(server.reached).toEqual([])
  expect(sql.statements).toEqual([])
  expect(LOGGED.slice(from).join('') + JSON.stringify(got)).not.toContain('canary')
}) // biome-ignore format: a table

test('an answer of the PDP that broke off within a credential is not quoted', async () => {
  const { post } = pdp.port
  Object.assign(pdp.port, {
    post: async (...asked: Parameters<typeof post>) => {
      const answer = await post(...asked)
      return { ...answer, body: '{"results":[{"credential":{"headers":{"a":canary-credential' }
    },
  })
  const from = LOGGED.length
  const got = await send({})
  Object.assign(pdp.port, { post })
  expect(got.body).toContain('pdp_unavailable')
  expect(LOGGED.slice(from).join('')).toContain('pdp_unavailable')
  expect(LOGGED.slice(from).join('')).not.toContain('canary')
})

describe('what stands beside a refusal', () => {
  test('the unchanged call goes through: the table above is about its changes', async () => {
    const got = await send({})
    expect(got.status).toBe(200)
    expect(server.reached.map(({ body }) => body)).toEqual([JSON.stringify(CALL)])
    expect(sql.statements).toHaveLength(1)
  })

  test('1.0 and 1e3 pass, and arrive as the numbers they are', async () => {
    await send(params('{"name":"echo","arguments":{"a":1.0,"b":1e3}}'))
    expect(server.reached[0]?.body).toContain('"arguments":{"a":1,"b":1000}')
  })

  test.each(['/demo/mcp', '/t/demo/mcp'])(
    '%s: 401 has a challenge that leads to no login',
    async (path) => {
      const { headers } = await send({ path, headers: { authorization: undefined } })
      expect(headers['www-authenticate']).toBe('Bearer')
      const wrong = await send({ path, headers: { authorization: `Bearer ${typo}` } })
      expect(wrong.headers['www-authenticate']).toBe(
        'Bearer error="invalid_token", error_description="the token is not spelled as one of this gateway or as a JWT"',
      )
      expect(JSON.stringify([headers, wrong])).not.toContain('resource_metadata')
    },
  )

  test('/t/demo/mcp is the same server', async () => {
    expect((await send({ path: '/t/demo/mcp' })).status).toBe(200)
    expect(server.reached.map(({ body }) => body)).toEqual([JSON.stringify(CALL)])
    expect(pdp.calls).toMatchObject([{ server: 'demo' }])
  })

  test.each([
    '/.well-known/oauth-protected-resource',
    '/.well-known/oauth-protected-resource/t/demo/mcp',
    '/.well-known/oauth-protected-resource/demo/mcp',
    '/.well-known/oauth-authorization-server',
    '/.well-known/oauth-authorization-server/t/demo/mcp',
    '/.well-known/openid-configuration',
    '/t/demo/mcp/.well-known/openid-configuration',
    '/t/demo/.well-known/oauth-protected-resource',
  ])('%s is 404: no login is advertised', async (path) => {
    for (const authorization of [undefined, `Bearer ${TOKEN}`]) {
      const { status, headers } = await send({ method: 'GET', path, headers: { authorization } })
      expect(status).toBe(404)
      expect(headers).not.toHaveProperty('www-authenticate')
    }
  })

  test.each([
    '/',
    '/demo',
    '/demo/mcp/',
    '/Demo/mcp',
    '/metrics/mcp',
    '/a/demo/mcp',
    '/demo/mcp/x',
    '/t/mcp',
    '/t/t/mcp',
    '/t/Demo/mcp',
    '/t/demo/mcp/',
    '/t/t/demo/mcp',
  ])('%s is 404', async (path) => {
    expect((await send({ path })).status).toBe(404)
    expect(pdp.calls).toEqual([])
  })

  test.each(['/healthz', '/metrics'])('%s is for loopback names only', async (path) => {
    expect((await send({ method: 'GET', path })).status).toBe(200)
    const foreign = { headers: { host: 'evil.example' } }
    expect((await send({ method: 'GET', path, ...foreign })).status).toBe(404)
  })

  test('no token is ever logged or recorded', async () => {
    await send({})
    await send({ headers: { 'content-type': 'text/plain' } })
    await send({ headers: { authorization: `Bearer ${typo}` } })
    await send({ path: '/demo/mcp?access_token=canary-in-query&canary-in-query' })
    await send({ path: '/demo/mcp?canary-in-query' })
    const written = `${LOGGED.join('')}${JSON.stringify([pdp.calls, sql.statements])}`
    expect(written.length).toBeGreaterThan(1_000)
    for (const token of [TOKEN, typo, TOKEN.slice(4, -9)]) expect(written).not.toContain(token)
    expect(`${written}${JSON.stringify(server.reached)}`).not.toContain('canary')
    const jwt = testJwt({ sub: 'alice', exp: 4_000_000_000 })
    pdp.rule = () => ({ reject: 'unauthenticated' })
    await send({ headers: { authorization: `Bearer ${jwt}` } })
    pdp.rule = () => ({ allow: true, visible: EVERYTHING_VISIBLE })
    await send({ headers: { authorization: `Bearer ${jwt}` } })
    expect(pdp.calls.at(-1)?.jwt).toBe(jwt)
    const elsewhere = `${LOGGED.join('')}${JSON.stringify([sql.statements, server.reached])}`
    for (const part of jwt.split('.').slice(1)) expect(elsewhere).not.toContain(part)
  })

  test('2,000 poisonous requests leave the next call as it was', async () => {
    for (let round = 0; round < 2_000; round += 50) {
      const batch = Array.from({ length: 50 }, (_, index) => ROWS[(round + index) % ROWS.length])
      await Promise.all(
        batch.map(async (row) => row && !Buffer.isBuffer(row.body) && (await send(row))),
      )
    }
    expect(server.reached).toEqual([])
    expect((await send({})).status).toBe(200)
  })
})
