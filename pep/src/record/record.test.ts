// Records: committed before anything goes on, once each, on both databases, and an unknown outcome
// is a refusal.
import { randomUUID } from 'node:crypto'
import { inspect } from 'node:util'
import { pino } from 'pino'
import { expect, test, vi } from 'vitest'
import type { Sql } from '../../../schemas/database/sql.ts'
import { RECORD_TIMEOUT_MS, VERDICT_AGE_MS_MAX } from '../../../schemas/limits.ts'
import type { DecideCall, Verdict } from '../../../schemas/pep-api.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import type { Inbound } from '../inbound/receive.ts'
import { bearer, createTestPdp, type Ruling, shownIn } from '../testing.ts'
import { openRecordSql } from './open.ts'
import { createRecord } from './record.ts'

const INBOUND: Inbound = {
  requestId: '',
  server: 'demo',
  from: 'client',
  grant: 'g-1',
  token: 'a'.repeat(64),
  jwt: null,
  expiresAt: null,
  era: 'legacy',
  method: 'ping',
  kind: 'request',
  id: 1,
  tool: undefined,
  params: undefined,
  text: '{}',
  session: undefined,
  headers: {},
  client: null,
  sourceIp: null,
}
const NEVER = () => false
const SILENT = pino({ level: 'silent' })

async function verdictOf(ruling: Ruling): Promise<Verdict> {
  const pdp = createTestPdp([])
  pdp.rule = () => ruling
  const { server, method, era, text: message, client, sourceIp } = INBOUND
  const call: DecideCall = {
    requestId: randomUUID(),
    token: null,
    jwt: null,
    definition: null,
    server,
    from: 'client',
    method,
    era,
    message,
    client,
    sourceIp,
  }
  const { body } = await pdp.port.post('/pep/v1/decide', JSON.stringify({ calls: [call] }), 1)
  return (JSON.parse(body) as { results: [Verdict] }).results[0]
}

const broken = (code: string) => Object.assign(new Error(`code ${code}`), { code })

/** A database that fails the first `failures` statements, after or instead of doing them. */
function faulty(
  sql: Sql,
  failures: number,
  written: boolean,
  error: Error,
): Sql & { asked: number } {
  const wrapped = {
    dialect: sql.dialect,
    asked: 0,
    async query(...statement: Parameters<Sql['query']>) {
      wrapped.asked += 1
      const fails = wrapped.asked <= failures
      if (!fails || written) await sql.query(...statement)
      if (fails) throw error
      return []
    },
  }
  return wrapped
}

