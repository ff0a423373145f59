// Tokens that are none, or not ours, or not where they belong, byte by byte: 401 with the challenge that fits, nothing
// decided, nothing sent, and no more of it than a source may have wrong.
import { hash, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { formatToken, type TokenKind } from '../../schemas/identifiers.ts'
import { AUTH_FAILURES_MAX } from '../../schemas/limits.ts'
import { type Gateway, startGateway } from '../harness/gateway.ts'
import { callText, tell } from '../harness/mcp-request.ts'
import { type RawAnswer, sendBytes } from '../harness/raw-socket.ts'

let gateway: Gateway
let recorded: number
/** A gateway of its own for so many failures: each source has its count. */
const start = async (): Promise<void> => {
  gateway = await startGateway()
  expect((await tell(gateway, CALL)).status).toBe(200)
}
const CALL = { body: callText('{"message":"hi"}') }
const sha256 = (text: string): string => hash('sha256', text)
const made = (kind: TokenKind): string => formatToken(kind, randomBytes(32), sha256)

type Bytes = (token: string) => {
  /** Lines of the head, as they are. */
  readonly head: readonly string[]
  readonly path?: string
}
const bearer =
  (spell: (token: string) => string): Bytes =>
  (token) => ({ head: [`Authorization: ${spell(token)}`] })

/** The well-formed call but for these lines. */
function bytesOf({ head, path = '/echo/mcp' }: ReturnType<Bytes>): Buffer {
  const lines = [
    `POST ${path} HTTP/1.1`,
    `Host: 127.0.0.1:${gateway.port}`,
    ...head,
    'Content-Type: application/json',
    'Accept: application/json, text/event-stream',
    `Content-Length: ${Buffer.byteLength(CALL.body)}`,
    'Connection: close',
  ]
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${CALL.body}`, 'latin1')
}

const NONE = 'Bearer'
const INVALID = 'Bearer error="invalid_token", error_description="'
const MALFORMED = `${INVALID}the token is not spelled as one of this gateway or as a JWT"`
const UNKNOWN = `${INVALID}the token is not known here, or not any more"`
const IN_QUERY =
  'Bearer error="invalid_request", error_description="a token is sent in the Authorization header, never in the query"'
const REPEATED =
  'Bearer error="invalid_request", error_description="there is more than one Authorization header"'

type Row = { readonly name: string; readonly bytes: Bytes; readonly challenge: string }
const ROWS: readonly Row[] = [
  { name: 'no credentials', bytes: () => ({ head: [] }), challenge: NONE },
  { name: 'an empty header', bytes: bearer(() => ''), challenge: NONE },
  { name: 'Basic', bytes: bearer((token) => `Basic ${Buffer.from(`x:${token}`).toString('base64')}`), challenge: NONE },
  { name: 'the token without a scheme', bytes: bearer((token) => token), challenge: NONE },
  { name: 'another scheme', bytes: bearer((token) => `DPoP ${token}`), challenge: NONE },
  { name: 'the scheme alone', bytes: bearer(() => 'Bearer'), challenge: MALFORMED },
  { name: 'the scheme twice', bytes: bearer((token) => `Bearer Bearer ${token}`), challenge: MALFORMED },
  { name: 'a tab in place of the space', bytes: bearer((token) => `Bearer\t${token}`), challenge: MALFORMED },
  { name: 'a space within', bytes: bearer((token) => `Bearer ${token.slice(0, 20)} ${token.slice(20)}`), challenge: MALFORMED },
  { name: 'a tab within', bytes: bearer((token) => `Bearer ${token.slice(0, 20)}\t${token.slice(20)}`), challenge: MALFORMED },
  { name: 'a NUL within', bytes: bearer((token) => `Bearer ${token.slice(0, 20)}\0${token.slice(20)}`), challenge: MALFORMED },
  { name: 'a NUL behind', bytes: bearer((token) => `Bearer ${token}\0`), challenge: MALFORMED },
  { name: 'half a line end within', bytes: bearer((token) => `Bearer ${token}\rX: y`), challenge: MALFORMED },
  { name: 'a byte beyond ASCII', bytes: bearer((token) => `Bearer ${token}\u00e9`), challenge: MALFORMED },
  { name: 'a no-break space', bytes: bearer((token) => `Bearer\u00a0${token}`), challenge: NONE },
  { name: 'two tokens in one header', bytes: bearer((token) => `Bearer ${token}, Bearer ${token}`), challenge: MALFORMED },
  { name: 'Basic and Bearer in one header', bytes: bearer((token) => `Basic eDp5, Bearer ${token}`), challenge: NONE },
  { name: 'two headers', bytes: (token) => ({ head: [`Authorization: Bearer ${token}`, `Authorization: Bearer ${token}`] }), challenge: REPEATED },
  { name: 'two headers in another case', bytes: (token) => ({ head: [`authorization: Bearer ${token}`, 'AUTHORIZATION: Basic eDp5'] }), challenge: REPEATED },
  { name: 'a second header that is empty', bytes: (token) => ({ head: [`Authorization: Bearer ${token}`, 'Authorization:'] }), challenge: REPEATED },
  { name: 'in another header', bytes: (token) => ({ head: [`Proxy-Authorization: Bearer ${token}`, `X-Authorization: Bearer ${token}`, `Cookie: access_token=${token}`] }), challenge: NONE },
  { name: 'in the query', bytes: (token) => ({ head: [], path: `/echo/mcp?access_token=${token}` }), challenge: IN_QUERY },
  { name: 'in the query beside the header', bytes: (token) => ({ head: [`Authorization: Bearer ${token}`], path: `/echo/mcp?access_token=${token}` }), challenge: IN_QUERY },
  { name: 'an empty one in the query', bytes: (token) => ({ head: [`Authorization: Bearer ${token}`], path: '/echo/mcp?a=b&ACCESS%5FTOKEN' }), challenge: IN_QUERY },
  { name: 'in the query of /t', bytes: (token) => ({ head: [`Authorization: Bearer ${token}`], path: `/t/echo/mcp?access_token=${token}` }), challenge: IN_QUERY },
  { name: 'in the query by another name', bytes: (token) => ({ head: [`Authorization: Bearer ${token}`], path: `/echo/mcp?api_key=${token}` }), challenge: IN_QUERY },
  { name: '8 KiB of token', bytes: bearer((token) => `Bearer ${token}${'a'.repeat(8 * 1024)}`), challenge: MALFORMED },
  { name: '1 MB of token', bytes: bearer((token) => `Bearer ${token}${'a'.repeat(1024 * 1024)}`), challenge: MALFORMED },
  { name: '1 MB of JWT', bytes: bearer(() => `Bearer ${'a'.repeat(1024 * 1024)}.a.a`), challenge: MALFORMED },
  { name: 'a token of another deployment', bytes: bearer(() => `Bearer ${made('grant')}`), challenge: UNKNOWN },
  { name: 'the same at /t', bytes: () => ({ head: [`Authorization: Bearer ${made('grant')}`], path: '/t/echo/mcp' }), challenge: UNKNOWN },
  { name: 'a token with a typo', bytes: bearer((token) => `Bearer ${token.slice(0, -1)}${token.endsWith('0') ? '1' : '0'}`), challenge: MALFORMED },
  { name: 'a token in upper case', bytes: bearer((token) => `Bearer ${token.toUpperCase()}`), challenge: MALFORMED },
  { name: 'the digest of a token', bytes: bearer((token) => `Bearer ${sha256(token)}`), challenge: MALFORMED },
  { name: 'an operator token', bytes: bearer(() => `Bearer ${made('operator')}`), challenge: MALFORMED },
  { name: 'a PEP key', bytes: bearer(() => `Bearer ${gateway.pepKey}`), challenge: MALFORMED },
  { name: 'a login session', bytes: bearer(() => `Bearer ${made('session')}`), challenge: MALFORMED },
  { name: 'a bootstrap token', bytes: bearer(() => `Bearer ${made('bootstrap')}`), challenge: MALFORMED },
  { name: 'a JWT of two parts', bytes: bearer(() => 'Bearer e30.e30'), challenge: MALFORMED },
  { name: 'a JWT of five parts', bytes: bearer(() => 'Bearer e30.e30.e30.e30.e30'), challenge: MALFORMED },
  { name: 'a JWT without a signature', bytes: bearer(() => 'Bearer e30.e30.'), challenge: MALFORMED },
  { name: 'a JWT of nobody', bytes: bearer(() => 'Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2ln'), challenge: UNKNOWN },
] // biome-ignore format: a table

/** Nothing of how we are made, and nothing that sends a client off to log in. */
function expectPlain({ text, headers }: RawAnswer): void {
  expect(text).not.toMatch(/\.ts\b|node:|\bat \w+ \(|Error:|stack/)
  expect(text).not.toContain('resource_metadata')
  expect(headers.get('cache-control')).toBe('no-store')
}

describe('refused', () => {
  beforeAll(start)
  afterAll(() => gateway.stop())
  beforeEach(async () => {
    gateway.upstream.reset()
    recorded = await gateway.recorded()
  })

  test.each(ROWS)('$name', async ({ bytes, challenge }) => {
    const answer = await sendBytes(gateway.port, bytesOf(bytes(gateway.tokens.alice)))
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toBe(challenge)
    expectPlain(answer)
    expect(JSON.parse(answer.text.split('\r\n\r\n')[1] ?? '')).toMatchObject({
      error: { data: { code: 'unauthenticated' } },
    })
    expect(answer.text).not.toContain(gateway.tokens.alice)
    expect(gateway.upstream.reached).toEqual([])
    expect(await gateway.recorded()).toBe(recorded)
  })

  test.each(['bearer', 'BEARER', 'bEaReR  '])(
    'but the scheme may be spelled %s',
    async (scheme) => {
      const bytes = bytesOf(bearer((token) => `${scheme} ${token}`)(gateway.tokens.alice))
      expect(await sendBytes(gateway.port, bytes)).toMatchObject({ status: 200 })
      expect(gateway.upstream.reached).toHaveLength(1)
    },
  )

  test('a header that is too long and no token is 431, closed', async () => {
    const head = [
      `Authorization: Bearer ${gateway.tokens.alice}`,
      `Cookie: a=${'b'.repeat(20_000)}`,
    ]
    const answer = await sendBytes(gateway.port, bytesOf({ head }))
    expect(answer.status).toBe(431)
    expect(answer.headers.has('www-authenticate')).toBe(false)
    expectPlain(answer)
    expect(gateway.upstream.reached).toEqual([])
  })

  test('nobody waits for a body of an unknown token', async () => {
    const head = ['Authorization: Bearer ' + made('grant'), 'Content-Type: application/json', 'Accept: application/json, text/event-stream', 'Content-Length: 4000000', 'Connection: close']
    const text = ['POST /echo/mcp HTTP/1.1', 'Host: localhost', ...head, '', ''].join('\r\n')
    const answer = await sendBytes(gateway.port, text)
    expect(answer.status).toBe(401)
  }) // biome-ignore format: a list

  test('a query reaches neither server nor record', async () => {
    const told = await tell(gateway, { ...CALL, path: '/echo/mcp?token=canary-91&canary-91' })
    expect(told.status).toBe(200)
    expect(JSON.stringify(gateway.upstream.reached)).not.toContain('canary')
    expect(JSON.stringify(await gateway.decisionsAfter(recorded))).not.toContain('canary')
    const rows = await gateway.store.sql.query('select * from record')
    expect(JSON.stringify(rows)).not.toContain('canary')
  })
})

describe('one source', () => {
  beforeAll(start)
  afterAll(() => gateway.stop())

  test('may be wrong so often; then the PDP is not asked, and known tokens go on', async () => {
    const wrong = () => tell(gateway, { ...CALL, token: made('grant') })
    const first = await Promise.all(Array.from({ length: 2 * AUTH_FAILURES_MAX }, wrong))
    const statuses = first.map(({ status }) => status)
    expect(statuses.filter((status) => status === 401)).toHaveLength(AUTH_FAILURES_MAX)
    expect(statuses.filter((status) => status === 429)).toHaveLength(AUTH_FAILURES_MAX)
    const late = await wrong()
    expect(late).toMatchObject({ status: 429, said: { code: 'too_many_failures' } })
    const after = Number(late.headers['retry-after'])
    expect(after).toBeGreaterThan(0)
    expect(after).toBeLessThanOrEqual(60)
    expect(late.headers['www-authenticate']).toBeUndefined()
    expect((await tell(gateway, { ...CALL, token: gateway.tokens.bob })).status).toBe(429)
    expect((await tell(gateway, CALL)).status).toBe(200)
  })
})

describe('while the PDP is away', () => {
  beforeAll(start)
  afterAll(() => gateway.stop())

  test('an unknown token is 503, not 401, and what is misspelled stays 401', async () => {
    await gateway.losePdp()
    for (const token of [made('grant'), gateway.tokens.bob]) {
      const told = await tell(gateway, { ...CALL, token })
      expect(told).toMatchObject({ status: 503, said: { code: 'pdp_unavailable' } })
      expect(told.headers['www-authenticate']).toBeUndefined()
    }
    expect((await tell(gateway, { ...CALL, token: 'x' })).status).toBe(401)
  })
})
