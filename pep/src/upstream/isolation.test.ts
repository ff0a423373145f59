// What keeps the servers that a PEP starts from what is not theirs, with real children that try: in bubblewrap, as another
// user, and without either, where the same children get at all of it.
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Upstream } from '../../../schemas/pep-api.ts'
import {
  countingSql,
  createTestPdp,
  post,
  type RunningTestPep,
  startTestPep,
  toolCall,
  until,
} from '../testing.ts'
import type { Kept } from './bubblewrap.ts'
import { openIsolation } from './isolation.ts'
import { whyNoBubblewrap, whyNoOtherUser } from './testing-isolation.ts'

/** Does what it is told with a path, and says how that went. */
const SCRIPT = `
const fs = require('node:fs')
const environs = () => fs.readdirSync('/proc').filter((name) => /^\\d+$/.test(name)).map((pid) => {
  try { return fs.readFileSync('/proc/' + pid + '/environ', 'utf8') } catch { return '' }
})
const act = {
  read: ({ path }) => fs.statSync(path).isDirectory() ? fs.readdirSync(path).toSorted().join() : fs.readFileSync(path, 'utf8'),
  write: ({ path }) => { fs.writeFileSync(path, 'written'); return 'written' },
  whereami: () => process.cwd() + ' ' + process['env'].HOME + ' ' + process.getuid(),
  searched: ({ text }) => String(environs().some((environ) => environ.includes(text))),
}
const answer = (name, args) => { try { return act[name](args) } catch (error) { return error.code ?? String(error) } }
const take = ({ id, method, params }) => {
  if (method === 'initialize') return { id, result: { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 's', version: '1' } } }
  if (method === 'tools/call') return { id, result: { content: [], said: answer(params.name, params.arguments) } }
  return { id, result: { tools: [] } }
}
const text = (line) => { const message = JSON.parse(line); return message.id === undefined ? '' : JSON.stringify({ jsonrpc: '2.0', ...take(message) }) }
if (process['env'].PORT === undefined) require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => process.stdout.write(text(line) + '\\n'))
else require('node:http').createServer((request, response) => {
  let body = ''
  request.on('data', (chunk) => { body += chunk })
  request.on('end', () => { response.setHeader('content-type', 'application/json'); response.end(body === '' ? '{}' : text(body)) })
}).listen(process['env'].PORT)`

let folder: string
let home: string
let kept: Kept
const inHome = (...path: string[]) => join(home, ...path)
const env = { PATH: [dirname(process.execPath), '/usr/bin', '/bin'].join(delimiter) }
const silent = pino({ level: 'silent' })

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'cedargate-isolation-')))
  await chmod(folder, 0o755)
  home = join(folder, 'home')
  await mkdir(home, { mode: 0o700 })
  for (const name of ['keys', 'demo', 'other']) await mkdir(inHome(name))
  await mkdir(join(folder, 'may'), { mode: 0o777 })
  await chmod(join(folder, 'may'), 0o777)
  await writeFile(inHome('keys', 'deployment'), 'a key')
  await writeFile(inHome('tokens.json'), 'tokens')
  await writeFile(inHome('demo', 'notes.txt'), 'notes')
  await writeFile(inHome('other', 'own.txt'), 'of another')
  await writeFile(join(folder, 'open.txt'), 'for everybody')
  await writeFile(join(folder, 'pep.key'), 'the key of the PEP', { mode: 0o600 })
  kept = { home, secrets: [inHome('keys'), inHome('tokens.json'), join(folder, 'pep.key')] }
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const server = (id: string, change: Partial<Upstream> = {}): Upstream => ({
  id,
  transport: 'stdio',
  command: 'node',
  args: ['-e', SCRIPT],
  env: {},
  url: null,
  cwd: null,
  writable: null,
  instructions: 'withhold',
  ...change,
})

type Opened = RunningTestPep & {
  readonly ask: (server: string, tool: string, args?: object) => Promise<string>
}
const open: Opened[] = []
afterEach(async () => {
  for (const pep of open.splice(0)) await pep.close()
})

async function begin(url: string): Promise<Record<string, string>> {
  const clientInfo = { name: 'c', version: '1' }
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo }
  const { headers } = await post(url, { id: 0, method: 'initialize', params })
  const id = headers['mcp-session-id']
  return id === undefined ? {} : { 'mcp-session-id': String(id) }
}

