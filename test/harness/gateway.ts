// Owns a whole gateway in the test's process: the real PDP and the real PEP on real sockets and the
// project's database, with a small bundle of its own, one counting server behind two ids, and a
// place between the two to break things.
import { hash, randomBytes, randomUUID } from 'node:crypto'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { getRequestListener } from '@hono/node-server'
import { type Logger, pino } from 'pino'
import { makeToolsLock, toolsLockText } from '../../pdp/src/catalog/lock.ts'
import { createPdp, type Pdp } from '../../pdp/src/compose.ts'
import { openDecider } from '../../pdp/src/decider.ts'
import { openDialer } from '../../pdp/src/egress/dialer.ts'
import type { Engine } from '../../pdp/src/engine/engine.ts'
import { createKeys, type Keys, loadKeys } from '../../pdp/src/keys/keys.ts'
import { systemClock } from '../../pdp/src/main.ts'
import { directorySource } from '../../pdp/src/source/directory-source.ts'
import { openPglite, openPostgres, type Store } from '../../pdp/src/store/open.ts'
import { createPep } from '../../pep/src/compose.ts'
import { listen } from '../../pep/src/listen.ts'
import { openPdp } from '../../pep/src/pdp-http.ts'
import type { Monotonic } from '../../pep/src/ports.ts'
import { openRecordSql } from '../../pep/src/record/open.ts'
import { unisolated } from '../../pep/src/upstream/child.ts'
import type { ServerFile, ToolDefinition } from '../../schemas/bundle.ts'
import { PEP_ROLE } from '../../schemas/database/append.ts'
import type { Sql } from '../../schemas/database/sql.ts'
import type { DecisionRow } from '../../schemas/decisions-api.ts'
import { formatToken } from '../../schemas/identifiers.ts'
import { EXAMPLE_BUNDLE } from './pdp.ts'
import { freshPglite } from './pglite.ts'
import { createTestDatabase } from './store.ts'
import { openTestUpstream, type TestUpstream } from './upstream.ts'

/**
 * The server behind ids `echo` and `twin`; `files` is the example bundle's, a real server over
 * stdio.
 */
export const TOOLS: readonly ToolDefinition[] = [
  tool('echo', { message: { type: 'string' }, count: { type: 'integer' }, data: {} }),
  tool('secret', {}),
  tool('erase', { path: { type: 'string' } }),
]

/** Staff may echo what is not a secret, keepers may open the secret, nobody may erase. */
export const POLICIES = `
@id("gateway/discovery")
permit (principal == MCP::Agent::"cedargate", action == MCP::Action::"connect", resource);
@id("staff/connect")
permit (principal in MCP::Team::"staff", action == MCP::Action::"connect", resource);
@id("staff/echo")
permit (principal in MCP::Team::"staff", action == MCP::Action::"echo/echo", resource);
@id("echo/no-secrets")
forbid (principal, action == MCP::Action::"echo/echo", resource)
when { context.args has message && context.args.message like "*secret*" };
@id("keepers/secret")
permit (principal in MCP::Team::"keepers", action == MCP::Action::"echo/secret", resource);
`
const FILES_POLICY = `
@id("staff/read")
permit (
  principal in MCP::Team::"staff", action in MCP::Action::"read", resource == MCP::Server::"files"
);
`

export type GatewayOptions = {
  /** Cedar policies; null for a bundle without any. Default POLICIES. */
  readonly policies?: string | null
  /** Whether `files` is served too. Default false. */
  readonly files?: boolean
  /** What a caller of a tool that is not listed for them reads. Default: the project's own. */
  readonly concealment?: ServerFile['concealment']
  /** What the server behind `echo` and `twin` lists. Default: TOOLS, which is what was reviewed. */
  readonly serves?: readonly ToolDefinition[]
  /** What was reviewed of that server. Default: TOOLS. */
  readonly reviewed?: readonly ToolDefinition[]
  /** More lines of its server.yaml, and of gateway.yaml. */
  readonly serverLines?: string
  readonly gatewayLines?: string
  /** Of PDP and PEP. Default: nothing is logged. */
  readonly log?: Logger
  /** Stands around the connection that the PEP writes records through. */
  readonly around?: (sql: Sql) => Sql
  /** The PEP's clocks: one that never runs back, and milliseconds since 1970. */
  readonly monotonic?: Monotonic
  readonly now?: () => number
}

/**
 * Answers one `decide` request in the PDP's place; `pass` is what the PDP itself says to a body.
 */
export type Fault = (
  asked: { readonly body: string; readonly pass: (body: string) => Promise<string> },
  response: ServerResponse,
) => unknown

