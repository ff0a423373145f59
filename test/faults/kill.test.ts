// The gateway is killed in the middle of its work: every call it answered is on record after the
// restart, and the ledger has no wrong row and no hole.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type Keys, loadKeys } from '../../pdp/src/keys/keys.ts'
import { openPglite, openPostgres } from '../../pdp/src/store/open.ts'
import type { Sql } from '../../schemas/database/sql.ts'
import { type Found, findings } from '../harness/checked-ledger.ts'
import { type Dev, startDev } from '../harness/dev.ts'
import { legacyText } from '../harness/mcp-request.ts'
import { type Answered, send } from '../harness/raw-http.ts'
import { createTestDatabase } from '../harness/store.ts'

const AT_ONCE = 12
/** Enough to be in the middle of its work. */
const TOLD_MIN = 100

/** Calls until the gateway is gone; `told` takes the ids of the decisions that it answers with. */
async function callUntilGone(dev: Dev, told: string[]): Promise<void> {
  const everything = await sessionOf(dev)
  const caller = async (index: number): Promise<void> => {
    for (;;) {
      const answer = await (index % 2 === 0 ? echo(dev, everything) : write(dev))
      const decision = answer.headers['cedargate-decision']
      if (answer.complete && typeof decision === 'string') told.push(decision)
    }
  }
  const callers = Array.from({ length: AT_ONCE }, (_, index) => caller(index))
  await Promise.allSettled(callers)
}

const headersOf = (dev: Dev, user: string): [string, string][] => [
  ['host', new URL(dev.facts.pepUrl).host],
  ['authorization', `Bearer ${dev.facts.users[user]?.token}`],
  ['content-type', 'application/json'],
  ['accept', 'application/json, text/event-stream'],
]

function post(dev: Dev, user: string, server: string, body: string, session?: string) {
  const more: [string, string][] = session === undefined ? [] : [['mcp-session-id', session]]
  const { port } = new URL(dev.facts.pepUrl)
  const headers = [...headersOf(dev, user), ...more]
  return send({ port: Number(port), method: 'POST', path: `/${server}/mcp`, headers, body })
}

async function sessionOf(dev: Dev): Promise<string> {
  const clientInfo = { name: 'load', version: '1' }
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo }
  const answer = await post(dev, 'alice', 'everything', legacyText('initialize', params))
  return String(answer.headers['mcp-session-id'])
}

let lastId = 1
/** Permitted, so it is forwarded and has an outcome. */
function echo(dev: Dev, session: string): Promise<Answered> {
  const params = { name: 'echo', arguments: { message: 'hi' } }
  return post(dev, 'alice', 'everything', legacyText('tools/call', params, lastId++), session)
}

/** Permitted to nobody like him. */
function write(dev: Dev): Promise<Answered> {
  const params = { name: 'write_file', arguments: { path: 'drafts/x', content: 'x' } }
  return post(dev, 'bob', 'files', legacyText('tools/call', params))
}

/**
 * What fsck finds an hour later, but for what a crash may leave: a number that was issued and neither
 * told nor written when PDP and PEP died at once, in an epoch that was never closed.
 */
async function unexplained(sql: Sql, keys: Keys): Promise<Found[]> {
  const found = await findings(sql, keys, Date.now() + 3_600_000)
  const rows = await sql.query(
    `select id from record where epoch not in (select epoch from record where kind = 'pdp-close')`,
  )
  const crashed = new Set(rows.map(({ id }) => id))
  return found.filter(({ check, id }) => check !== 'chain' || !crashed.has(id))
}

test('killed under load, what it answered is on record', { timeout: 60_000 }, async () => {
  const home = await mkdtemp(join(tmpdir(), 'cedargate-kill-'))
  const databaseUrl = await createTestDatabase()
  const place = { home, ...(databaseUrl === undefined ? {} : { databaseUrl }) }
  const first = await startDev(place)
  const told: string[] = []
  const calls = callUntilGone(first, told)
  while (told.length < TOLD_MIN) await sleep(10)
  await first.stop('SIGKILL')
  await calls

  // Of a killed gateway it is still there, and would be taken for the next one's.
  await rm(join(home, 'dev.json'))
  const second = await startDev(place)
  const { code, stdout } = await second.cli('ledger', 'fsck', '--format', 'json')
  expect({ code, stdout }).toMatchObject({ code: 0 })
  expect(await post(second, 'bob', 'files', legacyText('ping'))).toMatchObject({ complete: true })
  await second.stop()

  const keys = await loadKeys(join(home, 'keys'))
  const store =
    databaseUrl === undefined
      ? await openPglite(join(home, 'database'))
      : await openPostgres(databaseUrl)
  const rows = await store.sql.query('select id from record where id = any($1::uuid[])', [told])
  expect(rows).toHaveLength(new Set(told).size)
  expect(await unexplained(store.sql, keys)).toEqual([])
  await store.close()
  await rm(home, { recursive: true })
})
