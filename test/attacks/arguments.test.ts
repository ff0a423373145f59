// Arguments that are spelled so that a server reads something else in them than the policy did: addresses of metadata
// services and private hosts, paths that climb out, and headers that say what the arguments do not.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ToolDefinition } from '../../schemas/bundle.ts'
import { META } from '../../schemas/mcp.ts'
import { type Gateway, startGateway } from '../harness/gateway.ts'
import { legacyText, modern, type Request, type Told, tell } from '../harness/mcp-request.ts'
import { messageOf } from '../harness/upstream.ts'

const tool = (name: string, properties: Record<string, object>): ToolDefinition => ({
  name,
  inputSchema: { type: 'object', properties },
  annotations: { readOnlyHint: true },
})
const SERVES = [
  tool('fetch', { url: { type: 'string' } }),
  tool('read', { path: { type: 'string' } }),
  tool('pay', {
    to: { type: 'string', 'x-mcp-header': 'To' },
    cents: { type: 'integer', 'x-mcp-header': 'Cents' },
    why: { type: ['string', 'null'], description: 'not repeated' },
    memo: { type: 'string', 'x-mcp-header': 'Memo' },
  }),
]
const DERIVE = `derive:
  - kind: url_host
    arguments: [url]
  - kind: path
    arguments: [path]
    root: /srv/demo
`
const POLICIES = `
@id("gateway/discovery")
permit (principal == MCP::Agent::"cedargate", action == MCP::Action::"connect", resource);
@id("staff/everything")
permit (principal in MCP::Team::"staff", action in [MCP::Action::"echo/fetch", MCP::Action::"echo/pay"], resource);
@id("fetch/no-private")
forbid (principal, action == MCP::Action::"echo/fetch", resource)
when {
  context.args has url_host && (
  context.args.url_host like "169.254.*" || context.args.url_host like "127.*" || context.args.url_host like "10.*" ||
  context.args.url_host like "192.168.*" || context.args.url_host like "172.16.*" || context.args.url_host like "0.*" ||
  context.args.url_host == "localhost" || context.args.url_host like "*.localhost" ||
  context.args.url_host like "[fc*" || context.args.url_host like "[fd*" || context.args.url_host like "[fe80:*" ||
  context.args.url_host == "[::1]" || context.args.url_host == "[::]" ||
  context.args.url_host == "metadata.google.internal")
};
@id("fetch/no-nothing")
forbid (principal, action == MCP::Action::"echo/fetch", resource)
unless { context.args has url_host };
@id("staff/drafts")
permit (principal in MCP::Team::"staff", action == MCP::Action::"echo/read", resource)
when { context.args has path_normalised && context.args.path_normalised like "drafts/*" };
@id("read/no-keys")
forbid (principal, action == MCP::Action::"echo/read", resource)
when { context.args has path_normalised && context.args.path_normalised like "drafts/keys/*" };
`
let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway({
    policies: POLICIES,
    serves: SERVES,
    reviewed: SERVES,
    serverLines: DERIVE,
  })
})
afterAll(() => gateway.stop())
beforeEach(() => gateway.upstream.reset())

const ERAS = ['legacy', 'modern'] as const
type Era = (typeof ERAS)[number]
const requestOf = (name: string, args: object, era: Era): Request => {
  const params = { name, arguments: args }
  return era === 'modern'
    ? modern('tools/call', params)
    : { body: legacyText('tools/call', params) }
}
const call = (name: string, args: object, era: Era): Promise<Told> =>
  tell(gateway, requestOf(name, args, era))
/** What came of it in both eras, and how much was sent. */
async function decided(name: string, args: object) {
  const codes: unknown[] = []
  for (const era of ERAS) {
    const { isError, status, said } = await call(name, args, era)
    const row = await gateway.pdp.admin.showDecision(said.decisionId ?? '')
    expect(row).toMatchObject({ tool: name, code: said.code, outcome: null, arguments: args })
    codes.push({ isError, status, code: said.code, verdict: row?.verdict })
  }
  return { codes, reached: gateway.upstream.reached.length }
}
const denied = (codes: RegExp) => {
  const one = { isError: true, status: 200, code: expect.stringMatching(codes), verdict: 'deny' }
  return { codes: [one, one], reached: 0 }
}

