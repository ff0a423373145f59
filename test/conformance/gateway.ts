// Owns the process of the gateway under test: the real PDP and the real PEP on PGlite, with a bundle that permits
// everything, one grant, and a server for each line of the run. Usage: node gateway.ts <settings as JSON>. Prints
// port and token as one line of JSON, and runs until it is ended. Nothing but this run may ever have such a bundle.
import { hash, randomBytes, randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pino } from 'pino'
import { z } from 'zod'
import { inProcessPdp } from '../../cli/src/dev/in-process-pdp.ts'
import { makeToolsLock, toolsLockText } from '../../pdp/src/catalog/lock.ts'
import { createPdp, type Pdp } from '../../pdp/src/compose.ts'
import { openDecider } from '../../pdp/src/decider.ts'
import { openDialer } from '../../pdp/src/egress/dialer.ts'
import { createKeys, loadKeys } from '../../pdp/src/keys/keys.ts'
import { systemClock } from '../../pdp/src/main.ts'
import { directorySource } from '../../pdp/src/source/directory-source.ts'
import { openPglite, type Store } from '../../pdp/src/store/open.ts'
import { createPep } from '../../pep/src/compose.ts'
import { listen } from '../../pep/src/listen.ts'
import { unisolated } from '../../pep/src/upstream/child.ts'
import { PEP_ROLE } from '../../schemas/database/append.ts'
import { formatToken } from '../../schemas/identifiers.ts'
import { freshPglite } from '../harness/pglite.ts'
import { definitionsOf } from './definitions.ts'

const settings = z.strictObject({
  /** Server id → the url of its MCP endpoint. */
  servers: z.record(z.string(), z.url()),
  /** The same server without a recorder before it: what is locked is not part of what is compared. */
  reviewed: z.url(),
  /** Where clients think they are. */
  origins: z.array(z.url()),
})
type Settings = z.infer<typeof settings>

const DAY_MS = 86_400_000
const PERMIT_EVERYTHING = '@id("conformance/everything")\npermit (principal, action, resource);\n'
const log = pino({ level: 'warn' }, pino.destination(2))

async function writeBundle(directory: string, { servers, reviewed }: Settings): Promise<void> {
  const lock = toolsLockText(makeToolsLock(await definitionsOf(reviewed), undefined, {}))
  await mkdir(join(directory, 'cedar'), { recursive: true })
  await writeFile(join(directory, 'gateway.yaml'), 'name: conformance\n')
  await writeFile(join(directory, 'cedar', 'everything.cedar'), PERMIT_EVERYTHING)
  for (const [id, url] of Object.entries(servers)) {
    const folder = join(directory, 'servers', id)
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'server.yaml'), `url: ${url}\ninstructions: pass\n`)
    await writeFile(join(folder, 'tools.lock.json'), lock)
  }
}

async function openPdp(home: string, store: Store): Promise<Pdp> {
  await createKeys(join(home, 'keys'))
  const decider = await openDecider({
    source: directorySource(join(home, 'bundle')),
    trust: { signers: [], unsignedDirectory: 'accept' },
    env: { CEDARGATE_HOME: home },
    engineWorkers: 1,
    clock: systemClock,
  })
  return await createPdp({
    store,
    keys: await loadKeys(join(home, 'keys')),
    decider,
    operatorTokenSha256: sha256(formatToken('operator', randomBytes(32), sha256)),
    publicUrl: 'http://pdp.invalid',
    clock: systemClock,
    random: (bytes) => randomBytes(bytes),
    dial: openDialer(),
    env: {},
    log,
  })
}

function sha256(text: string): string {
  return hash('sha256', text)
}

const wanted = settings.parse(JSON.parse(process.argv[2] ?? ''))
const home = await mkdtemp(join(tmpdir(), 'cedargate-conformance-'))
const database = await freshPglite()
const [store] = await Promise.all([
  openPglite(database.directory),
  writeBundle(join(home, 'bundle'), wanted),
])
const pdp = await openPdp(home, store)
const servers = Object.keys(wanted.servers)
const pepKey = (await pdp.peps.enrollPep(servers)).key
const pep = createPep({
  pdp: inProcessPdp(pdp.app, pepKey),
  sql: store.withRole(PEP_ROLE),
  env: { PATH: dirname(process.execPath) },
  monotonic: systemClock.monotonic,
  now: Date.now,
  uuid: randomUUID,
  log,
  isolation: unisolated,
  rules: { allowedHosts: new Set(), allowedOrigins: new Set(wanted.origins) },
})
await pep.ready()
const listening = await listen(pep.app, '127.0.0.1', 0)
const person = { user: 'suite', agent: 'conformance', servers, teams: [], expiresInMs: DAY_MS }
const { token } = await pdp.admin.createGrant(person)
process.stdout.write(`${JSON.stringify({ port: listening.port, token })}\n`)

process.once('SIGTERM', () => void stop())
async function stop(): Promise<void> {
  const closed = listening.close(0)
  await pep.stop()
  await closed
  await pdp.stop()
  await store.close()
  await rm(home, { recursive: true })
  await rm(database.home, { recursive: true })
}
