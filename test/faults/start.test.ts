// A service that cannot start whole: it says why in one line, ends by itself, and nothing of it goes on.
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { createPdp, type PdpPorts } from '../../pdp/src/compose.ts'
import { openDecider } from '../../pdp/src/decider.ts'
import { openDialer } from '../../pdp/src/egress/dialer.ts'
import { createKeys, loadKeys } from '../../pdp/src/keys/keys.ts'
import { systemClock } from '../../pdp/src/main.ts'
import { directorySource } from '../../pdp/src/source/directory-source.ts'
import type { Store } from '../../pdp/src/store/open.ts'
import type { Sql } from '../../schemas/database/sql.ts'
import { type Ended, endCommand, runPiped, sleep, startCommand } from '../harness/command.ts'
import { runHere } from '../harness/in-process.ts'
import { EXAMPLE_BUNDLE } from '../harness/pdp.ts'
import { copyPglite } from '../harness/pglite.ts'
import { createTestDatabase, openTestStore } from '../harness/store.ts'

let home: string
let store: Store
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'cedargate-start-'))
  await createKeys(join(home, 'keys'))
  store = await openTestStore()
})
afterAll(async () => {
  await store.close()
  await rm(home, { recursive: true })
})

const broken = (): Promise<never> => Promise.reject(new Error('broken'))

describe('a PDP of which one part cannot be opened leaves nothing running', () => {
  test.each<{ name: string; change: (ports: PdpPorts) => Partial<PdpPorts>; says?: RegExp }>([
    { name: 'the keys of credentials', change: ({ keys }) => ({ keys: { ...keys, keks: { ...keys.keks, read: broken } } }) },
    { name: 'the first look at who may call', change: (ports) => ({ store: { ...ports.store, prompt: { ...ports.store.prompt, query: broken } } }) },
    { name: 'the ledger', change: ({ keys }) => ({ keys: { ...keys, deployment: { ...keys.deployment, sign: broken } } }) },
    { name: 'the bundles kept', change: ({ decider }) => ({ decider: { ...decider, source: { ...decider.source, get name(): string { throw new Error('broken') } } } }) },
    { name: 'the routes', change: () => ({ publicUrl: 'no URL' }), says: /Invalid URL/ },
  ])('$name', async ({ change, says = /^broken$/ }) => {
    const asked = { count: 0 }
    const stopped = { count: 0 }
    const ports = await portsOn(counting(store, asked), stopped)
    const opening = createPdp({ ...ports, ...change(ports) })
    await expect(opening).rejects.toThrow(says)
    expect(stopped.count).toBe(1)
    asked.count = 0
    await sleep(1_600)
    expect(asked.count).toBe(0)
  }) // biome-ignore format: a table
})

async function portsOn(counted: Store, stopped: { count: number }): Promise<PdpPorts> {
  const decider = await openDecider({
    source: directorySource(EXAMPLE_BUNDLE),
    trust: { signers: [], unsignedDirectory: 'accept' },
    env: { CEDARGATE_HOME: home },
    engineWorkers: 1,
    clock: systemClock,
  })
  const stop = (): Promise<void> => {
    stopped.count++
    return decider.engine.stop()
  }
  return {
    store: counted,
    keys: await loadKeys(join(home, 'keys')),
    decider: { ...decider, engine: { ...decider.engine, stop } },
    publicUrl: 'https://pdp.test',
    clock: systemClock,
    random: (bytes) => randomBytes(bytes),
    dial: openDialer(),
    env: {},
    log: pino({ level: 'silent' }),
  }
}

function counting(to: Store, asked: { count: number }): Store {
  const counted = (sql: Sql): Sql => {
    return new Proxy(sql, {
      get(target, name, receiver) {
        if (name === 'query') asked.count++
        return Reflect.get(target, name, receiver)
      },
    })
  }
  return { ...to, sql: counted(to.sql), prompt: counted(to.prompt) }
}

describe('a service ends by itself', () => {
  const WRONG = [
    { name: 'one byte is broken', spoil: (path: string) => writeFile(path, 'AAAA\n'), says: /credentials\.key/ },
    { name: 'the file is open to others', spoil: (path: string) => chmod(path, 0o644), says: /credentials\.key has mode 0644/ },
  ] // biome-ignore format: a table

  test.runIf(inject('postgresUrl') === null)('dev, when nobody reads what it says: in order', async () => {
    const CEDARGATE_HOME = join(home, 'unread')
    await mkdir(CEDARGATE_HOME)
    await copyPglite(join(CEDARGATE_HOME, 'database'))
    const env = { CEDARGATE_HOME, CEDARGATE_BUNDLE: EXAMPLE_BUNDLE, CEDARGATE_PDP_PORT: '0', CEDARGATE_PEP_PORT: '0' }
    const { stderr } = await runPiped(['dev'], 'true', { ...env, CEDARGATE_LOG_LEVEL: 'error' })
    expect(stderr).toMatch(/(^|\n)0\n$/)
    expect((await readdir(CEDARGATE_HOME)).filter((name) => name.startsWith('dev.'))).toEqual([])
  }) // biome-ignore format: long

  const ONE_LINE = /^cedargate: .+\n(hint: .+\n)?$/

  test.runIf(inject('postgresUrl') !== null).each(WRONG)('pdp, when of its keys of credentials $name', async ({ name, spoil, says }) => {
    const { path, ...env } = await keysOf(`pdp ${name}`)
    const databaseUrl = (await createTestDatabase()) ?? ''
    await runHere(['db', 'migrate'], { DATABASE_URL: databaseUrl })
    await spoil(path)
    const { code, stderr } = await ended(['pdp'], { ...env, DATABASE_URL: databaseUrl, CEDARGATE_PDP_PORT: '0' })
    expect(stderr).toMatch(says)
    expect(stderr).toMatch(ONE_LINE)
    expect(code).toBe(2)
  }) // biome-ignore format: long

  test.runIf(inject('postgresUrl') === null).each(WRONG)('dev, when of its keys of credentials $name', async ({ name, spoil, says }) => {
    const { path, ...env } = await keysOf(`dev ${name}`)
    await copyPglite(join(env.CEDARGATE_HOME, 'database'))
    await spoil(path)
    const { code, stderr } = await ended(['dev'], { ...env, CEDARGATE_PDP_PORT: '0', CEDARGATE_PEP_PORT: '0' })
    expect(stderr).toMatch(says)
    expect(stderr).toMatch(ONE_LINE)
    expect(code).toBe(2)
  }) // biome-ignore format: long
})

async function keysOf(name: string): Promise<{ CEDARGATE_HOME: string; path: string }> {
  const CEDARGATE_HOME = join(home, name)
  await runHere(['keys', 'create'], { CEDARGATE_HOME })
  return { CEDARGATE_HOME, path: join(CEDARGATE_HOME, 'keys', 'credentials.key') }
}
async function ended(words: string[], env: Record<string, string>): Promise<Ended> {
  const running = startCommand(words, { ...env, CEDARGATE_BUNDLE: EXAMPLE_BUNDLE })
  const late = sleep(30_000).then(() => undefined)
  const found = await Promise.race([running.ended, late])
  if (found !== undefined) return found
  await endCommand(running, 'SIGKILL')
  throw new Error(`it did not end:\n${running.stderr().slice(0, 2_000)}`)
}