onEachDatabase((database, name) => {
  const writer = () => database().store.withRole('cedargate_pep')
  const rowsOf = async ({ decisionId }: Verdict) => {
    const { sql } = database().store
    const text = 'select kind, verdict, method, server from record where id = $1'
    return sql.query(text, [decisionId])
  }

  test('an allow and a deny are both there before the promise is kept', async () => {
    const record = createRecord(writer(), NEVER)
    const [allow, deny] = [await verdictOf({ allow: true }), await verdictOf({ deny: 'forbid' })]
    const [call, none] = await Promise.all([record(INBOUND, allow, 0), record(INBOUND, deny, 0)])
    const { record: _, ...settled } = allow
    expect(call?.verdict).toStrictEqual(settled)
    expect(none).toBeUndefined()
    const common = { kind: 'decision', method: 'ping', server: 'demo' }
    expect(await rowsOf(allow)).toEqual([{ ...common, verdict: 'allow' }])
    expect(await rowsOf(deny)).toEqual([{ ...common, verdict: 'deny' }])
  })

  test.each([
    { fault: 'the write is lost', written: false },
    { fault: 'only the answer is lost', written: true },
  ])('$fault with the connection: tried once more, one row', async ({ written }) => {
    const sql = faulty(writer(), 1, written, broken('ECONNRESET'))
    const verdict = await verdictOf({ allow: true })
    expect(await createRecord(sql, NEVER)(INBOUND, verdict, 0)).toBeDefined()
    expect(sql.asked).toBe(2)
    expect(await rowsOf(verdict)).toHaveLength(1)
  })

  test('lost twice: refused, whatever is there', async () => {
    const sql = faulty(writer(), 2, true, broken('57P01'))
    const verdict = await verdictOf({ allow: true })
    await expect(createRecord(sql, NEVER)(INBOUND, verdict, 0)).rejects.toMatchObject({
      code: 'record_unavailable',
    })
    expect(await rowsOf(verdict)).toHaveLength(1)
  })

  test('an error of the statement itself is not tried again', async () => {
    const sql = faulty(writer(), 9, false, broken('42501'))
    const verdict = await verdictOf({ allow: true })
    await expect(createRecord(sql, NEVER)(INBOUND, verdict, 0)).rejects.toThrow('not committed')
    expect(sql.asked).toBe(1)
    expect(await rowsOf(verdict)).toEqual([])
  })

  test('100 at once are 100 rows in few statements', async () => {
    const sql = faulty(writer(), 0, true, broken('none'))
    const record = createRecord(sql, NEVER)
    const verdicts = await Promise.all(
      Array.from({ length: 100 }, () => verdictOf({ allow: true })),
    )
    await Promise.all(verdicts.map((verdict) => record(INBOUND, verdict, 0)))
    expect(sql.asked).toBeLessThan(5)
    expect((await Promise.all(verdicts.map(rowsOf))).flat()).toHaveLength(100)
  })

  if (name === 'pglite') return

  test('the PEP’s own connections can insert, and nothing else', async () => {
    const sql = openRecordSql(database().url ?? '', SILENT)
    const verdict = await verdictOf({ allow: true })
    await createRecord(sql, NEVER)(INBOUND, verdict, 0)
    expect(await rowsOf(verdict)).toHaveLength(1)
    for (const forbidden of [
      'select * from record',
      'delete from record',
      'update record set tool = 1',
    ]) {
      await expect(sql.query(forbidden)).rejects.toMatchObject({ code: '42501' })
    }
    await sql.close()
  })

  test('a database that does not wait for the disk is refused', async () => {
    const url = `${database().url}?options=${encodeURIComponent('-c synchronous_commit=off')}`
    const sql = openRecordSql(url, SILENT)
    await expect(sql.query('select 1')).rejects.toThrow('synchronous_commit=off')
    await sql.close()
  })
})

test('a commit that does not come in time is a refusal', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const never: Sql = { dialect: 'pglite', query: () => new Promise(() => {}) }
  const verdict = await verdictOf({ allow: true })
  const ended = createRecord(never, NEVER)(INBOUND, verdict, 0).catch((error: unknown) => error)
  await new Promise((resolve) => setImmediate(resolve))
  await vi.advanceTimersByTimeAsync(RECORD_TIMEOUT_MS)
  expect(await ended).toMatchObject({ code: 'record_unavailable' })
  vi.useRealTimers()
})

test('a recorded call opens until its verdict is too old', async () => {
  const fine: Sql = { dialect: 'pglite', query: () => Promise.resolve([]) }
  const call = await createRecord(fine, NEVER)(INBOUND, await verdictOf({ allow: true }), 1_000)
  expect(call?.open(1_000 + VERDICT_AGE_MS_MAX - 1).inbound).toBe(INBOUND)
  expect(() => call?.open(1_000 + VERDICT_AGE_MS_MAX)).toThrow(
    expect.objectContaining({ code: 'verdict_expired' }),
  )
})

test('a credential comes out with `open` alone, and nothing that prints shows it', async () => {
  const fine: Sql = { dialect: 'pglite', query: () => Promise.resolve([]) }
  const released = bearer('canary-secret')
  const verdict = await verdictOf({ allow: true, credential: released })
  const call = await createRecord(fine, NEVER)(INBOUND, verdict, 0)
  const opened = call?.open(1)
  expect(opened?.credential?.headers()).toMatchObject(released.headers)
  expect(call?.credential()).toEqual({ id: released.id, version: 1 })
  expect(call?.verdict).not.toHaveProperty('credential')
  let logged = ''
  const log = pino({ level: 'trace' }, { write: (line) => void (logged += line) })
  const error = Object.assign(new Error('failed', { cause: opened }), { call, opened })
  log.warn({ call, opened, err: error }, 'what a careless line would log')
  const masker = opened?.credential?.masker()
  const deep = { showHidden: true, depth: 9, getters: true }
  const printed = [call, opened, opened?.credential, masker, error].flatMap((one) => {
    return [JSON.stringify(one), inspect(one, deep), JSON.stringify({ ...Object(one) })]
  })
  expect(`${logged}${printed.join('')}`).toContain(released.id)
  expect(shownIn(`${logged}${printed.join('')}`, 'canary-secret')).toEqual([])
})
