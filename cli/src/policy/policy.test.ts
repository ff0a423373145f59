// The author's commands on a checkout: what each prints, writes and exits with, also when the checkout is broken.
import { execFileSync } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { validate } from '@cedar-policy/cedar-wasm/nodejs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bundleFiles, withFiles } from '../../../pdp/src/bundle/testing.ts'
import { POLICIES, SERVERS } from '../../../pdp/src/policy-tests/testing.ts'
import { runHere } from '../../../test/harness/in-process.ts'

const MATRIX = `users: { ann: [staff] }
tests:
  - { server: shop, tool: find, expect: { ann: { verdict: allow, policies: [shop/find] } } }
`
const FILES = { ...bundleFiles(SERVERS, POLICIES), 'tests/a.yaml': MATRIX }
const policy = (...words: string[]) => runHere(['policy', ...words], { PATH: '/usr/bin:/bin' })

/** Files of a bundle where `words` name its directory as DIR. */
function on(change: Readonly<Record<string, string>>, ...words: string[]) {
  return withFiles(tmpdir(), { ...FILES, ...change }, (directory) =>
    policy(...words.map((word) => word.replace('DIR', directory))),
  )
}
const DEEP = `@id("a/b") permit(principal, action, resource) when { ${'('.repeat(150)}true${')'.repeat(150)} };`

describe('a broken checkout', () => {
  test.each<{ name: string; change: Record<string, string>; words: string[]; code: number; says: RegExp }>([
    { name: 'no directory', change: {}, words: ['check', 'DIR/none'], code: 3, says: /there is no bundle in/ },
    { name: 'no directory to format', change: {}, words: ['fmt', 'DIR/none'], code: 3, says: /there is no bundle in/ },
    { name: 'no directory to test', change: {}, words: ['test', 'DIR/none'], code: 3, says: /there is no bundle in/ },
    { name: 'broken YAML', change: { 'gateway.yaml': 'name: [\n' }, words: ['test', 'DIR'], code: 3, says: /gateway\.yaml:2:1: error: / },
    { name: 'a broken matrix', change: { 'tests/b.yaml': 'users: { ann: [\n' }, words: ['test', 'DIR'], code: 3, says: /tests\/b\.yaml:2:1: error: / },
    { name: 'an unknown user', change: { 'tests/a.yaml': MATRIX.replace('ann: {', 'eve: {') }, words: ['test', 'DIR'], code: 3, says: /tests\/a\.yaml:3:\d+: error: .*no `eve` in `users`/ },
    { name: 'another file among the tests', change: { 'tests/b.ymal': '' }, words: ['test', 'DIR'], code: 3, says: /tests\/b\.ymal:1:1: error: only \*\.json/ },
    { name: 'nested parentheses', change: { 'cedar/deep.cedar': DEEP }, words: ['check', 'DIR'], code: 3, says: /deep\.cedar:1:1: error: .*too deeply nested/ },
    { name: 'nested parentheses to format', change: { 'cedar/deep.cedar': DEEP }, words: ['fmt', '--check', 'DIR'], code: 3, says: /deep\.cedar:1:1: error: .*too deeply nested/ },
    { name: 'no such server', change: {}, words: ['scaffold', 'none', 'DIR', '--team', 't'], code: 2, says: /no server `none`.*\nhint: the bundle has: shop/ },
    { name: 'no such team', change: {}, words: ['scaffold', 'shop', 'DIR', '--team', 'a b'], code: 2, says: /--team is not a team id/ },
    { name: 'no such owner', change: {}, words: ['scaffold', 'shop', 'DIR', '--team', 't', '--owner', 'A/'], code: 2, says: /--owner must be of/ },
    { name: 'arguments that are no JSON', change: {}, words: ['explain', 'DIR', '--server', 'shop', '--tool', 'find', '--args', '{'], code: 2, says: /--args: the text is not JSON/ },
    { name: 'arguments that are no object', change: {}, words: ['explain', 'DIR', '--server', 'shop', '--tool', 'find', '--args', '[]'], code: 2, says: /--args must be a JSON object/ },
    { name: 'arguments in no file', change: {}, words: ['explain', 'DIR', '--server', 'shop', '--tool', 'find', '--args', '@DIR/none'], code: 2, says: /--args: .*none cannot be read/ },
    { name: 'no time', change: {}, words: ['explain', 'DIR', '--server', 'shop', '--tool', 'find', '--at', 'noon'], code: 2, says: /--at must be like/ },
    { name: 'nothing to explain', change: {}, words: ['explain', 'DIR', '--server', 'shop'], code: 2, says: /say --tool, or --method/ },
    { name: 'no git', change: {}, words: ['diff', 'HEAD', '.', 'DIR'], code: 2, says: /git failed: .*not a git repository/ },
  ])('$name', async ({ change, words, code, says }) => {
    const ended = await on(change, ...words)
    expect(ended.code).toBe(code)
    expect(`${ended.stdout}${ended.stderr}`).toMatch(says)
    expect(ended.stderr).not.toContain('    at ')
  }) // biome-ignore format: a table
})

