// Changing the key under several PDPs that read one file, on both databases: whatever is under way meanwhile, what was set
// opens afterwards with the keys that are left.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { GRANT_AGE_MS_MAX } from '../../../schemas/limits.ts'
import {
  credentialsOf,
  headersOf,
  releaseOne as one,
  type TestCredentials,
} from '../../../test/harness/credentials.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import { CREDENTIAL_KEYS_FILE, dropKey, readKekFile, useNewKey } from '../keys/key-file.ts'
import type { Store } from '../store/open.ts'
import type { Renew } from './renewal.ts'

const DECLARED = {
  one: { kind: 'bearer' },
  other: { kind: 'bearer' },
  robot: { kind: 'client_credentials' },
}
const set = (at: TestCredentials, server: string) =>
  at.administration.setCredential({
    server,
    user: null,
    secret: { kind: 'bearer', value: `secret-of-${server}` },
  })
const setRobot = (at: TestCredentials) =>
  at.administration.setCredential({
    server: 'robot',
    user: null,
    secret: { kind: 'client', clientId: 'gateway', value: 'client-secret' },
  })

let keyDirectory = ''
let first = ''
beforeEach(async () => {
  keyDirectory = await mkdtemp(join(tmpdir(), 'cedargate-rewrap-'))
  first = (await useNewKey(keyDirectory)).id
})
afterEach(() => rm(keyDirectory, { recursive: true }))

/** As `cedargate keys rotate` does it, asking that PDP. */
async function rotate(at: TestCredentials): Promise<string> {
  const { id } = await useNewKey(keyDirectory)
  for await (const { failed } of at.rewrap()) expect(failed).toEqual([])
  return id
}

/** As `cedargate keys rotate --drop` does it. */
async function drop(at: TestCredentials, id: string): Promise<void> {
  await dropKey(keyDirectory, id, async () => {
    const wrapped = (await at.keys()).keys.find((key) => key.id === id)?.credentials
    if (wrapped !== 0) throw new Error(`it wraps ${wrapped}`)
  })
}

const renew: Renew = async ({ secret }) => {
  if (secret.kind !== 'client_credentials') throw new Error('it is no robot')
  const token = {
    accessToken: 'a-token-secret',
    refreshToken: null,
    expiresAt: Date.now() + 3_600_000,
    scope: null,
  }
  return { kind: 'renewed', secret: { ...secret, token }, issuer: 'https://as.test', scopes: null }
}