async function startIsolated(setting: string, ...upstreams: Upstream[]): Promise<Opened> {
  const isolation = await openIsolation(setting, {
    env,
    kept,
    log: silent,
    uid: process.getuid?.(),
  })
  const pdp = createTestPdp(upstreams)
  const pep = await startTestPep({ pdp: pdp.port, sql: countingSql(), env, isolation })
  const sessions = new Map<string, Record<string, string>>()
  const opened: Opened = {
    ...pep,
    async ask(id, tool, args = {}) {
      const url = `${pep.url}/${id}/mcp`
      const session = sessions.get(id) ?? (await begin(url))
      sessions.set(id, session)
      const { json, text } = await post(url, toolCall(tool, args), session)
      return (json.result?.['said'] as string | undefined) ?? text
    },
  }
  open.push(opened)
  return opened
}
const environ = () => `/proc/${process.pid}/environ`

/** What a server that names nothing of the home gets to read. */
async function tried(pep: Opened, id = 'probe'): Promise<Record<string, string>> {
  const paths = {
    home, key: inHome('keys', 'deployment'), tokens: inHome('tokens.json'), others: inHome('other', 'own.txt'),
    demo: inHome('demo', 'notes.txt'), pepKey: join(folder, 'pep.key'), environ: environ(), open: join(folder, 'open.txt'),
  } // biome-ignore format: a list
  const all = Object.entries(paths).map(async ([name, path]) => [name, await pep.ask(id, 'read', { path })])
  return Object.fromEntries(await Promise.all(all)) as Record<string, string>
} // biome-ignore format: long lines

test('without isolation, a server reads what the gateway reads', async () => {
  const pep = await startIsolated('off', server('probe'), server('other', { env: { CANARY: 'of the other' } }))
  expect(await tried(pep)).toMatchObject({
    home: 'demo,keys,other,tokens.json', key: 'a key', tokens: 'tokens', others: 'of another', pepKey: 'the key of the PEP',
    environ: expect.stringContaining('PATH='), open: 'for everybody',
  })
  await pep.ask('other', 'whereami')
  expect(await pep.ask('probe', 'searched', { text: 'CANARY=of the other' })).toBe('true')
}) // biome-ignore format: long lines