describe('a policy that forbids metadata services and private hosts holds for each spelling', () => {
  test.each([
    { name: 'as it is', url: 'http://169.254.169.254/latest/meta-data/' },
    { name: 'one decimal number', url: 'http://2852039166/' },
    { name: 'hex', url: 'http://0xa9fea9fe/' },
    { name: 'hex in parts', url: 'http://0xa9.0xFE.0xa9.0xfe/' },
    { name: 'octal', url: 'http://0251.0376.0251.0376/' },
    { name: 'octal with zeros', url: 'http://00000251.0376.0251.0376/' },
    { name: 'two parts', url: 'http://169.16689662/' },
    { name: 'three mixed parts', url: 'http://0xa9.0376.43518/' },
    { name: 'a trailing dot', url: 'http://169.254.169.254./' },
    { name: 'a port', url: 'http://169.254.169.254:80/' },
    { name: 'capitals', url: 'HTTP://0XA9FEA9FE/' },
    { name: 'credentials before it', url: 'http://example.com@169.254.169.254/' },
    { name: 'credentials behind it', url: 'http://169.254.169.254@example.com/' },
    { name: 'a backslash', url: 'http://169.254.169.254\\@example.com/' },
    { name: 'a backslash, the other way round', url: 'http://example.com\\@169.254.169.254/' },
    { name: 'percent', url: 'http://%31%36%39.254.169.254/' },
    { name: 'fullwidth digits', url: 'http://１６９.２５４.１６９.２５４/' },
    { name: 'circled digits', url: 'http://①⑥⑨.②⑤④.①⑥⑨.②⑤④/' },
    { name: 'ideographic stops', url: 'http://169。254。169。254/' },
    { name: 'a soft hyphen', url: 'http://169.254.\u00ad169.254/' },
    { name: 'a zero-width joiner', url: 'http://169.254.\u200d169.254/' },
    { name: 'a tab', url: 'http://169.254.\t169.254/' },
    { name: 'white space before', url: ' http://169.254.169.254/' },
    { name: 'mapped into IPv6', url: 'http://[::ffff:169.254.169.254]/' },
    { name: 'mapped, in hex', url: 'http://[0:0:0:0:0:FFFF:a9fe:a9fe]/' },
    { name: 'compatible IPv6', url: 'http://[::169.254.169.254]/' },
    { name: 'translated IPv6', url: 'http://[::ffff:0:169.254.169.254]/' },
    { name: 'NAT64', url: 'http://[64:ff9b::a9fe:a9fe]/' },
    { name: '6to4', url: 'http://[2002:a9fe:a9fe::]/' },
    { name: 'a zone', url: 'http://[fe80::1%25eth0]/' },
    { name: 'the IPv6 service', url: 'http://[FD00:0EC2::0254]/' },
    { name: 'by name', url: 'http://metadata.google.internal/' },
    { name: 'by name, in capitals and with a dot', url: 'http://Metadata.Google.Internal./' },
    { name: 'by name, fullwidth', url: 'http://ｍetadata.google.internal/' },
    { name: 'localhost', url: 'http://LOCALHOST:8080/' },
    { name: 'below localhost', url: 'http://a.localhost/' },
    { name: 'loopback in one number', url: 'http://2130706433/' },
    { name: 'loopback in two', url: 'http://127.1/' },
    { name: 'nothing at all', url: 'http://0/' },
    { name: 'IPv6 loopback, at length', url: 'http://[0000:0000::0001]/' },
    { name: 'a private network', url: 'http://0x0a000001/' },
    { name: 'another scheme', url: 'gopher://169.254.169.254/' },
    { name: 'a file', url: 'file:///etc/passwd' },
    { name: 'no scheme', url: '//169.254.169.254/' },
    { name: 'no slashes', url: 'http:169.254.169.254' },
  ])('$name', async ({ url }) => {
    expect(await decided('fetch', { url })).toEqual(denied(/^(forbid|unrepresentable_argument)$/))
  }) // biome-ignore format: a table

  test('without an address at all it holds too', async () => {
    expect(await decided('fetch', {})).toEqual(denied(/^forbid$/))
  })

  test.each([
    'https://example.com/a',
    'http://a.169.254.169.254.example.com/',
    'https://bücher.de/',
  ])('and lets %s through, as it was decided', async (url) => {
    for (const era of ERAS) expect((await call('fetch', { url }, era)).isError).toBe(false)
    const sent = gateway.upstream.reached.map((one) => messageOf(one).params?.['arguments'])
    expect(sent).toEqual([{ url }, { url }])
  })
})

