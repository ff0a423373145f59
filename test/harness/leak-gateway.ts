// Owns a gateway for the search for leaked credentials: `cedargate pdp` and `cedargate pep` as processes of their own over
// PostgreSQL, everything logged, and servers of each kind of credential that give theirs away. Keeps all that came out.
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeToolsLock, toolsLockText } from '../../pdp/src/catalog/lock.ts'
import { freePort } from '../../pep/src/upstream/free-port.ts'
import { createdGrant, createdPep } from '../../schemas/admin-api.ts'
import { type AuthorizationServer, startAuthorizationServer } from './authorization-server.ts'
import { type Ended, endCommand, type Running, runCommandWith, startCommand } from './command.ts'
import { openBrowser } from './connecting.ts'
import { ECHOES, type EchoServer, startEchoServer } from './echo-server.ts'
import { type ProcessWatch, watchProcesses } from './everywhere.ts'
import { CLIENTS, startIdp } from './idp.ts'
import { jsonHere, runHere } from './in-process.ts'
import { firstAdmin } from './operators.ts'
import { type Answered, send } from './raw-http.ts'
import { filesBelow, type Places, tablesOf } from './secrets.ts'
import { servingUrl } from './service.ts'
import { createTestDatabase } from './store.ts'

export const CHILD_TOOLS = ['plain', 'proof', 'result', 'coded', 'error', 'notify', 'noise', 'denied', 'crash', 'die', 'hang', 'split'] // biome-ignore format: a list
const CHILD = join(import.meta.dirname, '../fixtures/echo-child/server.mjs')

/** Staff may do all, and nobody may call `denied`. */
const policies = (ids: readonly string[]): string => `
@id("gateway/discovery")
permit (principal == MCP::Agent::"cedargate", action == MCP::Action::"connect", resource);
@id("staff/all")
permit (principal in MCP::Team::"staff", action, resource);
@id("staff/denied")
forbid (principal, action in [${ids.map((id) => `MCP::Action::"${id}/denied"`).join()}], resource);
`

