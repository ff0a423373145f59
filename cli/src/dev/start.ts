// Owns `cedargate dev`: both services in one process, proven by their own calls before they serve.
import { hash, randomBytes, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Logger, pino } from 'pino'
import { createPdp, type Pdp } from '../../../pdp/src/compose.ts'
import { ConfigError } from '../../../pdp/src/config.ts'
import { openDecider } from '../../../pdp/src/decider.ts'
import { openDialer } from '../../../pdp/src/egress/dialer.ts'
import { type Ending, endAll, openOrEnd } from '../../../pdp/src/endings.ts'
import { useNewKey } from '../../../pdp/src/keys/key-file.ts'
import { createKeys, type Keys, loadKeys } from '../../../pdp/src/keys/keys.ts'
import { readLoginSetting } from '../../../pdp/src/login-setting.ts'
import { systemClock } from '../../../pdp/src/main.ts'
import { answerUnreadToken as pdpUnread } from '../../../pdp/src/routes/failures.ts'
import { directorySource } from '../../../pdp/src/source/directory-source.ts'
import { openPglite, openPostgres, type Store } from '../../../pdp/src/store/open.ts'
import { createPep, type Pep } from '../../../pep/src/compose.ts'
import { keptOf } from '../../../pep/src/config.ts'
import { answerUnreadToken as pepUnread } from '../../../pep/src/listen.ts'
import type { Isolation } from '../../../pep/src/upstream/child.ts'
import { openIsolation } from '../../../pep/src/upstream/isolation.ts'
import { PEP_ROLE } from '../../../schemas/database/append.ts'
import { formatToken, TOKEN_RANDOM_BYTES } from '../../../schemas/identifiers.ts'
import { stderrLines } from '../log.ts'
import type { Terminal } from '../output.ts'
import { binDirectory } from '../package-root.ts'
import { announce } from './announce.ts'
import type { DevConfig } from './config.ts'
import { readDemo, seedDemo } from './demo.ts'
import { listenGated } from './gate.ts'
import { openHome, type Tokens } from './home.ts'
import { inProcessPdp } from './in-process-pdp.ts'
import { selfCheck } from './self-check.ts'
import { ensureTokens } from './tokens.ts'

export type RunningDev = { readonly stop: () => Promise<void> }

/** Starts everything, shows three decided calls, then serves. Throws when any part cannot or a check fails. */
export async function startDev(config: DevConfig, io: Terminal): Promise<RunningDev> {
  const endings: Ending[] = []
  return openOrEnd(endings, async () => {
    await start(config, io, endings)
    return { stop: () => endAll(endings) }
  })
}

async function start(config: DevConfig, io: Terminal, endings: Ending[]): Promise<void> {
  process.umask(0o077)
  const log = pino({ level: config.logLevel }, stderrLines)
  const home = await openHome(config.home)
  endings.push(home.close)
  const pepGate = await listenGated('CEDARGATE_PEP_PORT', config.pepPort, pepUnread)
  endings.push(pepGate.close)
  const pdpGate = await listenGated('CEDARGATE_PDP_PORT', config.pdpPort, pdpUnread)
  endings.push(pdpGate.close)
  const demo = await readDemo(config.bundle)
  await seedDemo(config.home, demo.files)

  const known = await home.readTokens()
  const operator =
    known?.operator ?? formatToken('operator', randomBytes(TOKEN_RANDOM_BYTES), sha256)
  const { store, decider } = await openBoth(config, endings)
  const keys = await ensureKeys(join(config.home, 'keys'), config.credentialKeys)
  const dial = openDialer()
  endings.push(dial.close)
  const pdp = await createPdp({
    store,
    keys,
    decider,
    operatorTokenSha256: sha256(operator),
    ...(await readLoginSetting(config.loginFile)),
    env: config.env,
    publicUrl: pdpGate.url,
    clock: systemClock,
    random: (bytes) => randomBytes(bytes),
    dial,
    log: log.child({ service: 'pdp' }),
  })
  endings.push(pdp.stop)
  const servers = [...pdp.bundle.servers.keys()]
  const tokens = await ensureTokens(pdp, { operator, known, people: demo.users, servers })
  await home.writeTokens(tokens)

  const isolation = await openIsolation(config.isolation, {
    env: config.env,
    kept: keptOf(config.env),
    log: log.child({ service: 'pep' }),
    uid: process.getuid?.(),
  }).catch((cause: Error) => {
    throw new ConfigError(cause.message, { cause })
  })
  const pep = openPep(config, { store, pdp, tokens, log, isolation })
  endings.push(pep.stop)
  await pep.known()
  const [shown] = await Promise.all([checkOnPrivatePort(pep, pdp, tokens, demo), pep.ready()])
  pepGate.open(pep.app.fetch)
  pdpGate.open(pdp.app.fetch)
  const facts = {
    pepUrl: pepGate.url,
    pdpUrl: pdpGate.url,
    operatorToken: operator,
    servers,
    users: Object.fromEntries(
      Object.entries(tokens.users).map(([user, token]) => [user, { token }]),
    ),
  }
  endings.push(pdpGate.close, pepGate.close, home.removeFacts)
  await home.writeFacts(facts)
  announce(io, { facts, shown, bundle: pdp.bundle.id, durability: durabilityOf(store) })
}