describe('a policy for one directory holds for each spelling of a path', () => {
  test.each([
    { name: 'climbing out', path: 'drafts/../secret' },
    { name: 'percent', path: 'drafts/%2e%2e/secret' },
    { name: 'percent, twice', path: 'drafts/%252e%252e%252fsecret' },
    { name: 'percent, three times', path: 'drafts/..%25252fsecret' },
    { name: 'a coded slash alone', path: 'drafts/..%2Fsecret' },
    { name: 'a coded backslash', path: 'drafts/..%5c..%5csecret' },
    { name: 'overlong UTF-8', path: 'drafts/%c0%ae%c0%ae/secret' },
    { name: 'of IIS', path: 'drafts/%u002e%u002e/secret' },
    { name: 'a coded NUL', path: 'drafts/../secret%00.txt' },
    { name: 'a backslash', path: 'drafts\\..\\secret' },
    { name: 'fullwidth dots', path: 'drafts/．．/secret' },
    { name: 'a two-dot leader', path: 'drafts/‥/secret' },
    { name: 'a fullwidth slash into what is forbidden', path: 'drafts/keys／id' },
    { name: 'a division slash is none, and what is forbidden is', path: 'drafts//./keys/id' },
    { name: 'a file URL', path: 'file:///etc/passwd' },
    { name: 'an absolute path', path: '/etc/passwd' },
    { name: 'an absolute path that climbs', path: '/srv/demo/drafts/../../secret' },
    { name: 'a home', path: '~root/secret' },
    { name: 'NUL', path: 'drafts/a\0' },
  ])('$name', async ({ path }) => {
    expect(await decided('read', { path })).toEqual(
      denied(/^(forbid|no_permit|unrepresentable_argument)$/),
    )
  })

  test.each(['drafts/a%20b.txt', './drafts/100%.txt', 'drafts/a…'])(
    'and lets %s through',
    async (path) => {
      for (const era of ERAS) expect((await call('read', { path }, era)).isError).toBe(false)
      expect(gateway.upstream.reached).toHaveLength(2)
    },
  )
})

const pay = (args: object, headers: Record<string, string | null>): Request => {
  const request = modern('tools/call', { name: 'pay', arguments: args })
  return { ...request, headers: { ...request.headers, ...headers } }
}

const coded = (text: string) => `=?base64?${Buffer.from(text).toString('base64')}?=`

