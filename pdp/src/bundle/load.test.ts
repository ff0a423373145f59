// Loading a bundle: what is wrong is found where it is written, and what is right decides by one id.
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { unpackGeneration } from '../../../schemas/cedar.ts'
import type { Bundle } from './bundle.ts'
import { BundleError, findingLine } from './findings.ts'
import { loadBundle } from './load.ts'
import type { TestServer } from './testing.ts'
import { bundleFiles, withFiles } from './testing.ts'

const ENV = { CEDARGATE_HOME: '/srv/gate' }
const TEXT = { type: 'string' }
const SERVERS: Record<string, TestServer> = {
  files: {
    file: { derive: [{ kind: 'path', arguments: ['path'], root: '${CEDARGATE_HOME}/demo', suffix: '_normalised' }] },
    tools: [
      { name: 'read', inputSchema: { properties: { path: TEXT }, required: ['path'] } },
      { name: 'write', risk: 'write', inputSchema: { properties: { path: TEXT, mode: { type: 'integer' } } } },
    ],
  },
} // biome-ignore format: a table
const PERMIT = '@id("a/permit")\npermit(principal, action in MCP::Action::"read", resource);\n'
const FORBID = '@id("a/forbid") @reason("no") forbid(principal, action, resource);\n'

function load(files: Record<string, string>): Promise<Bundle> {
  return withFiles(tmpdir(), files, (directory) => loadBundle(directory, { env: ENV }))
}
async function findings(files: Record<string, string>): Promise<string[]> {
  const error = await load(files).catch((found: unknown) => found)
  if (error instanceof BundleError) return error.findings.map(findingLine)
  throw error
}

test('an empty bundle is one that permits nothing', async () => {
  const bundle = await load({ 'gateway.yaml': 'name: Nothing\n' })
  expect(bundle).toMatchObject({ name: 'Nothing', access: 'ask your platform team', warnings: [] })
  expect([bundle.servers.size, bundle.policies.size]).toEqual([0, 0])
})

test('a bundle knows its servers, tools and policies', async () => {
  const bundle = await load(bundleFiles(SERVERS, { p: PERMIT, q: FORBID }))
  const server = bundle.servers.get('files')
  expect(server?.upstream).toMatchObject({ id: 'files', transport: 'http', command: null, cwd: null })
  expect([...(server?.tools.values() ?? [])].map(({ name, risk, action }) => [name, risk, action])).toEqual([
    ['read', 'read', 'files/read'],
    ['write', 'write', 'files/write'],
  ])
  expect(bundle.policies.get('a/forbid')).toMatchObject({ effect: 'forbid', reason: 'no', file: 'cedar/q.cedar', place: { line: 1, column: 1 } })
  expect(bundle.id).toMatch(/^[0-9a-f]{64}$/)
  expect(bundle.generation.id).toBe(bundle.id)
}) // biome-ignore format: long rows

const gatewayWith = (server: string) => `name: Test
identity:
  issuers:
    - { issuer: 'https://idp.test', audience: gate, clients: { ide: { agent: ide, servers: [${server}] } } }
`

const sorted = (of: Bundle) =>
  unpackGeneration(of.generation).policySets.map(({ policies }) => Object.keys(policies).toSorted())