describe.runIf(whyNoBubblewrap() === undefined)('in bubblewrap', () => {
  test('a server sees nothing of the gateway, nor of another server', async () => {
    const other = server('other', { cwd: inHome('other'), env: { CANARY: 'of the other' } })
    const pep = await startIsolated('bubblewrap', server('probe'), other)
    expect(await pep.ask('other', 'read', { path: inHome('other', 'own.txt') })).toBe('of another')
    expect(await tried(pep)).toEqual({
      home: '', key: 'ENOENT', tokens: 'ENOENT', others: 'ENOENT', demo: 'ENOENT', pepKey: 'EACCES', environ: 'ENOENT',
      open: 'for everybody',
    }) // biome-ignore format: a table
    expect(await pep.ask('probe', 'searched', { text: 'CANARY=of the other' })).toBe('false')
    expect(await pep.ask('probe', 'read', { path: '/proc/1/environ' })).not.toContain('CEDARGATE')
  })

  test('the demo server of the example bundle works there', async () => {
    const demo = { command: 'mcp-server-filesystem', args: [inHome('demo')], cwd: inHome('demo') }
    const pep = await startIsolated('bubblewrap', server('files', demo))
    const said = await pep.ask('files', 'read_text_file', { path: inHome('demo', 'notes.txt') })
    expect(said).toContain('"text":"notes"')
  })

  test('also one that speaks HTTP', async () => {
    const url = 'http://127.0.0.1:${PORT}/mcp'
    const pep = await startIsolated('bubblewrap', server('probe', { transport: 'http', url, env: { PORT: '${PORT}' } }))
    expect(await tried(pep)).toMatchObject({ home: '', key: 'ENOENT', pepKey: 'EACCES', environ: 'ENOENT', open: 'for everybody' })
  }) // biome-ignore format: long lines

  test.each([
    { how: 'as its directory', change: () => ({ cwd: inHome('demo') }) },
    { how: 'in an argument', change: () => ({ args: ['-e', SCRIPT, inHome('demo')] }) },
    { how: 'in an option', change: () => ({ args: ['-e', SCRIPT, '--', `--root=${inHome('demo')}`] }) },
  ])('what it names of the home $how comes back, to read and to write, and nothing else', async ({ change }) => {
    const pep = await startIsolated('bubblewrap', server('files', change()))
    expect(await tried(pep, 'files')).toMatchObject({ home: 'demo', demo: 'notes', key: 'ENOENT', others: 'ENOENT', tokens: 'ENOENT' })
    expect(await pep.ask('files', 'write', { path: inHome('demo', 'new.txt') })).toBe('written')
    expect(await readFile(inHome('demo', 'new.txt'), 'utf8')).toBe('written')
    expect(await pep.ask('files', 'write', { path: inHome('new.txt') })).toBe('EROFS')
    await rm(inHome('demo', 'new.txt'))
  }) // biome-ignore format: long lines

  test.each([
    { of: 'the home', path: () => home },
    { of: 'what is above it', path: () => folder },
    { of: 'the keys', path: () => inHome('keys') },
    { of: 'the home by a way around', path: () => `${inHome('demo')}/..` },
  ])('secrets stay hidden from a server that names $of', async ({ path }) => {
    const named = { args: ['-e', SCRIPT, path()], writable: [path()] }
    const pep = await startIsolated('bubblewrap', server('greedy', named))
    expect(await tried(pep, 'greedy')).toMatchObject({
      key: 'ENOENT',
      tokens: 'ENOENT',
      pepKey: 'EACCES',
    })
  })

  test('`writable` is all that it may write', async () => {
    const may = join(folder, 'may')
    const named = { cwd: inHome('demo'), writable: [may, inHome('other')] }
    const pep = await startIsolated('bubblewrap', server('limited', named))
    const write = (path: string) => pep.ask('limited', 'write', { path })
    expect(await write(join(may, 'a.txt'))).toBe('written')
    expect(await write(inHome('other', 'a.txt'))).toBe('written')
    expect(await write(inHome('demo', 'a.txt'))).toBe('EROFS')
    expect(await write(join(folder, 'a.txt'))).toBe('EROFS')
    expect(await pep.ask('limited', 'read', { path: inHome('demo', 'notes.txt') })).toBe('notes')
    await rm(inHome('other', 'a.txt'))
  })

  test('nothing of the machine is changed from inside, root or not', async () => {
    const pep = await startIsolated('bubblewrap', server('probe'))
    for (const path of ['/proc/sys/kernel/hostname', '/sys/kernel/uevent_seqnum'])
      expect(await pep.ask('probe', 'write', { path })).toMatch(/^(EROFS|EACCES|ENOENT)$/)
  })

  test('a command that is not there is unavailable', async () => {
    const pep = await startIsolated('bubblewrap', server('missing', { command: 'no-such-command' }))
    expect(await pep.ask('missing', 'read')).toContain('unknown_session')
  })
})

describe.runIf(whyNoOtherUser() === undefined)('as another user', () => {
  test('a server sees nothing of the gateway', async () => {
    const pep = await startIsolated('user:nobody', server('probe'), server('other', { cwd: inHome('other') }))
    expect(await tried(pep)).toEqual({
      home: 'EACCES', key: 'EACCES', tokens: 'EACCES', others: 'EACCES', demo: 'EACCES', pepKey: 'EACCES', environ: 'EACCES',
      open: 'for everybody',
    })
    expect(await pep.ask('probe', 'write', { path: join(folder, 'new.txt') })).toBe('EACCES')
    const [, userHome, uid] = (await pep.ask('probe', 'whereami')).split(' ')
    expect(userHome).not.toBe(homedir())
    expect(Number(uid)).toBeGreaterThan(0)
  }) // biome-ignore format: long lines

  test('whose rights reach the home or the key, nothing is started', async () => {
    await chmod(home, 0o755)
    await expect(startIsolated('user:nobody')).rejects.toThrow(`CEDARGATE_ISOLATION=user:nobody: that user can read ${home}`)
    await chmod(home, 0o700)
    await chmod(join(folder, 'pep.key'), 0o644)
    await expect(startIsolated('user:nobody')).rejects.toThrow(`can read ${join(folder, 'pep.key')}`)
    await chmod(join(folder, 'pep.key'), 0o600)
  }) // biome-ignore format: long lines
})

function isolated(setting: string, change: object = {}, lines: object[] = []) {
  const write = (line: string) => void lines.push(JSON.parse(line) as object)
  const log = pino({ level: 'warn' }, { write })
  return openIsolation(setting, { env, kept, log, uid: process.getuid?.(), ...change })
}

