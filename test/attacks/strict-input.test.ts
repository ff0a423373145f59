// Input that must go nowhere: each row is refused with its own code, reaches no server and leaves
// no record.
import { hash, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { RefusalCode, VerdictCode } from '../../schemas/codes.ts'
import { formatToken } from '../../schemas/identifiers.ts'
import { type Gateway, startGateway } from '../harness/gateway.ts'
import {
  callText,
  legacyText,
  modern,
  type Params,
  type Request,
  tell,
} from '../harness/mcp-request.ts'

const BODY_BYTES_MAX = 4 * 1024 * 1024
let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway()
})
afterAll(() => gateway.stop())
beforeEach(() => gateway.upstream.reset())

const OK = callText('{"message":"hi"}')
const body = (text: string | Uint8Array): Request => ({ body: text })
const args = (text: string): Request => body(callText(text))
const data = (text: string): Request => args(`{"message":"hi","data":${text}}`)
const headers = (of: Record<string, string | null>): Request => ({ body: OK, headers: of })
const extra = (name: string, value: string): Request => ({ body: OK, extra: [[name, value]] })
/** Beside the arguments, where nothing is typed. */
const meta = (text: string): Request => body(OK.replace('"name"', `"_meta":{"x":${text}},"name"`))
/** A call whose JSON nests `levels` deep in all. */
const nested = (levels: number): Request => meta('['.repeat(levels - 3) + ']'.repeat(levels - 3))
const padded = (bytes: number): Uint8Array => Buffer.from(OK.padEnd(bytes, ' '))
const call = modern('tools/call', { name: 'echo', arguments: { message: 'hi' } })
const modernWith = (of: Record<string, string | null>): Request => {
  return { ...call, headers: { ...call.headers, ...of } }
}
/** A message argument with these bytes in it. */
const raw = (...bytes: number[]): Request => {
  const [before = '', after = ''] = callText('{"message":"@"}').split('@')
  return body(Buffer.concat([Buffer.from(before), Buffer.of(...bytes), Buffer.from(after)]))
}
const asking = (method: string, params?: Params): Request => body(legacyText(method, params))
const coded = (text: string): string => `=?base64?${Buffer.from(text).toString('base64')}?=`

type Row = Request & { readonly name: string; readonly status: number; readonly want: RefusalCode }