describe('the id', () => {
  const files = bundleFiles(SERVERS, { p: PERMIT, q: FORBID })
  const SERVER_YAML = files['servers/files/server.yaml'] ?? ''
  const child = (more: string) =>
    load({ ...files, 'servers/files/server.yaml': `command: x\n${more}` })
  const withPolicies = (policies: Record<string, string>) => load(bundleFiles(SERVERS, policies))

  test('is not about comments, formatting, files or their order', async () => {
    const [plain, dressed, turned] = await Promise.all([
      load(files),
      withPolicies({ p: `// why\n${PERMIT.replaceAll(' ', '  ')}\n`, q: FORBID }),
      withPolicies({ a: FORBID + PERMIT }),
    ])
    expect([dressed.id, turned.id]).toEqual([plain.id, plain.id])
    expect([dressed.digests, turned.digests]).toEqual([plain.digests, plain.digests])
    expect(turned.content).toBe(plain.content)
    expect(sorted(turned)).toEqual(sorted(plain))
  })

  test.each<{ name: string; change: Record<string, string> }>([
    { name: 'a condition', change: { 'cedar/q.cedar': FORBID.replace(';', ' when { true };') } },
    { name: 'a reason', change: { 'cedar/q.cedar': FORBID.replace('"no"', '"never"') } },
    { name: 'the name', change: { 'gateway.yaml': 'name: Other\n' } },
    { name: 'an identity provider', change: { 'gateway.yaml': gatewayWith('files') } },
    { name: 'a url', change: { 'servers/files/server.yaml': 'url: http://127.0.0.1:2/mcp\n' } },
    {
      name: 'a transport',
      change: { 'servers/files/server.yaml': `${SERVER_YAML}transport: sse\n` },
    },
    {
      name: 'instructions',
      change: { 'servers/files/server.yaml': `${SERVER_YAML}instructions: pass\n` },
    },
  ])('changes with $name', async ({ change }) => {
    const [before, after] = await Promise.all([load(files), load({ ...files, ...change })])
    expect(after.id).not.toBe(before.id)
  })

  test('changes with where a child may write, also with that it may nowhere', async () => {
    const bundles = await Promise.all(['', 'writable: []\n', 'writable: [a]\n'].map(child))
    expect(new Set(bundles.map(({ id }) => id)).size).toBe(3)
    const told = bundles.map(({ servers }) => servers.get('files')?.upstream.writable)
    expect(told).toEqual([null, [], ['a']])
  }) // biome-ignore format: long lines

  test('is the same for what is said and what goes without saying', async () => {
    const said = `${SERVER_YAML}transport: http\ninstructions: withhold\n`
    const [before, after] = await Promise.all([load(files), load({ ...files, 'servers/files/server.yaml': said })])
    expect(after.id).toBe(before.id)
  }) // biome-ignore format: long lines
})

const server = (text: string) => ({
  ...bundleFiles(SERVERS, {}),
  'servers/files/server.yaml': text,
})
const policy = (text: string) => bundleFiles(SERVERS, { p: text })
const lock = (change: (text: string) => string) => {
  const files = bundleFiles(SERVERS, {})
  const name = 'servers/files/tools.lock.json'
  return { ...files, [name]: change(files[name] ?? '') }
}
const asMatcher = (line: string | RegExp): unknown =>
  typeof line === 'string' ? line : expect.stringMatching(line)