describe('check', () => {
  const OPEN = '@id("a/b") permit(principal, action, resource);'
  test('a good bundle is silent on stdout', async () => {
    const { code, stdout, stderr } = await on({}, 'check', 'DIR')
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: '',
      stderr: 'the bundle is valid: 4 policies, 0 warnings\n',
    })
  })

  test('a warning counts when it is told to', async () => {
    const change = { 'cedar/open.cedar': OPEN }
    const lax = await on(change, 'check', 'DIR')
    expect([lax.code, lax.stdout]).toEqual([0, expect.stringMatching(/^cedar\/open\.cedar:1:1: warning: this permits/)])
    expect((await on(change, 'check', 'DIR', '--warnings-as-errors')).code).toBe(3)
  }) // biome-ignore format: a long line

  test('a policy that can never match is warned of', async () => {
    const never = '@id("a/b") permit(principal, action in MCP::Action::"destructive", resource);'
    const { stdout } = await on({ 'cedar/never.cedar': never }, 'check', 'DIR')
    expect(stdout).toMatch(/^cedar\/never\.cedar:1:1: warning: unable to find an applicable action/)
  })

  test('as JSON and as annotations', async () => {
    const change = { 'cedar/a%,b.cedar': `\n ${OPEN}` }
    const [finding] = JSON.parse((await on(change, 'check', 'DIR', '--format', 'json')).stdout)
    expect(finding).toMatchObject({ severity: 'warning', file: 'cedar/a%,b.cedar', line: 2, column: 2 })
    const { stdout } = await on(change, 'check', 'DIR', '--format', 'github')
    expect(stdout).toMatch(/^::warning file=\S+\/cedar\/a%25%2Cb\.cedar,line=2,col=2::this permits every action/)
  }) // biome-ignore format: long lines
})

describe('fmt', () => {
  test('formats in place, names what it changed, and is content then', async () => {
    await withFiles(tmpdir(), FILES, async (directory) => {
      expect(await policy('fmt', '--check', directory)).toMatchObject({ code: 3, stdout: 'cedar/shop.cedar\n' })
      expect(await readFile(join(directory, 'cedar/shop.cedar'), 'utf8')).toBe(POLICIES.shop)
      expect(await policy('fmt', directory)).toMatchObject({ code: 0, stdout: 'cedar/shop.cedar\n' })
      expect(await policy('fmt', '--check', directory)).toMatchObject({ code: 0, stdout: '' })
      expect((await policy('check', directory)).code).toBe(0)
    })
  }) // biome-ignore format: long lines

  test('never writes through a link out of the bundle', async () => {
    await withFiles(tmpdir(), { ...FILES, 'other/a.cedar': POLICIES.shop }, async (directory) => {
      const outside = await mkdtemp(join(tmpdir(), 'cedargate-outside-'))
      await writeFile(join(outside, 'a.cedar'), POLICIES.shop)
      await symlink(join(outside, 'a.cedar'), join(directory, 'cedar/link.cedar'))
      const { code, stderr } = await policy('fmt', directory)
      expect([code, stderr]).toEqual([3, expect.stringContaining('leads out of the bundle')])
      expect(await readFile(join(outside, 'a.cedar'), 'utf8')).toBe(POLICIES.shop)
      await rm(outside, { recursive: true })
    })
  })
})