describe('refused before anything is decided', () => {
  test.each<Row>([
    { name: 'a duplicate key', ...args('{"message":"a","message":"b"}'), status: 400, want: 'duplicate_key' },
    { name: 'a duplicate key of the message', ...body(OK.replace('{', '{"method":"ping",')), status: 400, want: 'duplicate_key' },
    { name: 'a duplicate tool name', ...body(OK.replace('"name":"echo"', '"name":"echo","name":"erase"')), status: 400, want: 'duplicate_key' },
    { name: 'a duplicate key, deep', ...data('[[{"x":[{"a":1,"a":1}]}]]'), status: 400, want: 'duplicate_key' },
    { name: 'a duplicate key, escaped', ...args('{"message":"a","m\\u0065ssage":"b"}'), status: 400, want: 'duplicate_key' },
    { name: 'a duplicate key, spelled with a pair of surrogates', ...data('{"😀":1,"\\ud83d\\ude00":2}'), status: 400, want: 'duplicate_key' },
    { name: 'a duplicate __proto__', ...data('{"__proto__":1,"__proto__":2}'), status: 400, want: 'duplicate_key' },
    { name: 'a lone high surrogate', ...args('{"message":"\\ud800"}'), status: 400, want: 'malformed_text' },
    { name: 'a lone low surrogate', ...args('{"message":"a\\udc00b"}'), status: 400, want: 'malformed_text' },
    { name: 'surrogates the wrong way round', ...args('{"message":"\\udc00\\ud800"}'), status: 400, want: 'malformed_text' },
    { name: 'a lone surrogate in a key', ...data('{"\\udfff":1}'), status: 400, want: 'malformed_text' },
    { name: 'a lone surrogate as tool name', ...body(callText('{}', '\\ud800')), status: 400, want: 'malformed_text' },
    { name: 'bytes that are not UTF-8', ...raw(0xff), status: 400, want: 'malformed_text' },
    { name: 'a surrogate encoded in UTF-8', ...raw(0xed, 0xa0, 0x80), status: 400, want: 'malformed_text' },
    { name: 'overlong UTF-8', ...raw(0xc0, 0xaf), status: 400, want: 'malformed_text' },
    { name: '33 levels', ...nested(33), status: 400, want: 'too_deep' },
    { name: '65,537 keys and values', ...body(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"message":[${Array(65_522).fill(0).join(',')}]}}}`), status: 400, want: 'too_many_values' },
    { name: '100,000 levels', ...nested(100_000), status: 400, want: 'too_deep' },
    { name: '4 MiB and a byte', ...body(padded(BODY_BYTES_MAX + 1)), status: 413, want: 'body_too_large' },
    { name: '4 MiB and a byte, chunked', ...body(padded(BODY_BYTES_MAX + 1)), chunked: true, status: 413, want: 'body_too_large' },
    { name: 'a batch', ...body(`[${OK}]`), status: 400, want: 'batch_not_supported' },
    { name: 'an empty batch', ...body('[]'), status: 400, want: 'batch_not_supported' },
    { name: '2^53+1', ...data('9007199254740993'), status: 400, want: 'number_not_exact' },
    { name: '-(2^53+1)', ...data('[-9007199254740993]'), status: 400, want: 'number_not_exact' },
    { name: '1e400', ...data('1e400'), status: 400, want: 'number_not_exact' },
    { name: '1e-400', ...data('1e-400'), status: 400, want: 'number_not_exact' },
    { name: '0.1 that is none', ...data('0.1000000000000000055'), status: 400, want: 'number_not_exact' },
    { name: 'text/plain', ...headers({ 'content-type': 'text/plain' }), status: 415, want: 'wrong_content_type' },
    { name: 'application/jsonx', ...headers({ 'content-type': 'application/jsonx' }), status: 415, want: 'wrong_content_type' },
    { name: 'application/json in UTF-16', ...headers({ 'content-type': 'application/json; charset=utf-16' }), status: 415, want: 'wrong_content_type' },
    { name: 'no content type', ...headers({ 'content-type': null }), status: 415, want: 'wrong_content_type' },
    { name: 'two content types', ...extra('content-type', 'text/plain'), status: 415, want: 'wrong_content_type' },
    { name: 'content-encoding gzip', ...headers({ 'content-encoding': 'gzip' }), status: 415, want: 'wrong_content_type' },
    { name: 'a foreign Origin', ...headers({ origin: 'https://evil.example' }), status: 403, want: 'foreign_origin' },
    { name: 'the Origin of a sandboxed page', ...headers({ origin: 'null' }), status: 403, want: 'foreign_origin' },
    { name: 'a foreign Host', ...headers({ host: 'rebound.example' }), status: 403, want: 'foreign_host' },
    { name: 'a Host that begins like ours', ...headers({ host: '127.0.0.1.evil.example' }), status: 403, want: 'foreign_host' },
    { name: 'two Hosts', ...extra('host', 'rebound.example'), status: 403, want: 'foreign_host' },
    { name: 'no token', ...headers({ authorization: null }), status: 401, want: 'unauthenticated' },
    { name: 'a token in the query', ...headers({ authorization: null }), path: '/echo/mcp?access_token=cgt_x', status: 401, want: 'unauthenticated' },
    { name: 'a server nobody has', body: OK, path: '/nowhere/mcp', status: 404, want: 'unknown_server' },
    { name: 'two tokens', ...extra('authorization', 'Bearer cgt_x'), status: 401, want: 'unauthenticated' },
    { name: 'a reserved key', ...args('{"message":"hi","__entity":{"type":"MCP::User","id":"alice"}}'), status: 400, want: 'reserved_key' },
    { name: 'a reserved key, deep', ...data('[{"x":[{"__extn":{"fn":"ip","arg":"1.1.1.1"}}]}]'), status: 400, want: 'reserved_key' },
    { name: 'a reserved key, escaped', ...data('{"__\\u0065xpr":"1"}'), status: 400, want: 'reserved_key' },
    { name: 'a reserved key beside the arguments', ...body(OK.replace('"name"', '"_meta":{"__entity":1},"name"')), status: 400, want: 'reserved_key' },
    { name: 'positional params', ...body('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["echo"]}'), status: 400, want: 'not_a_message' },
    { name: 'no jsonrpc', ...body('{"id":1,"method":"ping"}'), status: 400, want: 'not_a_message' },
    { name: 'a second spelling of name', ...body(OK.replace('"name":', '"Name":"erase","name":')), status: 400, want: 'not_a_message' },
    { name: 'a second spelling of method', ...body(OK.replace('{', '{"Method":"ping",')), status: 400, want: 'not_a_message' },
  ])('$name: $status $want', async (row) => {
    expect(await happened(row)).toEqual(refused(row.status, row.want))
  }) // biome-ignore format: a table
})

describe('refused: the id of a request', () => {
  test.each([
    'null', 'true', '1.5', '9007199254740992', '[1]', '{"a":1}',
  ])('%s', async (id) => {
    const text = OK.replace('"id":1', `"id":${id}`)
    expect(await happened(body(text))).toEqual(refused(400, 'not_a_message'))
  }) // biome-ignore format: a list
})

describe('refused: headers that say something else than the body', () => {
  test.each<{ name: string; request: Request }>([
    { name: 'legacy, another Mcp-Method', request: headers({ 'mcp-method': 'tools/list' }) },
    { name: 'legacy, another Mcp-Name', request: headers({ 'mcp-name': 'erase' }) },
    { name: 'legacy, a coded Mcp-Name', request: headers({ 'mcp-name': coded('erase') }) },
    { name: 'modern, no version', request: modernWith({ 'mcp-protocol-version': null }) },
    { name: 'modern, a legacy version', request: modernWith({ 'mcp-protocol-version': '2025-11-25' }) },
    { name: 'modern, no Mcp-Method', request: modernWith({ 'mcp-method': null }) },
    { name: 'modern, another Mcp-Method', request: modernWith({ 'mcp-method': 'tools/list' }) },
    { name: 'modern, no Mcp-Name', request: modernWith({ 'mcp-name': null }) },
    { name: 'modern, another Mcp-Name', request: modernWith({ 'mcp-name': 'erase' }) },
    { name: 'modern, Mcp-Name in another case', request: modernWith({ 'mcp-name': 'Echo' }) },
    { name: 'modern, another name, coded', request: modernWith({ 'mcp-name': coded('erase') }) },
    { name: 'modern, a code that is none', request: modernWith({ 'mcp-name': '=?base64?ZWNob?=' }) },
    { name: 'modern, a code in URL letters', request: modernWith({ 'mcp-name': '=?base64?ZWNobw?=' }) },
    { name: 'modern, two Mcp-Names', request: { ...call, extra: [['mcp-name', 'erase']] } },
    { name: 'modern, two Mcp-Methods', request: { ...call, extra: [['mcp-method', 'tools/list']] } },
  ])('$name', async ({ request }) => {
    expect(await happened(request)).toEqual(refused(400, 'header_mismatch'))
  }) // biome-ignore format: a table

  test('a modern version, and nothing of it in the body', async () => {
    const request = headers({ 'mcp-protocol-version': '2026-07-28' })
    expect(await happened(request)).toEqual(refused(400, 'missing_metadata'))
  })

  test('a version that nobody knows', async () => {
    const request = headers({ 'mcp-protocol-version': '2099-01-01' })
    expect(await happened(request)).toEqual(refused(400, 'unsupported_version'))
  })
})

describe('refused: tokens that are not in force', () => {
  test.each<{ name: string; token: () => string }>([
    { name: 'spelled right and unknown', token: unknownToken },
    { name: 'with a typo', token: () => changed(gateway.tokens.alice, 30) },
    { name: 'with a typo in its checksum', token: () => changed(gateway.tokens.alice, -1) },
    { name: 'cut short', token: () => gateway.tokens.alice.slice(0, -1) },
    { name: 'the key of a PEP', token: () => gateway.pepKey },
  ])('$name', async ({ token }) => {
    expect(await happened({ body: OK, token: token() })).toEqual(refused(401, 'unauthenticated'))
  })

  test('revoked, though it was in use until then', async () => {
    const { id, token } = await grant(['echo'], 60_000)
    expect((await tell(gateway, { body: OK, token })).status).toBe(200)
    await gateway.pdp.admin.revokeGrant(id)
    gateway.upstream.reset()
    expect(await happened({ body: OK, token })).toEqual(refused(401, 'unauthenticated'))
  })

  test('expired', async () => {
    const { token } = await grant(['echo'], 1)
    await sleep(10)
    expect(await happened({ body: OK, token })).toEqual(refused(401, 'unauthenticated'))
  })

  test('of another server', async () => {
    const { token } = await grant(['twin'], 60_000)
    expect(await happened({ body: OK, token })).toEqual(refused(403, 'server_not_granted'))
  })
})

describe('denied: decided, recorded, and still nothing is sent', () => {
  test.each<Request & { name: string; want: VerdictCode; status?: number }>([
    { name: 'an unknown method', ...asking('tools/destroy'), want: 'unknown_method' },
    { name: 'a method in another case', ...asking('Tools/Call', { name: 'echo', arguments: { message: 'hi' } }), want: 'unknown_method' },
    { name: 'a method with a space', ...asking('tools/call ', { name: 'echo', arguments: { message: 'hi' } }), want: 'unknown_method' },
    { name: 'a method with NUL', ...asking('tools/call\0', { name: 'echo' }), want: 'unknown_method' },
    { name: '__proto__ as method', ...asking('__proto__'), want: 'unknown_method' },
    { name: 'a method of the other era', ...modern('initialize'), want: 'unknown_method', status: 404 },
    { name: 'a method of ours', ...asking('http:get'), want: 'invalid_request' },
    { name: 'response as method', ...asking('response'), want: 'invalid_request' },
    { name: 'a tool name that is no string', ...asking('tools/call', { name: ['echo'] }), want: 'invalid_request' },
    { name: 'no tool name', ...asking('tools/call', {}), want: 'invalid_request' },
    { name: 'no params', ...asking('tools/call'), want: 'invalid_request' },
    { name: 'a tool in another case', ...asking('tools/call', { name: 'Echo', arguments: { message: 'hi' } }), want: 'unknown_tool' },
    { name: 'a tool of JavaScript', ...asking('tools/call', { name: 'constructor' }), want: 'unknown_tool' },
    { name: 'a tool with NUL', ...asking('tools/call', { name: 'echo\0' }), want: 'unknown_tool' },
    { name: 'a tool name of 100,000 letters', ...asking('tools/call', { name: 'e'.repeat(100_000) }), want: 'unknown_tool' },
    { name: 'arguments that are no object', ...asking('tools/call', { name: 'echo', arguments: ['hi'] }), want: 'invalid_request' },
    { name: 'an argument of the wrong kind', ...asking('tools/call', { name: 'echo', arguments: { message: { a: 1 } } }), want: 'invalid_request' },
    { name: 'an argument nobody declared', ...asking('tools/call', { name: 'echo', arguments: { message: 'hi', more: 1 } }), want: 'unknown_argument' },
    { name: 'an argument that Cedar cannot hold', ...args('{"message":"hi","count":9007199254740992}'), want: 'unrepresentable_argument' },
    { name: 'an argument that a policy forbids', ...asking('tools/call', { name: 'echo', arguments: { message: 'a secret' } }), want: 'forbid' },
    { name: 'a tool that nothing permits', ...asking('tools/call', { name: 'erase', arguments: { path: '/' } }), want: 'no_permit' },
  ])('$name: $want', async (row) => {
    const before = await gateway.recorded()
    const told = await tell(gateway, row)
    expect(told).toMatchObject({ status: row.status ?? 200, said: { code: row.want } })
    expect(told.said.text).toContain(told.said.decisionId)
    expect(gateway.upstream.reached).toEqual([])
    expect(await gateway.recorded()).toBe(before + 1)
  }) // biome-ignore format: a table
})

describe('what is right passes, as it was decided', () => {
  test.each<{ name: string; request: Request | (() => Request) }>([
    { name: 'a plain call', request: body(OK) },
    { name: '32 levels', request: nested(32) },
    { name: 'exactly 4 MiB', request: body(padded(BODY_BYTES_MAX)) },
    { name: 'exactly 4 MiB, chunked', request: { ...body(padded(BODY_BYTES_MAX)), chunked: true } },
    { name: 'numbers that only look odd', request: meta('[1.0,1e3,1E+3,-0.0,9007199254740992,0.1,5e-324]') },
    { name: 'a whole number with a fraction', request: args('{"message":"hi","count":1.0}') },
    { name: 'a whole number with an exponent', request: args('{"message":"hi","count":1e3}') },
    { name: 'an argument that no policy can read, and none asks about', request: data('{"a":1}') },
    { name: 'a pair of surrogates', request: args('{"message":"\\ud83d\\ude00"}') },
    { name: 'the same key in two objects', request: meta('[{"a":1},{"a":1}]') },
    { name: 'keys that JavaScript would sort or hide', request: meta('{"b":1,"2":2,"1":3,"__proto__":{"x":1}}') },
    { name: 'white space and escapes everywhere', request: body(OK.replaceAll(/([,:{}])/g, ' $1\r\n\t').replace('echo', '\\u0065cho')) },
    { name: 'another case of the content type', request: headers({ 'content-type': 'Application/JSON; charset=utf-8' }) },
    { name: 'our own Origin', request: () => headers({ origin: `http://127.0.0.1:${gateway.port}` }) },
    { name: 'a body that is encoded as identity', request: headers({ 'content-encoding': 'identity' }) },
    { name: 'a token in the query beside the header', request: { body: OK, path: '/echo/mcp?token=x' } },
    { name: 'modern', request: call },
    { name: 'modern, a coded name', request: modernWith({ 'mcp-name': coded('echo') }) },
  ])('$name', async ({ request: given }) => {
    const request = typeof given === 'function' ? given() : given
    const before = await gateway.recorded()
    const asked = gateway.front.asked.length
    expect(await tell(gateway, request)).toMatchObject({ status: 200, isError: false, said: {} })
    expect(gateway.upstream.reached).toHaveLength(1)
    expect(await gateway.recorded()).toBe(before + 1)
    const sent = JSON.stringify(JSON.parse(Buffer.from(request.body ?? '').toString()))
    const decided = JSON.parse(gateway.front.asked.slice(asked).at(-1) ?? '') as Asked
    expect(gateway.upstream.reached[0]?.body).toBe(sent)
    expect(decided.calls.map(({ message }) => message)).toEqual([sent])
  }) // biome-ignore format: a table
})