describe('headers that repeat arguments', () => {
  const ADA = { to: 'ada', cents: 42 }

  test.each<{ name: string; args: object; headers: Record<string, string> }>([
    { name: 'another value', args: ADA, headers: { 'mcp-param-to': 'eve', 'mcp-param-cents': '42' } },
    { name: 'another case of the value', args: ADA, headers: { 'mcp-param-to': 'Ada', 'mcp-param-cents': '42' } },
    { name: 'one missing', args: ADA, headers: { 'mcp-param-to': 'ada' } },
    { name: 'another number', args: ADA, headers: { 'mcp-param-to': 'ada', 'mcp-param-cents': '43' } },
    { name: 'a number that only rounds to it', args: ADA, headers: { 'mcp-param-to': 'ada', 'mcp-param-cents': '42.00000000000000000001' } },
    { name: 'an octal that is another number to some', args: ADA, headers: { 'mcp-param-to': 'ada', 'mcp-param-cents': '042' } },
    { name: 'hex', args: ADA, headers: { 'mcp-param-to': 'ada', 'mcp-param-cents': '0x2a' } },
    { name: 'an exponent', args: ADA, headers: { 'mcp-param-to': 'ada', 'mcp-param-cents': '4.2e1' } },
    { name: 'another value, coded', args: ADA, headers: { 'mcp-param-to': coded('eve'), 'mcp-param-cents': '42' } },
    { name: 'a code that is none', args: ADA, headers: { 'mcp-param-to': '=?base64?YWRh=?=', 'mcp-param-cents': '42' } },
    { name: 'a code in another case', args: ADA, headers: { 'mcp-param-to': coded('ada').replace('base64', 'BASE64'), 'mcp-param-cents': '42' } },
    { name: 'text that looks like a code, as itself', args: { ...ADA, to: coded('x') }, headers: { 'mcp-param-to': coded('x'), 'mcp-param-cents': '42' } },
    { name: 'two values in one', args: ADA, headers: { 'mcp-param-to': 'ada, ada', 'mcp-param-cents': '42' } },
  ])('that differ are refused before anything is decided: $name', async ({ args, headers }) => {
    const before = await gateway.recorded()
    const told = await tell(gateway, pay(args, headers))
    expect(told).toMatchObject({ status: 400, said: { code: 'header_mismatch' } })
    expect(await gateway.recorded()).toBe(before)
    expect(gateway.upstream.reached).toEqual([])
  }) // biome-ignore format: a table

  test.each<{ name: string; args: object; headers: Record<string, string> }>([
    { name: 'as they are', args: ADA, headers: { 'mcp-param-to': 'ada', 'mcp-param-cents': '42' } },
    { name: 'coded, and a whole number with a fraction', args: ADA, headers: { 'mcp-param-to': coded('ada'), 'mcp-param-cents': '42.0' } },
    { name: 'of text that looks like a code', args: { ...ADA, to: coded('x') }, headers: { 'mcp-param-to': coded(coded('x')), 'mcp-param-cents': '42' } },
    { name: 'of an argument that is not there', args: ADA, headers: { 'mcp-param-to': 'ada', 'mcp-param-cents': '42', 'mcp-param-memo': 'x' } },
    { name: 'that no definition asks for', args: ADA, headers: { 'mcp-param-to': 'ada', 'mcp-param-cents': '42', 'mcp-param-why': 'x' } },
  ])('that say the same pass, and nothing was decided on them: $name', async ({ args, headers }) => {
    expect(await tell(gateway, pay(args, headers))).toMatchObject({ status: 200, isError: false })
    const [one] = gateway.upstream.reached
    expect(one && messageOf(one).params).toMatchObject({ arguments: args, _meta: { [META.protocolVersion]: '2026-07-28' } })
    expect(one?.headers).toMatchObject(headers)
  }) // biome-ignore format: a table

  test('an argument that is null has no header to differ from, and is decided by what it is', async () => {
    const headers = { 'mcp-param-to': 'ada', 'mcp-param-cents': '42', 'mcp-param-memo': 'x' }
    const told = await tell(gateway, pay({ ...ADA, memo: null }, headers))
    expect(told).toMatchObject({ status: 200, isError: false })
    const [row] = await gateway.decisionsAfter((await gateway.recorded()) - 1)
    expect(row).toMatchObject({ verdict: 'allow', arguments: { ...ADA, memo: null } })
  })
})