/** What stands between the PEP and its PDP. */
export type Front = {
  /** Set to break what the PDP answers to `decide`. */
  fault: Fault | undefined
  /** Every request body of `decide`, in order. */
  readonly asked: string[]
}

export type Gateway = {
  readonly port: number
  readonly pdp: Pdp
  readonly engine: Engine
  readonly keys: Keys
  readonly store: Store
  /** DATABASE_URL; undefined on PGlite. */
  readonly databaseUrl: string | undefined
  readonly upstream: TestUpstream
  /** alice is staff and a keeper, bob is staff. */
  readonly tokens: { readonly alice: string; readonly bob: string }
  /** The key of its PEP, and where its PDP listens. */
  readonly pepKey: string
  readonly pdpPort: number
  readonly front: Front
  /** How many decisions on clients' messages are in the record. */
  readonly recorded: () => Promise<number>
  /** Those after the first `count`, in their order. */
  readonly decisionsAfter: (count: number) => Promise<DecisionRow[]>
  /** Stops the PDP's listener, as if its process were gone. */
  readonly losePdp: () => Promise<void>
  readonly stop: () => Promise<void>
}

const DAY_MS = 86_400_000
const BIN_DIRECTORY = fileURLToPath(new URL('../../node_modules/.bin', import.meta.url))
const silent = pino({ level: 'silent' })

/** Starts all of it and waits until the servers were looked at. Each has its own database. */
export async function startGateway(options: GatewayOptions = {}): Promise<Gateway> {
  const { log = silent } = options
  const home = await mkdtemp(join(tmpdir(), 'cedargate-gateway-'))
  const upstream = await openTestUpstream(options.serves ?? TOOLS)
  const env = {
    CEDARGATE_HOME: home,
    PATH: [dirname(process.execPath), '/usr/bin', '/bin'].join(delimiter),
  }
  await writeBundle(join(home, 'bundle'), upstream.url, options)
  await seedDemo(join(home, 'demo'))
  const database = await openDatabase(options.around)
  const { store } = database
  const { pdp, keys, engine } = await startPdp(home, store, env, log)
  const served = [...pdp.bundle.servers.keys()]
  const pepKey = (await pdp.peps.enrollPep(served)).key
  const front: Front = { fault: undefined, asked: [] }
  const frontServer = await listenFront(pdp, front)
  const pdpPort = portOf(frontServer)
  const port = openPdp({ origin: `http://127.0.0.1:${pdpPort}` }, pepKey)
  const pep = createPep({
    pdp: port,
    sql: database.records,
    env,
    monotonic: options.monotonic ?? systemClock.monotonic,
    now: options.now ?? systemClock.now,
    uuid: randomUUID,
    log,
    binDirectory: BIN_DIRECTORY,
    isolation: unisolated,
  })
  await pep.ready()
  const listening = await listen(pep.app, '127.0.0.1', 0)
  const grant = async (user: string, teams: string[]): Promise<string> => {
    const wanted = { user, agent: 'demo', servers: served, teams, expiresInMs: DAY_MS }
    return (await pdp.admin.createGrant(wanted)).token
  }
  return {
    port: listening.port,
    pdp,
    engine,
    keys,
    store,
    databaseUrl: database.url,
    upstream,
    tokens: {
      alice: await grant('alice', ['staff', 'keepers']),
      bob: await grant('bob', ['staff']),
    },
    pepKey,
    pdpPort,
    front,
    recorded: () => countDecisions(store.sql),
    async decisionsAfter(count) {
      const rows = await store.sql.query(
        `select id from record where kind = 'decision' and agent <> 'cedargate' order by id offset ${count}`,
      )
      const found = await Promise.all(rows.map(({ id }) => pdp.admin.showDecision(String(id))))
      return found.flatMap((row) => row ?? [])
    },
    losePdp: () => closeServer(frontServer),
    stop: async () => {
      const closed = listening.close(500)
      await pep.stop()
      await Promise.all([closed, port.close(), upstream.close(), closeServer(frontServer)])
      await pdp.stop().catch(() => undefined) // A test may have taken the database away.
      await database.close()
      await rm(home, { recursive: true })
    },
  }
}

function tool(name: string, properties: Record<string, object>): ToolDefinition {
  const required = name === 'echo' ? { required: ['message'] } : {}
  const inputSchema = { type: 'object' as const, properties, ...required }
  return { name, inputSchema, annotations: { readOnlyHint: name !== 'erase' } }
}

