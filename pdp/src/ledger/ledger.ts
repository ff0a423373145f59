// Owns one PDP instance's part of the log: its key, its boot id, its dense numbering, and the records it has issued.
import type { Sql } from '../../../schemas/database/sql.ts'
import type { Clock, Random } from '../../../schemas/ports.ts'
import type { Keys } from '../keys/keys.ts'
import type { EngineIdentity, Ledger } from './types.ts'

export type { Ledger } from './types.ts'

export type LedgerPorts = {
  readonly store: { readonly sql: Sql }
  readonly keys: Keys
  readonly engine: EngineIdentity
  readonly clock: Clock
  readonly random: Random
}

export async function openLedger(ports: LedgerPorts): Promise<Ledger> {
  throw new Error(`not written yet ${ports.engine.n}`)
}