export type LeakGateway = {
  readonly echo: EchoServer
  readonly as: AuthorizationServer
  readonly databaseUrl: string
  readonly folder: string
  readonly urls: { readonly pdp: string; pep: string }
  readonly pids: () => { readonly pdp: number; readonly pep: number }
  /** Environment of a command of the first admin. */
  readonly admin: Readonly<Record<string, string>>
  /** The command as a process, with `input` on stdin. */
  readonly command: (input: string, ...words: string[]) => Promise<Ended>
  readonly json: (...words: string[]) => Promise<unknown>
  /** As alice, or without a token; what comes back is kept as `where`. */
  readonly ask: (where: string, asked: Asked) => Promise<Answered>
  readonly keep: (where: string, text: string) => void
  /** All that was kept as `where`. */
  readonly said: (where: string) => string
  readonly logOf: (name: string) => string
  /** Connects alice's account at `server` in a browser; what the pages say is kept. */
  readonly connect: (server: string) => Promise<void>
  readonly killPep: () => Promise<void>
  /** All that could hold a secret. */
  readonly places: () => Promise<Places>
  readonly stop: () => Promise<void>
}
export type Asked = {
  readonly server: string
  readonly method?: string
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

export type Declared = Readonly<Record<string, (url: string, issuer: string) => string>>

/** `declared`: server.yaml by id, with the origins of the echo server and of the authorization server. */
export async function startLeakGateway(declared: Declared): Promise<LeakGateway> {
  const folder = await mkdtemp(join(tmpdir(), 'cedargate-leak-'))
  const at = (...names: string[]): string => join(folder, ...names)
  for (const name of ['pdp', 'pep', 'tmp', 'cwd']) await mkdir(at(name))
  const [echo, as, idp] = await Promise.all([
    startEchoServer(),
    startAuthorizationServer(),
    startIdp(),
  ])
  await writeServers(at('bundle'), declared, [echo.url, as.issuer])
  await writeFile(at('login.yaml'), `issuer: ${idp.issuer}\nclientId: ${CLIENTS.cli}\n`)
  const databaseUrl = (await createTestDatabase()) ?? ''
  await jsonHere(['keys', 'create'], { CEDARGATE_HOME: at('pdp') })
  await runHere(['db', 'migrate'], { DATABASE_URL: databaseUrl })
  const watch = watchProcesses((words) => words.includes(CHILD))
  const kept = new Map<string, Buffer>()
  const keep = (where: string, text: string): void => {
    kept.set(`${where} (${kept.size})`, Buffer.from(text))
  }
  const running: [string, Running][] = []
  const start = async (name: string, words: string[], env: Record<string, string>) => {
    const common = { CEDARGATE_LOG_LEVEL: 'debug', TMPDIR: at('tmp'), DATABASE_URL: databaseUrl }
    const started = startCommand(words, { ...common, CEDARGATE_HOME: at(name), ...env }, at('cwd'))
    running.push([name, started])
    return servingUrl(started)
  }
  const urls = {
    pdp: await start('pdp', ['pdp'], {
      CEDARGATE_BUNDLE: at('bundle'),
      CEDARGATE_PDP_PORT: String(await freePort()),
      CEDARGATE_LOGIN_FILE: at('login.yaml'),
    }),
    pep: '',
  }
  const printed = (): string => running.map(([, { stderr }]) => stderr()).join('\n')
  const token = await firstAdmin(urls.pdp, printed)
  const admin = { CEDARGATE_URL: urls.pdp, CEDARGATE_TOKEN: token }
  const json = (...words: string[]): Promise<unknown> => jsonHere(words, admin)
  const all = Object.keys(declared).flatMap((id) => ['--server', id])
  const { key } = createdPep.parse(await json('peps', 'enroll', ...all))
  const startPep = () =>
    start('pep', ['pep', '--pdp', urls.pdp], { CEDARGATE_PEP_KEY: key, CEDARGATE_PEP_PORT: '0' })
  const who = ['--user', 'alice', '--agent', 'demo', '--team', 'staff', ...all]
  const grant = createdGrant.parse(await json('grants', 'create', ...who))
  const last = (name: string): Running => {
    const found = running.findLast(([own]) => own === name)?.[1]
    if (found === undefined) throw new Error(`${name} was not started`)
    return found
  }
  const logOf = (name: string): string =>
    running
      .filter(([own]) => own === name)
      .map(([, { stdout, stderr }]) => stdout() + stderr())
      .join('\n')
  return {
    echo, as, databaseUrl, folder, urls, admin, json, keep, logOf,
    said: (where) => [...kept].filter(([name]) => name.includes(where)).map(([, text]) => text).join('\n'),
    pids: () => ({ pdp: last('pdp').child.pid ?? 0, pep: urls.pep === '' ? 0 : (last('pep').child.pid ?? 0) }),
    async command(input, ...words) {
      const ended = await runCommandWith(input, words, { ...admin, TMPDIR: at('tmp') })
      keep(`output of ${words.join(' ')}`, ended.stdout + ended.stderr)
      return ended
    },
    async ask(where, { server, method = 'POST', body, headers = {}, signal }) {
      if (urls.pep === '') urls.pep = await startPep()
      const { port, host } = new URL(urls.pep)
      const usual = { host, authorization: `Bearer ${grant.token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
      const length: Record<string, string> = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
      const own = Object.entries({ ...usual, ...length, ...headers })
      const sent = { port: Number(port), method, path: `/${server}/mcp`, headers: own, ...(body === undefined ? {} : { body }), ...(signal === undefined ? {} : { signal }) }
      const answered = await send(sent)
      keep(`answer of ${where}`, `${answered.status}\n${answered.rawHeaders.join('\n')}\n${answered.body}`)
      return answered
    },
    async connect(server) {
      await json('users', 'add', 'alice', '--issuer', idp.issuer, '--subject', 'alice')
      const request = async (url: string, init: RequestInit): Promise<Response> => {
        const answer = await fetch(new URL(url, urls.pdp), { ...init, redirect: 'manual' })
        keep(`page ${url.split('?')[0]}`, `${JSON.stringify([...answer.headers])}\n${await answer.clone().text()}`)
        return answer
      }
      const { status, text } = await openBrowser({ pdp: { app: { request } }, idp, as }).connect('alice', `/connect/${server}`)
      if (status !== 200) throw new Error(text)
    },
    async killPep() {
      await endCommand(last('pep'), 'SIGKILL')
      urls.pep = ''
    },
    async places() {
      for (const [name, url] of Object.entries(urls))
        keep(`metrics of ${name}`, await (await fetch(`${url}/metrics`)).text())
      const logs = ['pdp', 'pep'].map((name): [string, Buffer] => [`log of ${name}`, Buffer.from(logOf(name))])
      return new Map([...kept, ...logs, ...filesBelow(folder), ...(await tablesOf(databaseUrl)), ...watch.seen()])
    },
    async stop() {
      watch.stop()
      for (const [, { child }] of running) child.kill('SIGKILL')
      await Promise.all([echo.close(), as.stop(), idp.stop()])
      await rm(folder, { recursive: true, force: true })
    },
  } // biome-ignore format: long lines
}

async function writeServers(
  directory: string,
  declared: Declared,
  origins: [string, string],
): Promise<void> {
  await mkdir(join(directory, 'cedar'), { recursive: true })
  await writeFile(join(directory, 'gateway.yaml'), 'name: Leaks\n')
  await writeFile(join(directory, 'cedar/test.cedar'), policies(Object.keys(declared)))
  for (const [id, lines] of Object.entries(declared)) {
    const yaml = lines(...origins)
    const names = yaml.includes('command:') ? CHILD_TOOLS : Object.keys(ECHOES)
    const tools = names.map((name) => ({ name, inputSchema: { type: 'object' as const } }))
    await mkdir(join(directory, 'servers', id), { recursive: true })
    await writeFile(join(directory, 'servers', id, 'server.yaml'), yaml)
    const lock = toolsLockText(makeToolsLock(tools))
    await writeFile(join(directory, 'servers', id, 'tools.lock.json'), lock)
  }
}

/** server.yaml of a process on stdio that gives its environment away. */
export function childServer(): string {
  return `command: node\nargs: [${JSON.stringify(CHILD)}]\ncredential: { kind: env, names: [API_KEY] }\n`
}

/** Random, and full of what encodings change. */
export function canary(name: string): string {
  return `${name}"\\/+ %${randomBytes(24).toString('hex')}&='<`
}