type Wrong = { name: string; files: Record<string, string>; want: (string | RegExp)[] }
test.each<Wrong>([
  { name: 'no gateway.yaml', files: {}, want: ['gateway.yaml:1:1: the file is missing'] },
  { name: 'an unknown key', files: { 'gateway.yaml': 'name: X\nacces: y\n' }, want: [/^gateway\.yaml:1:1: .*acces/] },
  { name: 'a wrong value', files: { 'gateway.yaml': 'access: y\nname: 7\n' }, want: [/^gateway\.yaml:2:7: `name`/] },
  { name: 'no YAML', files: { 'gateway.yaml': 'name: [\n' }, want: [/^gateway\.yaml:2:1: /] },
  { name: 'the same key twice', files: { 'gateway.yaml': 'name: a\nname: b\n' }, want: [/^gateway\.yaml:2:1: .*unique/] },
  { name: 'an alias', files: { 'gateway.yaml': 'name: &a x\naccess: *a\n' }, want: [/^gateway\.yaml:.*alias/i] },
  { name: 'a server id that is reserved', files: { ...bundleFiles({ pep: {} }, {}) }, want: ['servers/pep:1:1: this server id is reserved'] },
  { name: 'a server id that is none', files: { ...bundleFiles({ 'A b': {} }, {}) }, want: [/^servers\/A b:1:1: a server id is/] },
  { name: 'a file that belongs nowhere', files: { ...bundleFiles({}, {}), 'cedar/x.ceder': '', 'cedar/README.md': '' }, want: ['cedar/x.ceder:1:1: only *.cedar files belong here'] },
  { name: 'a file a server does not have', files: { ...bundleFiles(SERVERS, {}), 'servers/files/tool.lock.json': '' }, want: [/^servers\/files\/tool\.lock\.json:1:1: only server\.yaml/] },
  { name: 'no lock', files: { 'gateway.yaml': 'name: X', 'servers/files/server.yaml': 'url: http://x' }, want: ['servers/files/tools.lock.json:1:1: the file is missing'] },
  { name: 'neither url nor command', files: server('cwd: /x\n'), want: [/server\.yaml:1:1: set `url`/] },
  { name: 'a variable in a directory', files: server('command: x\nwritable: ["${HOME}/a"]\n'), want: [/server\.yaml:1:1: `HOME` may not be used here/] },
  { name: 'a variable of the service', files: server('url: "http://x/${HOME}"\n'), want: [/server\.yaml:1:1: `HOME` may not be used here/] },
  { name: 'a root with one', files: server('url: http://x\nderive: [{ kind: path, arguments: [path], root: "${DATABASE_URL}" }]\n'), want: [/derive root: `DATABASE_URL` may not/] },
  { name: 'a root that is not set', files: server('url: http://x\nderive: [{ kind: path, arguments: [path], root: "${CEDARGATE_SERVER_ROOT}" }]\n'), want: [/derive root: `CEDARGATE_SERVER_ROOT` is not set/] },
  { name: 'a relative root', files: server('url: http://x\nderive: [{ kind: path, arguments: [path], root: demo }]\n'), want: [/`demo` must be an absolute path/] },
  { name: 'one name derived twice', files: server('url: http://x\nderive: [{ kind: path, arguments: [path, path], root: / }]\n'), want: [/`path_normalised` is derived twice/] },
  { name: 'a tool that was edited', files: lock((text) => text.replace('"name": "read"', '"name": "reed"')), want: [/^servers\/files\/tools\.lock\.json:6:18: tool `reed` is not what was reviewed/] },
  { name: 'a risk that is none', files: lock((text) => text.replace('"read"', '"reads"')), want: [/`tools\.0\.risk`/] },
  { name: 'a lock with one key twice', files: lock((text) => text.replace('"version": 1,', '"version": 1, "version": 1,')), want: [/the same key twice/] },
  { name: 'a lock that is no JSON', files: lock(() => '{'), want: [/tools\.lock\.json:1:1: the text is not JSON/] },
  { name: 'a tool named like a method', files: bundleFiles({ resources: { tools: [{ name: 'read' }] } }, {}), want: [/has the name of an MCP method/] },
  { name: 'a policy that is none', files: policy('// a\n\npermit(principal, action);'), want: [/^cedar\/p\.cedar:3:\d+: /] },
  { name: 'a template', files: policy('@id("a/b") permit(principal == ?principal, action, resource);'), want: [/^cedar\/p\.cedar:1:\d+: .*template/] },
  { name: 'no id', files: policy('permit(principal, action, resource);'), want: ['cedar/p.cedar:1:1: the policy needs an @id("team/slug")'] },
  { name: 'an id that is none', files: policy('@id("A B") permit(principal, action, resource);'), want: [/@id must be/] },
  { name: 'one id twice', files: policy(`${PERMIT}\n  ${PERMIT}`), want: ['cedar/p.cedar:4:3: `a/permit` is taken: cedar/p.cedar:1:1'] },
  { name: 'an annotation nobody knows', files: policy('@id("a/b") @mod("x") permit(principal, action, resource);'), want: [/unknown annotation @mod; known are @id/] },
  { name: 'a severity that is none', files: policy('@id("a/b") @severity("urgent") permit(principal, action, resource);'), want: [/@severity must be/] },
  { name: 'an empty reason', files: policy('@id("a/b") @reason permit(principal, action, resource);'), want: [/@reason needs a text/] },
  { name: 'a server that is none', files: policy('@id("a/b") forbid(principal, action, resource == MCP::Server::"flies");'), want: ['cedar/p.cedar:1:1: no server `flies` in this bundle'] },
  { name: 'an action that is none', files: policy('// é\n@id("a/b")\nforbid(principal, action == MCP::Action::"files/red", resource);'), want: [/^cedar\/p\.cedar:3:\d+: unrecognized action/, /applicable action/, /impossible/] },
  { name: 'an argument that is none', files: policy('@id("a/b")\nforbid(principal, action == MCP::Action::"files/read", resource)\nwhen { "é" == "é" && context.args.pfad == "" };'), want: [/^cedar\/p\.cedar:3:22: attribute `args\.pfad`/] },
  { name: 'an argument that may be absent', files: policy('@id("a/b") forbid(principal, action == MCP::Action::"files/write", resource) when { context.args.mode == 1 };'), want: [/unable to guarantee safety of access to optional attribute `args\.mode`/] },
  { name: 'one name derived by two kinds', files: server('url: http://x\nderive: [{ kind: path, arguments: [p], root: /, suffix: _n }, { kind: count, arguments: [p], suffix: _n_within }]\n'), want: [/`p_n_within` is derived twice/] },
  { name: 'unknown arguments allowed for no tool', files: server('url: http://x\nallowUnknown: [read, reed]\n'), want: [/^servers\/files\/server\.yaml.*no tool `reed` in the lock/] },
  { name: 'tokens for another server', files: server('url: https://evil.test/mcp\ncredential: { kind: oauth, resource: "https://api.victim.test/" }\n'), want: [/^servers\/files\/server\.yaml.*`credential\.resource` must cover `url`/] },
  { name: 'tokens of the gateway for a deeper path', files: server('url: https://files.test/mcp\ncredential: { kind: client_credentials, resource: "https://files.test/mcp/deeper" }\n'), want: [/`credential\.resource` must cover `url`/] },
  { name: 'a number that JavaScript would round', files: policy('@id("a/b") forbid(principal, action == MCP::Action::"files/read", resource) when { context.argsMeta.bytes > 9007199254740993 };'), want: [/a number in it is beyond/] },
  { name: 'a policy that Cedar does not survive', files: policy(`${PERMIT}@id("a/deep") permit(principal, action, resource) when { ${'('.repeat(900)}true${')'.repeat(900)} };`), want: ['cedar/p.cedar:3:1: Cedar cannot read this policy: too deeply nested'] },
  { name: 'a chain of a thousand attributes', files: policy(`@id("a/b") permit(principal, action, resource) when { context.request.method${'.a'.repeat(1_000)} };`), want: ['cedar/p.cedar:1:1: Cedar cannot read this policy: too deeply nested'] },
  { name: 'several at once', files: { ...policy('permit(principal, action, resource);'), 'gateway.yaml': '{}', 'servers/files/server.yaml': '{}' }, want: [/^gateway/, /^servers/, /^cedar/] },
])('$name is found', async ({ files, want }) => {
  expect(await findings(files)).toEqual(want.map(asMatcher))
}) // biome-ignore format: a table