describe('test', () => {
  const FAILING = { 'tests/b.yaml': MATRIX.replace('verdict: allow', 'verdict: deny') }

  test('passes', async () => {
    const { code, stdout } = await on({}, 'test', 'DIR')
    expect(code).toBe(0)
    expect(stdout).toBe(
      '✓ tests/a.yaml  1 passed\nno test determined: shop/connect, shop/order, shop/no-overflow\n',
    )
  })

  test('fails with what was expected and what came', async () => {
    const { code, stdout, stderr } = await on(FAILING, 'test', 'DIR')
    expect([code, stderr]).toEqual([4, 'cedargate: 1 of 2 tests failed\n'])
    expect(stdout).toContain(
      '✗ tests/b.yaml  0 passed\n  ✗ tests/b.yaml:3:5 shop/find › ann\n' +
        '      expected deny by shop/find\n      got      allow (permit) by shop/find\n',
    )
  })

  test('writes JUnit', async () => {
    await withFiles(tmpdir(), { ...FILES, ...FAILING }, async (directory) => {
      const file = join(directory, 'out.xml')
      expect((await policy('test', directory, '--junit', file)).code).toBe(4)
      const xml = await readFile(file, 'utf8')
      expect(xml).toContain('<testsuites name="cedargate policy test" tests="2" failures="1" errors="0">')
      expect(xml).toContain('<testcase name="shop/find › ann" classname="tests/a.yaml" file="tests/a.yaml" line="3"/>')
      expect(xml).toContain('<failure message="expected deny by shop/find, got allow (permit) by shop/find">')
    })
  }) // biome-ignore format: long lines

  test('no tests are an error, unless that is fine', async () => {
    const bare = bundleFiles(SERVERS, POLICIES)
    await withFiles(tmpdir(), bare, async (directory) => {
      expect(await policy('test', directory)).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/no tests in .*\nhint: .*--allow-none/),
      })
      expect((await policy('test', directory, '--allow-none')).code).toBe(0)
    })
  })
})

describe('explain', () => {
  const ASK = ['explain', 'DIR', '--server', 'shop', '--user', 'ann', '--team', 'staff']

  test('an allow', async () => {
    const { code, stdout } = await on({}, ...ASK, '--tool', 'find', '--at', '2026-01-01T00:00:00Z')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^allow \(permit\)\n\npermit shop\/find {2}cedar\/shop\.cedar:2:1\n {2}@id/)
    expect(stdout).toContain('"time": "2026-01-01T00:00:00.000Z"')
  }) // biome-ignore format: a long line

  test('a near permit, with arguments from a file', async () => {
    const change = { 'args.json': '{"amount":1,"note":"no"}' }
    const { stdout } = await on(change, ...ASK, '--tool', 'order', '--args', '@DIR/args.json')
    expect(stdout).toMatch(
      /^deny \(no_permit\): no policy permits this\n\nnear: permit shop\/order {2}cedar\/shop\.cedar:3:1\n/,
    )
    expect(stdout).toContain('  ✗ context.args.note like "ok*"\n')
  })

  test('another method, as JSON', async () => {
    const { stdout } = await on({}, ...ASK, '--method', 'tools/list', '--format', 'json')
    expect(JSON.parse(stdout)).toMatchObject({ code: 'permit', visible: ['find', 'order'] })
  })
})

describe('schema', () => {
  test('is written for editors, and is no part of the bundle', async () => {
    await withFiles(tmpdir(), FILES, async (directory) => {
      const file = join(directory, 'cedargate.cedarschema')
      expect(await policy('schema', '--check', directory)).toMatchObject({
        code: 3,
        stderr: expect.stringMatching(/is missing\nhint: cedargate policy schema/),
      })
      expect(await policy('schema', directory)).toEqual({ code: 0, stdout: '', stderr: '' })
      const text = await readFile(file, 'utf8')
      const answer = validate({ schema: text, policies: { staticPolicies: POLICIES.shop } })
      expect(answer).toMatchObject({ type: 'success', validationErrors: [] })
      const wrong = { staticPolicies: POLICIES.shop.replace('amount', 'amuont') }
      expect(validate({ schema: text, policies: wrong })).toMatchObject({
        validationErrors: expect.arrayContaining([
          expect.objectContaining({ policyId: 'policy2' }),
        ]),
      })
      expect((await policy('schema', '--stdout', directory)).stdout).toBe(text)
      expect((await policy('schema', '--check', directory)).code).toBe(0)
      expect((await policy('check', directory)).code).toBe(0)
      await writeFile(file, `${text}\n`)
      expect((await policy('schema', '--check', directory)).stderr).toContain('is out of date')
    })
  })
})