describe('what cannot be had', () => {
  const nowhere = { env: { PATH: '/nowhere' } }

  test('keeps the PEP from starting, and says what to do', async () => {
    await expect(isolated('bubblewrap', nowhere)).rejects.toThrow(
      /^CEDARGATE_ISOLATION=bubblewrap: there is no `bwrap` in PATH; `apt-get install bubblewrap`/,
    )
    await expect(isolated('user:nobody', { uid: 1000 })).rejects.toThrow(
      'CEDARGATE_ISOLATION=user:nobody: only a PEP that runs as root',
    )
    await expect(isolated('user:nobody', { ...nowhere, uid: 0 })).rejects.toThrow('install util-linux')
  }) // biome-ignore format: long lines

  test.runIf(whyNoOtherUser() === undefined).each([
    { user: 'root', why: 'that user is root' },
    { user: 'no-such-user', why: 'there is no such user' },
  ])('user:$user: $why', async ({ user, why }) => {
    await expect(isolated(`user:${user}`)).rejects.toThrow(why)
  })

  test('is done without by `auto`, with one warning that names the setting', async () => {
    const lines: { msg?: string }[] = []
    const isolation = await isolated('auto', nowhere, lines)
    const command = { command: 'x', args: [], env: {}, cwd: undefined, writable: null }
    expect(await isolation(command)).toBe(command)
    expect(lines).toEqual([
      expect.objectContaining({ msg: expect.stringContaining('CEDARGATE_ISOLATION') }),
    ])
  })

  test.runIf(whyNoBubblewrap() === undefined)('`auto` is bubblewrap where that works, without a word', async () => {
    const lines: object[] = []
    const isolation = await isolated('auto', {}, lines)
    const command = { command: 'x', args: [], env: {}, cwd: undefined, writable: null }
    expect((await isolation(command)).command).toMatch(/\/bwrap$/)
    expect(lines).toEqual([])
  }) // biome-ignore format: long lines
})

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return '' // It ended meanwhile.
  }
}

/** Shells with this word in their command line, as the machine sees them. */
function shells(word: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const own = pids.map((pid) => ({ pid: Number(pid), line: commandLine(pid) }))
  return own
    .filter(({ line }) => line.startsWith('sh\0') && line.includes(word))
    .map(({ pid }) => pid)
}

const settings = [
  { setting: 'off', why: undefined, outlives: true },
  { setting: 'bubblewrap', why: whyNoBubblewrap(), outlives: false },
  { setting: 'user:nobody', why: whyNoOtherUser(), outlives: false },
].filter(({ why }) => why === undefined)

/** A server that is deaf to all but SIGKILL: it reads nothing, and ignores that its input ends. */
const DEAF = "trap '' TERM HUP INT; while :; do sleep 0.1; done"

test.each(settings)('a deaf server under $setting outlives a killed PEP: $outlives', async ({ setting, outlives }) => {
  const word = `deaf-${randomUUID()}`
  const code = `
    import { openIsolation } from ${JSON.stringify(new URL('./isolation.ts', import.meta.url).href)}
    import { startChild } from ${JSON.stringify(new URL('./child.ts', import.meta.url).href)}
    const env = ${JSON.stringify(env)}
    const isolation = await openIsolation(${JSON.stringify(setting)}, { env, kept: ${JSON.stringify(kept)}, log: console, uid: process.getuid() })
    await startChild({ command: 'sh', args: ['-c', process['env'].DEAF, 'sh', ${JSON.stringify(word)}], env, cwd: undefined, writable: null }, isolation)`
  const pep = spawn(process.execPath, ['--input-type=module', '-e', code], { env: { ...env, DEAF }, stdio: 'inherit' })
  await until(() => shells(word).length > 0)
  pep.kill('SIGKILL')
  if (!outlives) await until(() => shells(word).length === 0)
  await sleep(500)
  expect(shells(word).length > 0).toBe(outlives)
  for (const pid of shells(word)) process.kill(pid, 'SIGKILL')
}) // biome-ignore format: long lines

test.runIf(whyNoBubblewrap() === undefined)('a home that was moved hides nothing: no server is started', async () => {
  const parent = await realpath(await mkdtemp(join(tmpdir(), 'cedargate-moved-')))
  const own = join(parent, 'home')
  await mkdir(own)
  const isolation = await openIsolation('bubblewrap', { env, kept: { home: own, secrets: [] }, log: silent, uid: process.getuid?.() })
  const command = { command: 'true', args: [], env, cwd: undefined, writable: null }
  expect((await isolation(command)).args).toContain(own)
  await rename(own, `${own}-away`)
  await expect(isolation(command)).rejects.toThrow('is not where it was')
  await rm(parent, { recursive: true })
}) // biome-ignore format: long lines