test('a policy that can never apply is a warning, and no more', async () => {
  const text =
    '@id("a/b")\npermit(principal, action == MCP::Action::"files/read", resource) when { 1 == 2 };'
  const { warnings } = await load(policy(text))
  expect(warnings).toEqual([
    {
      severity: 'warning',
      file: 'cedar/p.cedar',
      line: 1,
      column: 1,
      message: expect.stringMatching(/impossible/),
    },
  ])
})

test.each([
  'url: https://files.test/mcp\ncredential: { kind: oauth, resource: "https://files.test/" }\n',
  'url: https://${CEDARGATE_SERVER_HOST}/mcp\ncredential: { kind: oauth, resource: "https://files.test/" }\n',
  'url: https://files.test/mcp\ncredential: { kind: oauth }\n',
])('no fault is found in %s', async (text) => {
  const { warnings } = await load({ ...bundleFiles(SERVERS, {}), 'servers/files/server.yaml': text })
  expect(warnings).toEqual([])
}) // biome-ignore format: short

test.each<{ text: string; want: string[] }>([
  { text: 'url: http://tools.test/mcp\n', want: ['`url`: tools.test is not dialled over http; use https, or `private: true` in its server.yaml'] },
  { text: 'url: http://169.254.169.254/\nprivate: true\n', want: ["`url`: 169.254.169.254 leads to an address that is never dialled: link-local, reserved, or of a cloud's metadata"] },
  { text: 'url: http://tools.test/mcp\nprivate: true\n', want: [] },
  { text: 'url: https://tools.test/mcp\n', want: [] },
  { text: 'url: http://127.0.0.1:1/mcp\n', want: [] },
  { text: 'url: http://${CEDARGATE_SERVER_HOST}/mcp\n', want: [] },
])('a server that no PEP will dial is a warning: $text', async ({ text, want }) => {
  const files = { ...bundleFiles(SERVERS, {}), 'servers/files/server.yaml': text }
  const { warnings } = await load(files)
  expect(warnings.map(({ message }) => message)).toEqual(want)
}) // biome-ignore format: a table

