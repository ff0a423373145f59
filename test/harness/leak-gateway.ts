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
import { watchProcesses } from './everywhere.ts'
import { CLIENTS, startIdp } from './idp.ts'
import { jsonHere, runHere } from './in-process.ts'
import { firstAdmin } from './operators.ts'
import { type Answered, type Sent, send } from './raw-http.ts'
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
  /** The command as a process, with `input` on stdin. */
  readonly command: (input: string, ...words: string[]) => Promise<Ended>
  /** What a command of the first admin prints. */
  readonly json: (...words: string[]) => Promise<unknown>
  /** As alice, or without a token; what comes back is kept as `where`. */
  readonly ask: (where: string, asked: Asked) => Promise<Answered>
  readonly keep: (where: string, text: string) => void
  /** All that was kept as `where`. */
  readonly said: (where: string) => string
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
  const at = (name: string): string => join(folder, name)
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
  const services = openServices(at, databaseUrl)
  const urls = { pdp: await services.startPdp(String(await freePort())), pep: '' }
  const token = await firstAdmin(urls.pdp, () => services.logOf('pdp'))
  const admin = { CEDARGATE_URL: urls.pdp, CEDARGATE_TOKEN: token }
  const all = Object.keys(declared).flatMap((id) => ['--server', id])
  const json = (...words: string[]): Promise<unknown> => jsonHere(words, admin)
  const { key } = createdPep.parse(await json('peps', 'enroll', ...all))
  const who = ['--user', 'alice', '--agent', 'demo', '--team', 'staff', ...all]
  const grant = createdGrant.parse(await json('grants', 'create', ...who))
  const { kept, keep, said } = openKept()
  return {
    echo, as, databaseUrl, folder, urls, json, keep, said,
    async command(input, ...words) {
      const ended = await runCommandWith(input, words, { ...admin, TMPDIR: at('tmp') })
      keep(`output of ${words.join(' ')}`, ended.stdout + ended.stderr)
      return ended
    },
    async ask(where, asked) {
      if (urls.pep === '') urls.pep = await services.startPep(urls.pdp, key)
      const answered = await send(sentOf(new URL(urls.pep), grant.token, asked))
      keep(`answer of ${where}`, `${answered.status}\n${answered.rawHeaders.join('\n')}\n${answered.body}`)
      return answered
    },
    async connect(server) {
      await json('users', 'add', 'alice', '--issuer', idp.issuer, '--subject', 'alice')
      const request = pagesOf(urls.pdp, keep)
      const { status, text } = await openBrowser({ pdp: { app: { request } }, idp, as }).connect('alice', `/connect/${server}`)
      if (status !== 200) throw new Error(text)
    },
    async killPep() {
      await services.killPep()
      urls.pep = ''
    },
    async places() {
      for (const [name, url] of Object.entries(urls))
        keep(`metrics of ${name}`, await (await fetch(`${url}/metrics`)).text())
      const logs = ['pdp', 'pep'].map((name): [string, Buffer] => [`log of ${name}`, Buffer.from(services.logOf(name))])
      return new Map([...kept, ...logs, ...filesBelow(folder), ...(await tablesOf(databaseUrl)), ...watch.seen()])
    },
    async stop() {
      watch.stop()
      services.kill()
      await Promise.all([echo.close(), as.stop(), idp.stop()])
      await rm(folder, { recursive: true, force: true })
    },
  } // biome-ignore format: long lines
}

/** What came out, by where. */
function openKept() {
  const kept = new Map<string, Buffer>()
  return {
    kept,
    keep: (where: string, text: string): void => {
      kept.set(`${where} (${kept.size})`, Buffer.from(text))
    },
    said: (where: string): string =>
      [...kept]
        .filter(([name]) => name.includes(where))
        .map(([, text]) => text)
        .join('\n'),
  }
}

/** The processes; each start of one is another. */
function openServices(at: (name: string) => string, databaseUrl: string) {
  const running: { readonly name: string; readonly service: Running }[] = []
  const start = async (name: string, words: string[], env: Record<string, string>) => {
    const common = { CEDARGATE_LOG_LEVEL: 'debug', TMPDIR: at('tmp'), DATABASE_URL: databaseUrl }
    const service = startCommand(words, { ...common, CEDARGATE_HOME: at(name), ...env }, at('cwd'))
    running.push({ name, service })
    return await servingUrl(service)
  }
  const all = (name: string): Running[] =>
    running.filter((one) => one.name === name).map(({ service }) => service)
  return {
    startPdp: (port: string) =>
      start('pdp', ['pdp'], {
        CEDARGATE_BUNDLE: at('bundle'),
        CEDARGATE_PDP_PORT: port,
        CEDARGATE_LOGIN_FILE: at('login.yaml'),
      }),
    startPep: (pdp: string, key: string) =>
      start('pep', ['pep', '--pdp', pdp], { CEDARGATE_PEP_KEY: key, CEDARGATE_PEP_PORT: '0' }),
    async killPep() {
      for (const service of all('pep')) await endCommand(service, 'SIGKILL')
    },
    logOf: (name: string): string =>
      all(name)
        .map(({ stdout, stderr }) => stdout() + stderr())
        .join('\n'),
    kill() {
      for (const { service } of running) service.child.kill('SIGKILL')
    },
  }
}

/** A message as a client sends it. */
function sentOf({ host, port }: URL, token: string, asked: Asked): Sent {
  const { server, method = 'POST', body, headers = {}, signal } = asked
  const usual: Record<string, string> = {
    host,
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
  }
  return {
    port: Number(port),
    method,
    path: `/${server}/mcp`,
    headers: Object.entries({ ...usual, ...headers }),
    ...(body === undefined ? {} : { body }),
    ...(signal === undefined ? {} : { signal }),
  }
}

/** The pages of the PDP, kept as a browser gets them. */
function pagesOf(pdpUrl: string, keep: LeakGateway['keep']) {
  return async (url: string, init: RequestInit): Promise<Response> => {
    const answer = await fetch(new URL(url, pdpUrl), { ...init, redirect: 'manual' })
    const text = await answer.clone().text()
    keep(`page ${url.split('?')[0]}`, `${JSON.stringify([...answer.headers])}\n${text}`)
    return answer
  }
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
