// Promise 2: the verdict is committed before one byte of the call is sent. While the commit is held
// nothing reaches the server; where it cannot be had, or comes too late, nothing ever does.
// Afterwards the ledger has no hole.
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import type { Sql } from '../../schemas/database/sql.ts'
import { RECORD_TIMEOUT_MS, VERDICT_AGE_MS_MAX } from '../../schemas/limits.ts'
import { findings } from '../harness/checked-ledger.ts'
import { type Gateway, startGateway } from '../harness/gateway.ts'
import { callText, modern, tell } from '../harness/mcp-request.ts'

/**
 * The PEP's clock stands still but for what a test adds; what runs between the commit and its being
 * seen.
 */
let now = 0
let whenCommitted: () => Promise<void> | void = () => undefined
let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway({ monotonic: () => now, around })
})
afterAll(() => gateway.stop())
beforeEach(() => gateway.upstream.reset())

function around(sql: Sql): Sql {
  return {
    dialect: sql.dialect,
    async query(...statement) {
      const rows = await sql.query(...statement)
      await whenCommitted()
      return rows
    },
  }
}

const CALL = { body: callText('{"message":"hi"}') }
const MODERN = modern('tools/call', { name: 'echo', arguments: { message: 'hi' } })

/** Lets go of what is held; nothing the second time. */
let release: () => Promise<void> = async () => undefined
afterEach(async () => {
  whenCommitted = () => undefined
  await release()
})

/**
 * Keeps every commit of a record from ending: by a lock on PostgreSQL, by keeping back the news of
 * it on PGlite.
 */
async function hold(): Promise<void> {
  const end =
    gateway.databaseUrl === undefined ? holdNews() : await lockRecords(gateway.databaseUrl)
  release = async () => {
    release = async () => undefined
    await end()
  }
}

function holdNews(): () => Promise<void> {
  const held = Promise.withResolvers<void>()
  whenCommitted = () => held.promise
  return async () => held.resolve()
}

async function lockRecords(url: string): Promise<() => Promise<void>> {
  const client = new Client({ connectionString: url })
  await client.connect()
  await client.query('begin; lock table record in exclusive mode')
  return async () => {
    await client.query('commit')
    await client.end()
  }
}

describe('the commit is held', () => {
  test.each([
    { name: 'legacy', call: CALL },
    { name: 'modern', call: MODERN },
  ])('$name: nothing is sent until it is there', async ({ call }) => {
    await hold()
    let isAnswered = false
    const told = tell(gateway, call).finally(() => {
      isAnswered = true
    })
    await sleep(700)
    expect(isAnswered).toBe(false)
    expect(gateway.upstream.reached).toEqual([])
    await release()
    expect(await told).toMatchObject({ status: 200, isError: false, said: {} })
    expect(gateway.upstream.reached).toHaveLength(1)
  })

  test('too long: refused, and nothing is sent when it comes', async () => {
    await hold()
    const began = performance.now()
    const told = await tell(gateway, CALL)
    expect(told).toMatchObject({ status: 200, isError: true, said: { code: 'record_unavailable' } })
    expect(performance.now() - began).toBeLessThan(RECORD_TIMEOUT_MS + 1_500)
    expect(gateway.upstream.reached).toEqual([])
    await release()
    await sleep(300)
    expect(gateway.upstream.reached).toEqual([])
  })

  test('a denial is not told before it is on record either', async () => {
    await hold()
    let isAnswered = false
    const told = tell(gateway, { body: callText('{"message":"a secret"}') }).finally(() => {
      isAnswered = true
    })
    await sleep(300)
    expect(isAnswered).toBe(false)
    await release()
    expect(await told).toMatchObject({ isError: true, said: { code: 'forbid' } })
  })
})