test('a derivation that no tool has an argument for is a warning', async () => {
  const text = `url: https://x
derive:
  - { kind: count, arguments: [path, mode] }
  - { kind: url_host, arguments: [path, pathh] }
`
  const files = { ...bundleFiles(SERVERS, {}), 'servers/files/server.yaml': text }
  const { warnings } = await load(files)
  expect(warnings.map(({ message }) => message)).toEqual([
    'derive: no tool has an argument `path` that `count` fits',
    'derive: no tool has an argument `mode` that `count` fits',
    'derive: no tool has an argument `pathh` that `url_host` fits',
  ])
})

/** What is found in a good bundle after `prepare` has worked on its folder. */
const inside = (prepare: (directory: string) => Promise<unknown>) =>
  withFiles(tmpdir(), bundleFiles(SERVERS, { p: PERMIT }), async (directory) => {
    await prepare(directory)
    return loadBundle(directory, { env: ENV }).then(
      () => [],
      (error: BundleError) => error.findings.map(findingLine),
    )
  })

describe('the file system', () => {
  test('a link that stays inside is followed', async () => {
    expect(await inside((at) => symlink('../gateway.yaml', join(at, 'cedar', 'README')))).toEqual(
      [],
    )
    const linked = await inside(async (at) => {
      await mkdir(join(at, 'shared'))
      await writeFile(join(at, 'shared', 'q'), FORBID)
      await symlink('../shared/q', join(at, 'cedar', 'q.cedar'))
    })
    expect(linked).toEqual([])
  })

  test('a link that leads out is not', async () => {
    const found = await inside((at) =>
      symlink(join(import.meta.dirname, 'load.ts'), join(at, 'cedar', 'x.cedar')),
    )
    expect(found).toEqual(['cedar/x.cedar:1:1: a symbolic link leads out of the bundle'])
  })

  test('what is no UTF-8 or too large is not read', async () => {
    const found = await inside(async (at) => {
      await writeFile(join(at, 'cedar', 'a.cedar'), Buffer.from([0xff]))
      await writeFile(join(at, 'cedar', 'b.cedar'), ' '.repeat(4 * 1024 * 1024 + 1))
    })
    expect(found).toEqual([
      'cedar/a.cedar:1:1: the file is not UTF-8',
      'cedar/b.cedar:1:1: the file is larger than 4 MiB',
    ])
  })

  test('no folder is no bundle', async () => {
    await expect(loadBundle(join(tmpdir(), 'nothing-of-this-name'), { env: {} })).rejects.toThrow(
      /there is no bundle/,
    )
  })
})

test('where derived paths start from is a part of the id', async () => {
  const files = bundleFiles(SERVERS, { p: PERMIT })
  const at = (home: string) =>
    withFiles(tmpdir(), files, (folder) => loadBundle(folder, { env: { CEDARGATE_HOME: home } }))
  const [one, same, other] = [await at('/a'), await at('/a'), await at('/b')]
  expect(same.id).toBe(one.id)
  expect(other.id).not.toBe(one.id)
})

test('clients of identity providers are for servers that are there', async () => {
  const files = bundleFiles(SERVERS, {})
  const bundle = await load({ ...files, 'gateway.yaml': gatewayWith('files') })
  expect(bundle.identity.issuers[0]?.clients).toMatchObject({ ide: { servers: ['files'] } })
  expect(await findings({ ...files, 'gateway.yaml': gatewayWith('file') })).toEqual([
    'gateway.yaml:1:1: client `ide` of https://idp.test: the bundle has no server file',
  ])
})

test('a property that Cedar would read as an escape is opaque, and its tool is there', async () => {
  const inputSchema = { properties: { __entity: TEXT, path: TEXT } }
  const { servers } = await load(
    bundleFiles({ odd: { tools: [{ name: 'odd', inputSchema }, { name: 'even' }] } }, {}),
  )
  expect([...(servers.get('odd')?.tools.keys() ?? [])]).toEqual(['odd', 'even'])
})

test('one tool that Cedar cannot hold leaves the others as they are', async () => {
  const odd = JSON.parse('{"properties":{"":{"type":"string"},"__proto__":{"type":"string"},"a\\u0000b":{"type":"integer"},"$ref":{"$ref":"#/x"}}}') as object
  const tools = [{ name: 'odd', inputSchema: odd }, { name: '__proto__' }, { name: '"; permit(principal, action, resource); "' }, { name: 'in' }]
  const bundle = await load(bundleFiles({ odd: { tools } }, { p: PERMIT }))
  expect([...(bundle.servers.get('odd')?.tools.keys() ?? [])]).toEqual(tools.map(({ name }) => name))
}) // biome-ignore format: long rows
