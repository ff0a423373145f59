// The command line without a gateway: what each command says of itself, and how it ends when there is none.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { SETTINGS } from '../../schemas/settings.ts'
import { runHere as run } from '../../test/harness/in-process.ts'
import { readConfig } from './config.ts'
import { runProgram } from './program.ts'
import { startFakeGateway } from './testing.ts'

const HOSTILE = '\u001b]0;owned\u0007\u001b[2J\u009b31m\r\u202e'
const SHOWN = String.raw`\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{d}\u{202e}`

const failing = (): never => {
  throw new Error(HOSTILE)
}

describe('--help', () => {
  test.each<{ words: string[]; names: string[] }>([
    { words: [], names: ['dev', 'pdp', 'pep', 'login', 'logout', 'whoami', 'grants', 'users', 'agents', 'acts', 'peps', 'decisions', 'ledger', 'tools', 'policy', 'bundles', 'credentials', 'keys', 'db', 'CEDARGATE_URL', 'CEDARGATE_TOKEN', 'Exit codes: 0 ok, 1 internal, 2 usage'] },
    { words: ['dev'], names: ['--bundle', 'CEDARGATE_HOME', 'CEDARGATE_PEP_PORT', 'CEDARGATE_PDP_PORT', 'DATABASE_URL', 'dev.json'] },
    { words: ['pdp'], names: ['DATABASE_URL', 'CEDARGATE_BUNDLE', 'CEDARGATE_PDP_SOCKET', 'cedargate keys create', 'cedargate db migrate'] },
    { words: ['pep'], names: ['--pdp <url|socket>', 'CEDARGATE_PEP_KEY', 'DATABASE_URL', 'cedargate_pep'] },
    { words: ['login'], names: ['--url', '--device', '--no-device', '--no-browser', '--bootstrap <token>', '--user', 'stdin', 'Example:', 'login.json', 'cedargate logout'] },
    { words: ['logout'], names: ['at the gateway'] },
    { words: ['whoami'], names: ['roles', '--format'] },
    { words: ['grants'], names: ['create', 'ls', 'show', 'rotate', 'revoke'] },
    { words: ['grants', 'create'], names: ['--user', '--nobody', '--agent', '--server', '--scope', 'mcp:destructive', '--team', '--expires', '90d', '--client', '--issuer', '--format', 'Examples:'] },
    { words: ['grants', 'ls'], names: ['--user', '--agent', '--server', '--state', 'agent_disabled', '--limit', '--before', '--format', 'Example:'] },
    { words: ['grants', 'show'], names: ['cedargate grants ls', '--format'] },
    { words: ['grants', 'rotate'], names: ['ends at once', '--format'] },
    { words: ['users'], names: ['add', 'ls', 'show', 'offboard', 'reinstate', 'unlink', 'roles'] },
    { words: ['users', 'add'], names: ['--team', '--no-team', '--scope', '--no-scope', '--issuer', '--subject', '--format', 'Examples:'] },
    { words: ['users', 'ls'], names: ['--team', '--limit', '--after', '--format'] },
    { words: ['users', 'show'], names: ['cedargate users ls', '--format'] },
    { words: ['users', 'offboard'], names: ['login sessions', 'cedargate users reinstate', '--format'] },
    { words: ['users', 'reinstate'], names: ['stays ended', 'cedargate grants create --client', '--format'] },
    { words: ['users', 'unlink'], names: ['login sessions', 'refused under this id', 'offboard them and do not unlink', 'cedargate users add', 'cedargate grants create --client', '--format'] },
    { words: ['users', 'roles'], names: ['policy-author', 'auditor', '--none', '--format', 'Example:'] },
    { words: ['agents'], names: ['ls', 'set', 'disable', 'enable'] },
    { words: ['agents', 'set'], names: ['--scope', '--no-scope', '--format', 'Example:'] },
    { words: ['agents', 'disable'], names: ['within a second', '--format'] },
    { words: ['agents', 'enable'], names: ['--format'] },
    { words: ['acts', 'ls'], names: ['--by', '--act', '--limit', '--before', '--format'] },
    { words: ['grants', 'revoke'], names: ['cedargate grants ls', 'within a second'] },
    { words: ['peps'], names: ['enroll', 'ls', 'revoke'] },
    { words: ['peps', 'enroll'], names: ['--server', '--format', 'CEDARGATE_PEP_KEY'] },
    { words: ['peps', 'ls'], names: ['--format'] },
    { words: ['peps', 'revoke'], names: ['cedargate peps ls'] },
    { words: ['decisions'], names: ['ls', 'show', 'tail'] },
    { words: ['decisions', 'ls'], names: ['--user', '--agent', '--server', '--tool', '--verdict', '--code', '--limit', '--before', '--format'] },
    { words: ['decisions', 'show'], names: ['--format'] },
    { words: ['decisions', 'tail'], names: ['--user', '--format', 'Ctrl-C'] },
    { words: ['ledger', 'fsck'], names: ['--format', 'exit 6'] },
    { words: ['tools'], names: ['lock', 'check', 'diff', 'classify', 'approve', 'ls'] },
    { words: ['tools', 'lock'], names: ['--bearer', '--stdin', '--file', '<server>', '--bundle', 'CEDARGATE_BUNDLE', '--add-variants', 'risk', 'Example:'] },
    { words: ['tools', 'check'], names: ['[server...]', '--bundle', '--format', 'exit 5 on drift, 2 if one could not'] },
    { words: ['tools', 'diff'], names: ['<server[/tool]>', '--bundle', '--format', 'exit 5', 'Example:'] },
    { words: ['tools', 'classify'], names: ['[server...]', '--bundle', '--format'] },
    { words: ['tools', 'approve'], names: ['<server/tool>', '--expect', '--variant', '--risk', '--bundle', 'Example:'] },
    { words: ['tools', 'ls'], names: ['--held', '--format'] },
    { words: ['policy'], names: ['check', 'fmt', 'test', 'explain', 'schema', 'scaffold', 'diff', 'CEDARGATE_HOME', '3 the bundle is invalid'] },
    { words: ['policy', 'check'], names: ['[bundle]', '--warnings-as-errors', 'github'] },
    { words: ['policy', 'fmt'], names: ['--check', '--format'] },
    { words: ['policy', 'test'], names: ['--junit <file>', '--allow-none', '--format', 'cedar run-tests'] },
    { words: ['policy', 'explain'], names: ['--user', '--team', '--agent', '--server', '--tool', '--args', '--method', '--params', '--at', '--format', 'Example:'] },
    { words: ['policy', 'schema'], names: ['--stdout', '--check', 'cedargate.cedarschema'] },
    { words: ['policy', 'scaffold'], names: ['--team', '--owner', '--write', 'must not exist'] },
    { words: ['policy', 'diff'], names: ['<before> <after> [bundle]', '--format', 'exit 5', 'Example:'] },
    { words: ['bundles'], names: ['ls', 'show', 'diff', 'activate'] },
    { words: ['bundles', 'ls'], names: ['--format', 'last activated first'] },
    { words: ['bundles', 'show'], names: ['[id]', '`previous`', '--format'] },
    { words: ['bundles', 'diff'], names: ['<id> [id]', 'exit 5', '--format'] },
    { words: ['bundles', 'activate'], names: ['[id]', '--follow', '--format', 'roll back', 'activate previous', 'activate --follow'] },
    { words: ['credentials'], names: ['set', 'connect', 'ls', 'test', 'rotate', 'rm', 'never come out'] },
    { words: ['credentials', 'set'], names: ['--server', '--user', '--header', '--env', '--bearer', '--basic', '--client', '--stdin', '--file', '--format', 'Examples:'] },
    { words: ['credentials', 'connect'], names: ['--server', '--user', '--no-browser', '--no-wait', '--format', 'Example:'] },
    { words: ['credentials', 'ls'], names: ['--server', '--user', '--limit', '--after', '--format', 'Example:'] },
    { words: ['credentials', 'test'], names: ['cedargate credentials ls', 'exit 3', '--format'] },
    { words: ['credentials', 'rotate'], names: ['--header', '--env', '--stdin', '--file', 'access token', '--format', 'Examples:'] },
    { words: ['credentials', 'rm'], names: ['cedargate credentials ls', 'revoke it there too', '--format'] },
    { words: ['keys', 'ls'], names: ['--format'] },
    { words: ['keys', 'rotate'], names: ['--stage', '--use', '--rewrap', '--drop', 'CEDARGATE_HOME', '--format'] },
    { words: ['keys', 'create'], names: ['CEDARGATE_HOME', 'never overwrites'] },
    { words: ['db', 'migrate'], names: ['DATABASE_URL'] },
    { words: ['db', 'bootstrap'], names: ['DATABASE_URL', 'cedargate login --bootstrap'] },
  ])('cedargate $words', async ({ words, names }) => {
    const { code, stdout, stderr } = await run([...words, '--help'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(new RegExp(`^Usage: ${['cedargate', ...words].join(' ')} `))
    for (const name of names) expect(stdout.replaceAll(/\s+/g, ' ')).toContain(name)
  }) // biome-ignore format: a table

  test('every setting is explained by some command', async () => {
    const helps = await Promise.all(
      [[], ['dev'], ['pdp'], ['pep']].map((words) => run([...words, '--help'])),
    )
    const text = helps.map(({ stdout }) => stdout).join('\n')
    expect([...SETTINGS].filter((name) => !new RegExp(`\\b${name}\\b`).test(text))).toEqual([])
  })
})

describe('usage', () => {
  test.each<{ words: string[]; says: RegExp }>([
    { words: ['conjure'], says: /unknown command 'conjure'/ },
    { words: ['grants', 'conjure'], says: /unknown command 'conjure'/ },
    { words: ['grants', 'ls', '--colour'], says: /unknown option '--colour'/ },
    { words: ['grants', 'ls', '--format', 'yaml'], says: /'yaml' is invalid\. Allowed choices are text, json/ },
    { words: ['decisions', 'ls', '--limit', '1e9'], says: /a whole number from 1 to 1000/ },
    { words: ['decisions', 'show'], says: /missing required argument 'id'/ },
    { words: ['grants', 'revoke', 'a', 'b'], says: /too many arguments/ },
    { words: ['peps', 'enroll'], says: /required option '--server <id>'/ },
    { words: ['tools', 'lock'], says: /missing required argument 'server'/ },
    { words: ['tools', 'lock', '../etc'], says: /`\.\.\/etc` is no server id/ },
    { words: ['tools', 'lock', 'files', '--bundle', 'nowhere'], says: /server\.yaml cannot be read\nhint: write a server\.yaml first/ },
    { words: ['tools', 'check', '--bundle', 'nowhere'], says: /is no bundle: it has no `servers`\nhint: .*--bundle <dir>/ },
    { words: ['tools', 'approve', 'files/read_file'], says: /required option '--expect <hash>'/ },
    { words: ['tools', 'approve', 'files/read_file', '--expect', 'abc'], says: /64 hex digits/ },
    { words: ['tools', 'approve', 'files', '--expect', 'removed'], says: /name one tool: <server>\/<tool>/ },
    { words: ['policy', 'check', '--format', 'sarif'], says: /Allowed choices are text, json, github/ },
    { words: ['policy', 'explain'], says: /required option '--server <id>'/ },
    { words: ['policy', 'scaffold', 'files'], says: /required option '--team <id>'/ },
    { words: ['bundles', 'diff'], says: /missing required argument 'id'/ },
    { words: ['bundles', 'ls', '--format', 'yaml'], says: /Allowed choices are text, json/ },
    { words: ['policy', 'diff', 'HEAD'], says: /missing required argument 'after'/ },
  ])('$words: exit 2', async ({ words, says }) => {
    const { code, stdout, stderr } = await run(words)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(says)
  }) // biome-ignore format: a table

  test('--version', async () => {
    expect(await run(['--version'])).toEqual({ code: 0, stdout: '0.0.0-test\n', stderr: '' })
  })

  test('a command alone says what it has', async () => {
    const { code, stdout, stderr } = await run(['grants'])
    expect({ code, said: `${stdout}${stderr}`.includes('create') }).toEqual({ code: 2, said: true })
  })
})

describe('the gateway it talks to', () => {
  let home: string
  let server: Server
  let url: string
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'cedargate-program-'))
    server = createServer((request, answer) => {
      if (request.url?.includes('fsck') !== true) return answer.end('hello')
      answer.write('{"kind":"progress","checked":1,"total":9}\n')
      return setTimeout(() => answer.destroy(), 50)
    })
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve)
    })
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(async () => {
    server.close()
    await rm(home, { recursive: true })
  })

  test('none was ever started', async () => {
    const { code, stderr } = await run(['grants', 'ls'], { CEDARGATE_HOME: home })
    expect(code).toBe(2)
    expect(stderr).toMatch(/^cedargate: no running gateway found: .*dev\.json does not exist\nhint: start one with `npm start`, or sign in to one: cedargate login --url https:\/\/<pdp>\n$/)
  }) // biome-ignore format: long lines

  test.each([
    'http://pdp.example.com', 'http://127.0.0.1.example.com', 'http://127.0.0.1@example.com', 'http://10.0.0.1:8181', 'ftp://127.0.0.1', 'pdp',
  ])('the token is not sent to %s', async (CEDARGATE_URL) => {
    const asked = vi.spyOn(globalThis, 'fetch')
    const { code, stderr } = await run(['grants', 'ls'], { CEDARGATE_URL, CEDARGATE_TOKEN: 'cgo' })
    expect(code).toBe(2)
    expect(stderr).toBe(`cedargate: CEDARGATE_URL: \`${CEDARGATE_URL}\` is not an https URL\nhint: http is for this machine alone (127.0.0.1, localhost): name an https URL, or a tunnel's end here\n`)
    expect(asked).not.toHaveBeenCalled()
    asked.mockRestore()
  }) // biome-ignore format: long lines

  test('nobody answers: what was asked for may run elsewhere', async () => {
    await writeFile(join(home, 'dev.json'), '{"pdpUrl":"http://127.0.0.1:1","operatorToken":"cgo"}')
    const own = await run(['grants', 'ls'], { CEDARGATE_HOME: home })
    await rm(join(home, 'dev.json'))
    expect(own).toMatchObject({ code: 2, stderr: 'cedargate: no gateway answers at http://127.0.0.1:1\nhint: start one with `npm start`, or sign in to one: cedargate login --url https://<pdp>\n' })
    const named = await run(['grants', 'ls'], { CEDARGATE_URL: 'http://127.0.0.1:1', CEDARGATE_TOKEN: 'cgo' })
    expect(named).toMatchObject({ code: 2, stderr: 'cedargate: no gateway answers at http://127.0.0.1:1\nhint: check that its PDP runs and has that URL; `cedargate login --url https://<pdp>` signs in to another\n' })
  }) // biome-ignore format: long lines

  test.each<{ env: Record<string, string> }>([
    { env: { CEDARGATE_URL: 'http://127.0.0.1:1' } },
    { env: { CEDARGATE_TOKEN: 'cgo' } },
  ])('$env alone is half of what it takes', async ({ env }) => {
    const { code, stderr } = await run(['grants', 'ls'], { CEDARGATE_HOME: home, ...env })
    expect(code).toBe(2)
    expect(stderr).toContain('CEDARGATE_URL and CEDARGATE_TOKEN belong together')
  })

  test.each<{ name: string; url: () => string; says: RegExp }>([
    { name: 'nobody', url: () => 'http://127.0.0.1:1', says: /no gateway answers at http:\/\/127\.0\.0\.1:1\n/ },
    { name: 'something else', url: () => url, says: /is no Cedargate PDP, or one of another release\n/ },
  ])('$name is there', async ({ url: of, says }) => {
    const { code, stdout, stderr } = await run(['grants', 'ls'], { CEDARGATE_URL: of(), CEDARGATE_TOKEN: 'cgo' })
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(says)
    expect(stderr).not.toContain('    at ')
  }) // biome-ignore format: long lines

  test('a refusal with words that a server chose moves no cursor and sets no title', async () => {
    const gateway = await startFakeGateway()
    const message = `its authorization server ${HOSTILE} cannot be used`
    gateway.answer({ on: 'GET /admin/v1/acts?limit=20', status: 400, answers: { message } })
    const { code, stderr } = await run(['acts', 'ls', '--limit', '20'], { CEDARGATE_URL: gateway.url, CEDARGATE_TOKEN: 'cgo' })
    await gateway.close()
    expect({ code, stderr }).toEqual({ code: 2, stderr: `cedargate: its authorization server ${SHOWN} cannot be used\n` })
  }) // biome-ignore format: long lines

  test.each([
    { name: 'an error that is no word of ours', words: ['--version'], code: 1 },
    { name: 'an argument', words: [`grants${HOSTILE}`], code: 2 },
  ])('$name does not either', async ({ words, code }) => {
    const said: string[] = []
    const io = { out: failing, err: (text: string) => void said.push(text) }
    expect(await runProgram(words, readConfig({}), io, '0.0.0')).toBe(code)
    expect(said.join('\n')).toContain(SHOWN)
    expect(said.join('\n')).not.toMatch(/[^\n\P{Cc}]/u)
  })

  test('a check that is cut off is no check: exit 2', async () => {
    const { code, stderr } = await run(['ledger', 'fsck'], { CEDARGATE_URL: url, CEDARGATE_TOKEN: 'cgo' })
    expect(code).toBe(2)
    expect(stderr).toMatch(/ended its answer too early\n$/)
  }) // biome-ignore format: long lines

  test('dev.json is damaged', async () => {
    await writeFile(join(home, 'dev.json'), '{"pdpUrl":')
    const { code, stderr } = await run(['grants', 'ls'], { CEDARGATE_HOME: home })
    expect(code).toBe(2)
    expect(stderr).toMatch(/^cedargate: .*dev\.json is damaged\nhint: stop the gateway and start it again\n$/)
  }) // biome-ignore format: long lines
})