test.each([
  { age: VERDICT_AGE_MS_MAX - 1, code: undefined, reached: 1 },
  { age: VERDICT_AGE_MS_MAX, code: 'verdict_expired', reached: 0 },
  { age: 3_600_000, code: 'verdict_expired', reached: 0 },
])('a verdict of $age ms is sent on $reached times', async ({ age, code, reached }) => {
  const before = await gateway.recorded()
  whenCommitted = () => {
    now += age
  }
  const told = await tell(gateway, CALL)
  expect(told).toMatchObject({ status: 200, isError: code !== undefined })
  expect(told.said.code).toBe(code)
  expect(gateway.upstream.reached).toHaveLength(reached)
  expect(await gateway.recorded()).toBe(before + 1)
})

describe('the database takes no record', () => {
  test.each(databaseFaults())('$name', async ({ breakIt, heal, codes }) => {
    expect(await tell(gateway, CALL)).toMatchObject({ isError: false, said: {} })
    gateway.upstream.reset()
    await breakIt()
    for (const call of [CALL, MODERN]) {
      const told = await tell(gateway, call)
      expect(told).toMatchObject({ status: 200, isError: true })
      expect(codes).toContain(told.said.code)
    }
    const stream = await tell(gateway, { method: 'GET' })
    expect(stream.status).toBe(503)
    expect(gateway.upstream.reached).toEqual([])
    await heal()
    expect(await tell(gateway, CALL)).toMatchObject({ isError: false, said: {} })
    expect(gateway.upstream.reached).toHaveLength(1)
  })
})

test('after all of it the ledger has no hole and no wrong row', async () => {
  await gateway.pdp.stop()
  const { store, keys } = gateway
  expect(await findings(store.sql, keys, Date.now() + 3_600_000)).toEqual([])
})

test('the database is gone', async () => {
  await gateway.store.close()
  const told = await tell(gateway, CALL)
  expect(told).toMatchObject({ status: 200, isError: true })
  expect(EITHER).toContain(told.said.code)
  expect(gateway.upstream.reached).toEqual([])
})

type DatabaseFault = {
  readonly name: string
  readonly breakIt: () => Promise<unknown>
  readonly heal: () => Promise<unknown>
  readonly codes: readonly string[]
}

/** The PDP reads grants from the same database: where it cannot, there is no verdict to record. */
const EITHER = ['record_unavailable', 'pdp_unavailable']

function databaseFaults(): DatabaseFault[] {
  const own = ['record_unavailable']
  const both: DatabaseFault[] = [
    { name: 'the role may not insert', breakIt: run('revoke insert on record from cedargate_pep'), heal: run('grant insert on record to cedargate_pep'), codes: own },
    { name: 'the queue of the log is gone', breakIt: run('alter table pending rename to elsewhere'), heal: run('alter table elsewhere rename to pending'), codes: own },
  ] // biome-ignore format: a table
  const readOnly = { name: 'it is read-only', codes: own }
  const pglite: DatabaseFault = {
    ...readOnly,
    breakIt: run('set default_transaction_read_only = on'),
    heal: run('set default_transaction_read_only = off'),
  }
  const postgres: DatabaseFault[] = [
    { ...readOnly, codes: EITHER, breakIt: changing('set default_transaction_read_only = on'), heal: changing('reset default_transaction_read_only') },
    { name: 'it refuses connections', codes: EITHER, breakIt: changing('with allow_connections false'), heal: changing('with allow_connections true') },
  ] // biome-ignore format: a table
  return inject('postgresUrl') === null ? [...both, pglite] : [...both, ...postgres]
}

const run = (text: string) => () => gateway.store.sql.query(text)
const changing = (change: string) => () => changeDatabase(change)

/** Changes this test's own database from outside and cuts every connection to it. */
async function changeDatabase(change: string): Promise<void> {
  const name = new URL(gateway.databaseUrl ?? '').pathname.slice(1)
  const client = new Client({ connectionString: inject('postgresUrl') ?? '' })
  await client.connect()
  await client.query(`alter database ${name} ${change}`)
  await client.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [
    name,
  ])
  await client.end()
}
