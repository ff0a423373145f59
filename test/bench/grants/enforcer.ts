// Owns a PEP's half of the benchmark `grants`: the real one's questions, batches, records and events, without a client and
// without a server. One for each PDP.
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import { createBatcher } from '../../../pep/src/batch.ts'
import { createDecide } from '../../../pep/src/decide.ts'
import { follow } from '../../../pep/src/follow.ts'
import { RECORD_BYTES_MAX, RECORDS_IN_FLIGHT_MAX, WAITING_MAX } from '../../../pep/src/limits.ts'
import { openPdp } from '../../../pep/src/pdp-http.ts'
import { openRecordSql } from '../../../pep/src/record/open.ts'
import { toolsLock } from '../../../schemas/bundle.ts'
import { appendStatement, recordBytes } from '../../../schemas/database/append.ts'
import type { SignedRecord } from '../../../schemas/leaf.ts'
import { RECORD_ROWS_MAX } from '../../../schemas/limits.ts'
import { grantId, SERVER, tokenDigest } from './stored.ts'

export const BUNDLE = join(import.meta.dirname, '..', 'bundle')
const TOOL = 'lookup'
const MESSAGE = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'tools/call',
  params: { name: TOOL, arguments: { customer: 'acme', limit: 10 } },
})

/** `allow`, a reason to reject, or a code that it was denied with; when its answer was there. */
export type Answered = { readonly said: string; readonly at: number }
export type Enforcer = {
  /** One tool call under the grant of that number, decided and recorded. Rejects when there was no verdict. */
  readonly ask: (index: number) => Promise<Answered>
  readonly stop: () => Promise<void>
}

/** `onRevoked` is told the id of a grant, when its event was heard. */
export async function openEnforcer(
  { socket, key, database }: { socket: string; key: string; database: string },
  onRevoked: (grant: string) => void,
): Promise<Enforcer> {
  const log = pino({ level: 'silent' })
  const pdp = openPdp({ socketPath: socket }, key)
  const sql = openRecordSql(database, log)
  const decide = createDecide({ pdp, monotonic: () => performance.now() })
  const append = createBatcher<SignedRecord, undefined>({
    countMax: RECORD_ROWS_MAX,
    weightMax: RECORD_BYTES_MAX,
    weigh: recordBytes,
    inFlightMax: RECORDS_IN_FLIGHT_MAX,
    waitingMax: WAITING_MAX,
    full: () => new Error('too many records wait'),
    send: async (records) => {
      const { name, text, params } = appendStatement(sql.dialect, records)
      await sql.query(text, params, name)
      return records.map(() => undefined)
    },
  })
  const stopping = new AbortController()
  const following = follow(
    {
      pdp,
      log,
      onEvent: (event) => event.kind === 'revoked' && onRevoked(event.grant),
      onHearing: () => {},
    },
    stopping.signal,
  )
  const definition = await reviewedTool()
  return {
    async ask(index) {
      const { result } = await decide(
        {
          requestId: randomUUID(),
          token: tokenDigest(index),
          jwt: null,
          server: SERVER,
          from: 'client',
          method: 'tools/call',
          message: MESSAGE,
          era: 'modern',
          definition,
          client: null,
          sourceIp: '127.0.0.1',
        },
        grantId(index),
      )
      const at = performance.now()
      if (result.kind === 'rejection') return { said: result.reason, at }
      await append(result.record)
      return { said: result.decision === 'allow' ? 'allow' : result.code, at }
    },
    async stop() {
      stopping.abort()
      await following
      await pdp.close()
      await sql.close()
    },
  }
}

async function reviewedTool(): Promise<string> {
  const text = await readFile(join(BUNDLE, 'servers', SERVER, 'tools.lock.json'), 'utf8')
  const found = toolsLock.parse(JSON.parse(text)).tools.at(-1)
  if (found === undefined) throw new Error('the bundle has no tool')
  return found.sha256
}