type Asked = { readonly calls: readonly { readonly message: string }[] }

type Happened = {
  readonly status: number
  readonly code: string | undefined
  /** Whether a person is told in words. */
  readonly explained: boolean
  /** Requests that reached the server, and decisions that were recorded. */
  readonly reached: number
  readonly recorded: number
}

async function happened(request: Request): Promise<Happened> {
  const before = await gateway.recorded()
  const { status, said } = await tell(gateway, request)
  return {
    status,
    code: said.code,
    explained: /\w \w/.test(said.text ?? ''),
    reached: gateway.upstream.reached.length,
    recorded: (await gateway.recorded()) - before,
  }
}

function refused(status: number, code: RefusalCode): Happened {
  return { status, code, explained: true, reached: 0, recorded: 0 }
}

function grant(servers: string[], expiresInMs: number) {
  const wanted = { user: 'alice', agent: 'demo', servers, teams: [], expiresInMs }
  return gateway.pdp.admin.createGrant(wanted)
}

/** The same text with another character at `at`, from its end where that is negative. */
function changed(text: string, at: number): string {
  const characters = text.split('')
  characters[at < 0 ? characters.length + at : at] = text.at(at) === 'a' ? 'b' : 'a'
  return characters.join('')
}

function unknownToken(): string {
  return formatToken('grant', randomBytes(32), (text) => hash('sha256', text))
}