/** A bundle of these options, with the server behind `url`. */
export async function writeBundle(
  directory: string,
  url: string,
  {
    policies = POLICIES,
    files = false,
    concealment,
    reviewed = TOOLS,
    serverLines = '',
    gatewayLines = '',
  }: GatewayOptions,
): Promise<void> {
  const write = async (file: string, text: string): Promise<void> => {
    await mkdir(dirname(join(directory, file)), { recursive: true })
    await writeFile(join(directory, file), text)
  }
  await write('gateway.yaml', `name: Test\n${gatewayLines}`)
  const concealed = concealment === undefined ? '' : `concealment: ${concealment}\n`
  for (const id of ['echo', 'twin']) {
    await write(`servers/${id}/server.yaml`, `url: ${url}/${id}\n${concealed}${serverLines}`)
    await write(`servers/${id}/tools.lock.json`, toolsLockText(makeToolsLock(reviewed)))
  }
  if (policies !== null) await write('cedar/test.cedar', `${policies}${files ? FILES_POLICY : ''}`)
  if (!files) return
  await cp(join(EXAMPLE_BUNDLE, 'servers/files'), join(directory, 'servers/files'), {
    recursive: true,
  })
}

async function seedDemo(directory: string): Promise<void> {
  await mkdir(directory)
  await writeFile(join(directory, 'notes.txt'), 'read by everybody\n')
}

type Database = {
  readonly store: Store
  readonly url: string | undefined
  /** As a PEP has it: on PostgreSQL connections of its own, under the role that may only INSERT. */
  readonly records: Sql
  readonly close: () => Promise<void>
}

async function openDatabase(around: (sql: Sql) => Sql = (sql) => sql): Promise<Database> {
  const url = await createTestDatabase()
  if (url === undefined) {
    const { home, directory } = await freshPglite()
    const store = closedOnce(await openPglite(directory))
    const close = async (): Promise<void> => {
      await store.close()
      await rm(home, { recursive: true })
    }
    return { store, url, records: around(store.withRole(PEP_ROLE)), close }
  }
  const store = closedOnce(await openPostgres(url))
  await store.migrate()
  const records = openRecordSql(url, silent)
  const close = async (): Promise<void> => {
    await records.close()
    await store.close()
  }
  return { store, url, records: around(records), close }
}

/** A test may take the database away before the end. */
function closedOnce(store: Store): Store {
  let closing: Promise<void> | undefined
  return {
    ...store,
    close: () => {
      closing ??= store.close()
      return closing
    },
  }
}

async function startPdp(home: string, store: Store, env: Record<string, string>, log: Logger) {
  await createKeys(join(home, 'keys'))
  const keys = await loadKeys(join(home, 'keys'))
  const decider = await openDecider({
    source: directorySource(join(home, 'bundle')),
    trust: { signers: [], unsignedDirectory: 'accept' },
    env,
    engineWorkers: 2,
    clock: systemClock,
  })
  const pdp = await createPdp({
    store,
    keys,
    decider,
    operatorTokenSha256: sha256(formatToken('operator', randomBytes(32), sha256)),
    publicUrl: 'http://127.0.0.1:8181',
    clock: systemClock,
    random: (bytes) => randomBytes(bytes),
    dial: openDialer(),
    env,
    log,
  })
  return { pdp, keys, engine: decider.engine }
}

/** The PDP's socket; what is asked of `decide` goes through `fault` where there is one. */
async function listenFront({ app }: Pdp, front: Front): Promise<Server> {
  const whole = getRequestListener(app.fetch)
  const server = createServer((incoming, response) => {
    if (incoming.url === '/pep/v1/decide') void answerDecide(incoming, response)
    else void whole(incoming, response)
  })
  const answerDecide = async (incoming: IncomingMessage, response: ServerResponse) => {
    const chunks = (await incoming.toArray()) as Buffer[]
    const own = Buffer.concat(chunks).toString('utf8')
    front.asked.push(own)
    const { authorization = '' } = incoming.headers
    const pass = async (body: string): Promise<string> => {
      const headers = { authorization, 'content-type': 'application/json' }
      const init = { method: 'POST', headers, body }
      const answer = await app.request('/pep/v1/decide', init)
      return await answer.text()
    }
    const { fault } = front
    if (fault === undefined)
      response.setHeader('content-type', 'application/json').end(await pass(own))
    else await fault({ body: own, pass }, response)
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

async function countDecisions(sql: Sql): Promise<number> {
  const [row] = await sql.query(
    `select count(*)::int as n from record where kind = 'decision' and agent <> 'cedargate'`,
  )
  return Number(row?.['n'])
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}

async function closeServer(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise<void>((resolve) => {
    if (server.listening) server.close(() => resolve())
    else resolve()
  })
}

function sha256(text: string): string {
  return hash('sha256', text)
}