/** The database and the engine start side by side: neither needs the other, and each takes a while. */
async function openBoth(config: DevConfig, endings: Ending[]) {
  const [opened, decided] = await Promise.allSettled([
    openStore(config),
    openDecider({
      source: directorySource(config.bundle),
      trust: { signers: [], unsignedDirectory: 'accept' },
      env: config.env,
      engineWorkers: config.engineWorkers,
      clock: systemClock,
    }),
  ])
  if (opened.status === 'fulfilled') endings.push(opened.value.close)
  if (decided.status === 'fulfilled') endings.push(decided.value.engine.stop)
  if (opened.status === 'rejected') throw opened.reason
  if (decided.status === 'rejected') throw decided.reason
  return { store: opened.value, decider: decided.value }
}

async function openStore({ databaseUrl, home }: DevConfig): Promise<Store> {
  const store =
    databaseUrl === undefined
      ? await openPglite(join(home, 'database'))
      : await openPostgres(databaseUrl)
  await store.migrate()
  return store
}

async function ensureKeys(directory: string, credentialKeys: string | undefined): Promise<Keys> {
  if (!existsSync(directory)) await createKeys(directory)
  const keys = await loadKeys(directory, credentialKeys)
  // A home of a release that had no credentials yet.
  if ((await keys.keks.read()) === undefined) await useNewKey(directory)
  return keys
}

type PepParts = {
  readonly store: Store
  readonly pdp: Pdp
  readonly tokens: Tokens
  readonly log: Logger
  readonly isolation: Isolation
}

function openPep(config: DevConfig, { store, pdp, tokens, log, isolation }: PepParts): Pep {
  return createPep({
    pdp: inProcessPdp(pdp.app, tokens.pep),
    sql: store.withRole(PEP_ROLE),
    env: config.env,
    monotonic: systemClock.monotonic,
    now: systemClock.now,
    uuid: randomUUID,
    log: log.child({ service: 'pep' }),
    binDirectory,
    isolation,
  })
}

/** The checks run through a port that nobody else knows, so that nothing is served before they pass. */
async function checkOnPrivatePort(
  pep: Pep,
  pdp: Pdp,
  tokens: Tokens,
  demo: Awaited<ReturnType<typeof readDemo>>,
) {
  const gate = await listenGated('self-check', 0, pepUnread)
  try {
    gate.open(pep.app.fetch)
    const { showDecision } = pdp.admin
    const tokenOf = (user: string): string => tokens.users[user] ?? ''
    return await selfCheck({ pepUrl: gate.url, tokenOf, showDecision }, demo.checks)
  } finally {
    await gate.close(0)
  }
}

function durabilityOf(store: Store): string {
  return store.dialect === 'pglite'
    ? 'embedded database: survives a killed process, not a power cut'
    : 'PostgreSQL, synchronous_commit=on'
}

function sha256(text: string): string {
  return hash('sha256', text)
}