onEachDatabase((database) => {
  const open = credentialsOf(DECLARED, () => database().store)
  let hold: Hold | undefined
  const openHeld = credentialsOf(DECLARED, () => holding(database().store, () => hold))
  afterEach(() => {
    hold = undefined
  })

  test('a PDP that has not heard of the new key encrypts with it, and with no key that was dropped', async () => {
    const [here, elsewhere] = [await open({ keyDirectory }), await open({ keyDirectory })]
    await set(here, 'one')
    await expect(drop(here, first)).rejects.toThrow('it wraps 1')
    const next = await rotate(here)
    expect(await set(elsewhere, 'other')).toMatchObject({ key: next })
    await drop(here, first)
    expect(await set(elsewhere, 'one')).toMatchObject({ key: next, version: 2 })
    await opensAll(await open({ keyDirectory }), ['one', 'other'])
  })

  test('what is being set while its key is rotated away and dropped is under the new one', async () => {
    const [here, elsewhere] = [await open({ keyDirectory }), await openHeld({ keyDirectory })]
    hold = holdAt(/^insert into credentials/)
    const setting = set(elsewhere, 'one')
    await hold.reached
    const next = await rotate(here)
    await drop(here, first)
    hold.release()
    expect(await setting).toMatchObject({ key: next })
    await opensAll(await open({ keyDirectory }), ['one'])
  })

  test('so is a token that is being renewed', async () => {
    const here = await open({ keyDirectory, renew })
    const elsewhere = await openHeld({ keyDirectory, renew })
    await setRobot(here)
    hold = holdAt(/^update credentials set version/)
    const calling = one(elsewhere, 'robot')
    await hold.reached
    await rotate(here)
    await drop(here, first)
    hold.release()
    await calling
    await expect
      .poll(async () => headersOf(await one(await open({ keyDirectory }), 'robot')))
      .toEqual({ authorization: 'Bearer a-token-secret' })
  })

  test('so is what is being encrypted anew by another PDP', async () => {
    const [here, elsewhere] = [await open({ keyDirectory }), await openHeld({ keyDirectory })]
    await set(here, 'one')
    const second = (await useNewKey(keyDirectory)).id
    hold = holdAt(/^update credentials set data_key/)
    const rewrapping = Array.fromAsync(elsewhere.rewrap())
    await hold.reached
    await useNewKey(keyDirectory)
    await drop(here, second)
    hold.release()
    expect((await rewrapping).at(-1)).toMatchObject({ failed: [], finished: true })
    await opensAll(await open({ keyDirectory }), ['one'])
  })

  test('what is set anew while another PDP encrypts the old one anew stays as it was set', async () => {
    const [here, elsewhere] = [await open({ keyDirectory }), await openHeld({ keyDirectory })]
    await set(here, 'one')
    await useNewKey(keyDirectory)
    hold = holdAt(/^update credentials set data_key/)
    const rewrapping = Array.fromAsync(elsewhere.rewrap())
    await hold.reached
    await set(here, 'one')
    hold.release()
    expect((await rewrapping).at(-1)).toMatchObject({ failed: [], finished: true })
    await opensAll(await open({ keyDirectory }), ['one'])
  })

  test('how far it is is said before it has finished', async () => {
    const servers = Array.from({ length: 101 }, (_, index) => `server-${index}`)
    const declared = Object.fromEntries(servers.map((id) => [id, { kind: 'bearer' }]))
    const here = await open({ keyDirectory, declared })
    await Promise.all(servers.map((id) => set(here, id)))
    const { id: key } = await useNewKey(keyDirectory)
    expect(await Array.fromAsync(here.rewrap())).toEqual([
      { key, done: 100, total: 101, failed: [], finished: false },
      { key, done: 101, total: 101, failed: [], finished: true },
    ])
  })

  test('what a PDP could not open is looked up again: it may be under a key that it has', async () => {
    const here = await open({ keyDirectory })
    const theirs = await mkdtemp(join(tmpdir(), 'cedargate-rewrap-'))
    await useNewKey(theirs)
    const elsewhere = await open({ keyDirectory: theirs })
    await set(here, 'one')
    await sleep(GRANT_AGE_MS_MAX)
    expect(headersOf(await one(elsewhere, 'one'))).toContain('cannot decrypt')
    await rotate(here)
    await drop(here, first)
    const copied = await readFile(join(keyDirectory, CREDENTIAL_KEYS_FILE))
    await writeFile(join(theirs, CREDENTIAL_KEYS_FILE), copied)
    await sleep(1_100)
    await opensAll(elsewhere, ['one'])
    await rm(theirs, { recursive: true })
  })

  test('while the file is not there, or only half of it, nothing is set and no token is asked for', async () => {
    const asked: string[] = []
    const noting: Renew = (ask) => {
      asked.push(ask.server)
      return renew(ask)
    }
    const here = await open({ keyDirectory, renew: noting })
    await setRobot(here)
    const path = join(keyDirectory, CREDENTIAL_KEYS_FILE)
    const whole = await readFile(path, 'utf8')
    await writeFile(path, whole.slice(0, 20))
    await expect(set(here, 'one')).rejects.toThrow(`cannot be read: key 1 of ${path} is not`)
    expect(await one(here, 'robot')).toHaveProperty('unavailable')
    await rm(path)
    await expect(set(here, 'one')).rejects.toThrow('cedargate keys rotate')
    expect(await one(here, 'robot')).toHaveProperty('unavailable')
    expect(asked).toEqual([])
    await writeFile(path, whole, { mode: 0o600 })
    await sleep(1_100)
    await database().store.sql.query('update credentials set retry_after = null')
    expect(headersOf(await one(here, 'robot'))).toEqual({ authorization: 'Bearer a-token-secret' })
    expect((await readKekFile(keyDirectory))?.map(({ id }) => id)).toEqual([first])
  })
})

async function opensAll(at: TestCredentials, servers: readonly string[]): Promise<void> {
  for (const server of servers)
    expect(headersOf(await one(at, server))).toEqual({
      authorization: `Bearer secret-of-${server}`,
    })
}

/** A database that is slow to take one statement, the first one like this. */
type Hold = {
  readonly statement: RegExp
  readonly reached: Promise<void>
  readonly reach: () => void
  readonly released: Promise<void>
  readonly release: () => void
}

function holdAt(statement: RegExp): Hold {
  const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  return {
    statement,
    reached: reached.promise,
    reach: reached.resolve,
    released: released.promise,
    release: released.resolve,
  }
}

function holding(store: Store, hold: () => Hold | undefined): Store {
  const { sql } = store
  return {
    ...store,
    sql: {
      dialect: sql.dialect,
      async query(text, params, name) {
        const now = hold()
        if (now?.statement.test(text)) {
          now.reach()
          await now.released
        }
        return sql.query(text, params, name)
      },
    },
  }
}
