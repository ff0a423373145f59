// Owns writing the PDP's records before anything is answered or forwarded, and the proof that one
// was written. Never reads a record back: its role may only INSERT.
import { appendStatement, recordBytes } from '../../../schemas/database/append.ts'
import type { Sql } from '../../../schemas/database/sql.ts'
import type { SignedRecord } from '../../../schemas/leaf.ts'
import { RECORD_ROWS_MAX, RECORD_TIMEOUT_MS, VERDICT_AGE_MS_MAX } from '../../../schemas/limits.ts'
import type { Verdict } from '../../../schemas/pep-api.ts'
import { createBatcher } from '../batch.ts'
import { Credential } from '../credential.ts'
import { GatewayError } from '../gateway-error.ts'
import type { Addressed, Inbound } from '../inbound/receive.ts'
import { RECORD_BYTES_MAX, RECORDS_IN_FLIGHT_MAX, WAITING_MAX } from '../limits.ts'

/**
 * A verdict whose record is committed. The record is gone from it: it is long, and a stream keeps its verdict; so is the
 * credential, which nothing may show.
 */
export type Settled = Omit<Verdict, 'record' | 'credential'>

/** What may be sent now, and what it is sent with. */
export type Opened = { readonly inbound: Inbound; readonly credential: Credential | undefined }

/** Whether the revocation of this grant was heard. Not hearing of one allows nothing. */
export type IsRevoked = (grant: string | null) => boolean

/** A call that was allowed and whose record is committed. Only `record` below makes one. */
class Recorded {
  readonly #inbound: Inbound
  readonly #askedAt: number
  readonly #isRevoked: IsRevoked
  readonly #credential: Credential | undefined
  readonly verdict: Settled
  readonly of: Addressed

  constructor(inbound: Inbound, verdict: Verdict, askedAt: number, isRevoked: IsRevoked) {
    const { kind, method, id, era, server, grant } = inbound
    this.of = { kind, method, id, era, server, grant }
    this.#inbound = inbound
    this.#askedAt = askedAt
    this.#isRevoked = isRevoked
    const { record: _, credential, ...settled } = verdict
    this.#credential = credential === undefined ? undefined : new Credential(credential)
    this.verdict = settled
  }

  /**
   * What to send, at the last moment before sending it. Throws verdict_expired when the verdict is
   * VERDICT_AGE_MS_MAX old, unauthenticated when its grant was revoked meanwhile; `now` is of the clock that `askedAt`
   * was of.
   */
  open(now: number): Opened {
    if (this.#isRevoked(this.of.grant))
      throw new GatewayError('unauthenticated', 'the grant was revoked meanwhile', {
        fault: 'revoked',
      })
    if (now - this.#askedAt < VERDICT_AGE_MS_MAX)
      return { inbound: this.#inbound, credential: this.#credential }
    throw new GatewayError('verdict_expired', 'the call was allowed too long ago to be sent now')
  }

  /** What it is sent with, if it is sent at all. */
  credential(): { readonly id: string; readonly version: number } | undefined {
    if (this.#credential === undefined) return undefined
    const { id, version } = this.#credential
    return { id, version }
  }
}

export type { Recorded as RecordedCall }

/** Commits the record of `verdict`; then the call if it was allowed, undefined if it was denied. */
export type RecordVerdict = (
  inbound: Inbound,
  verdict: Verdict,
  askedAt: number,
) => Promise<Recorded | undefined>

/**
 * Writes in self-clocking batches through `sql`. Throws record_unavailable when no commit was seen
 * within RECORD_TIMEOUT_MS: the record may be there all the same, and the call is refused.
 */
export function createRecord(sql: Sql, isRevoked: IsRevoked): RecordVerdict {
  const append = createBatcher<SignedRecord, undefined>({
    countMax: RECORD_ROWS_MAX,
    weightMax: RECORD_BYTES_MAX,
    weigh: recordBytes,
    inFlightMax: RECORDS_IN_FLIGHT_MAX,
    waitingMax: WAITING_MAX,
    full: () => new GatewayError('record_unavailable', `${WAITING_MAX} records wait to be written`),
    send: (records) => commit(sql, records),
  })
  return async (inbound, verdict, askedAt) => {
    await append(verdict.record)
    if (verdict.decision === 'deny') return undefined
    return new Recorded(inbound, verdict, askedAt, isRevoked)
  }
}

async function commit(sql: Sql, records: readonly SignedRecord[]): Promise<undefined[]> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no commit in time')), RECORD_TIMEOUT_MS)
  })
  try {
    await Promise.race([insert(sql, records), late])
  } catch (cause) {
    throw new GatewayError('record_unavailable', 'the record was not committed', { cause })
  } finally {
    clearTimeout(timer)
  }
  return records.map(() => undefined)
}

/** Once more after a lost connection: the statement adds nothing twice. */
async function insert(sql: Sql, records: readonly SignedRecord[]): Promise<void> {
  const { name, text, params } = appendStatement(sql.dialect, records)
  try {
    await sql.query(text, params, name)
  } catch (error) {
    if (!isLostConnection(error)) throw error
    await sql.query(text, params, name)
  }
}

/**
 * SQLSTATE classes 08 and 57P are about the connection; an error without one never reached the
 * database's own word.
 */
function isLostConnection(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return !/^[0-9A-Z]{5}$/.test(code) || code.startsWith('08') || code.startsWith('57P')
}