describe('scaffold', () => {
  test('drafts what passes the check, and never overwrites', async () => {
    await withFiles(tmpdir(), { ...bundleFiles(SERVERS, {}) }, async (directory) => {
      const words = ['scaffold', 'shop', directory, '--team', 'staff']
      const { stdout } = await policy(...words)
      expect(stdout).toContain('@require_approval("group=staff;count=1;ttl=PT15M")')
      expect((await policy(...words, '--write')).code).toBe(0)
      expect(await readFile(join(directory, 'cedar/shop.cedar'), 'utf8')).toBe(stdout)
      expect(await policy('check', '--warnings-as-errors', directory)).toMatchObject({ code: 0 })
      expect((await policy('fmt', '--check', directory)).code).toBe(0)
      expect(await policy(...words, '--write')).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/shop\.cedar exists/),
      })
    })
  })
})

describe('diff', () => {
  let root: string
  const git = (...words: string[]) =>
    execFileSync('git', ['-C', root, '-c', 'user.name=t', '-c', 'user.email=t@t', '-c', 'commit.gpgsign=false', ...words], { encoding: 'utf8' }) // biome-ignore format: one command
  const commit = (message: string) => {
    git('add', '-A')
    git('commit', '-qm', message)
  }
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'cedargate-diff-'))
    git('init', '-q')
    await withFiles(tmpdir(), FILES, (from) => cp(from, join(root, 'gate'), { recursive: true }))
    commit('first')
    const file = join(root, 'gate/cedar/shop.cedar')
    await writeFile(file, POLICIES.shop.replace('"read"', '"write"'))
    commit('second')
    await writeFile(file, POLICIES.shop)
  })
  afterAll(() => rm(root, { recursive: true }))

  test('between two commits: a policy changed and a decision flips', async () => {
    const { code, stdout, stderr } = await policy('diff', 'HEAD~1', 'HEAD', join(root, 'gate'))
    expect(code).toBe(5)
    expect(stdout).toMatch(/^~ policy shop\/find\n {4}before .*"read".*\n {4}after .*"write"/)
    expect(stdout).toContain('! tests/a.yaml: shop/find › ann: allow (permit) by shop/find → deny (no_permit) by nothing')
    expect(stderr).toContain('1 of 1 decisions flip')
  }) // biome-ignore format: a long line

  test('with the files as they are, and nothing between equals', async () => {
    const same = await policy('diff', 'HEAD~1', '.', join(root, 'gate'), '--format', 'json')
    expect(same.code).toBe(0)
    expect(JSON.parse(same.stdout)).toEqual({ gateway: false, policies: [], servers: [], flips: [], asked: 1 })
    expect((await policy('diff', 'HEAD', '.', join(root, 'gate'))).code).toBe(5)
    expect(git('status', '--short')).toBe(' M gate/cedar/shop.cedar\n')
  }) // biome-ignore format: a long line

  test.each([
    ['nowhere', 2, '`nowhere` is no revision'],
    ['--output=/dev/null', 2, 'unknown option'],
    ['HEAD:gate', 2, '`HEAD:gate` is no revision'],
  ])('%s', async (revision, code, says) => {
    const ended = await policy('diff', revision, '.', join(root, 'gate'))
    expect([ended.code, ended.stderr]).toEqual([code, expect.stringContaining(says)])
  })

  test('a directory that the revision does not have', async () => {
    await withFiles(root, FILES, async (directory) => {
      const ended = await policy('diff', 'HEAD', '.', directory)
      expect([ended.code, ended.stderr]).toEqual([
        2,
        expect.stringContaining('`HEAD` has no bundle-'),
      ])
    })
  })

  test('a revision that is invalid says so, and which', async () => {
    await writeFile(join(root, 'gate/gateway.yaml'), 'nam: x\n')
    const ended = await policy('diff', 'HEAD', '.', join(root, 'gate'))
    expect([ended.code, ended.stderr]).toEqual([3, expect.stringContaining('.: gateway.yaml:1:1: error: ')])
  }) // biome-ignore format: a long line
})
