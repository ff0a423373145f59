// Owns the words that go into and come out of the ledger. No behaviour.
import type { VerdictCode } from '../../../schemas/codes.ts'
import type { SignedRecord } from '../../../schemas/leaf.ts'
import type { Outcome } from '../../../schemas/pep-api.ts'
import type { ActInput } from './seal-act.ts'

/** The engine that decides here: name, version, SHA-256 of its wasm. */
export type EngineIdentity = { readonly n: string; readonly v: string; readonly h: string }

/** What a decision would be with the shadow policies. */
export type Shadow = {
  readonly decision: 'allow' | 'deny'
  readonly code: VerdictCode
  readonly policies: readonly string[]
  readonly errors: readonly string[]
}

/** One decision to seal. Texts are committed to and stored byte for byte as given. */
export type DecisionInput = {
  /** Enrolment id of the PEP that asked; `pdp` for what the PDP records itself. */
  readonly pep: string
  readonly user: string | null
  readonly agent: string
  readonly grantId: string | null
  readonly server: string
  readonly method: string
  /** Fingerprint of the tool's definition as it was seen. */
  readonly definition: string | null
  /** Bundle id. */
  readonly bundle: string
  readonly digests: { readonly policySet: string; readonly schema: string; readonly mapper: string }
  readonly authorization: {
    readonly decision: 'allow' | 'deny'
    readonly code: VerdictCode
    readonly policies: readonly string[]
    readonly errors: readonly string[]
    readonly shadow: Shadow | null
    readonly tool: string | null
    readonly cedar: {
      readonly request: string
      readonly context: string
      readonly entities: string
    }
    readonly arguments: string
  }
  /** Milliseconds since 1970, as Cedar was given it. */
  readonly time: number
  readonly mode: 'enforced' | 'advisory'
  /** What is released with it; absent: nothing is. */
  readonly credential?: { readonly id: string; readonly version: number } | undefined
  /** Digest of what the caller showed for an identity; '' when nothing. */
  readonly identity: string
}

/**
 * `record` goes to whoever writes the row; nothing may act on the decision before that row is
 * committed.
 */
export type Sealed = { readonly id: string; readonly record: SignedRecord }

/** Counts since this instance opened, for metrics. */
export type LedgerStats = {
  /** Leaves issued, of every kind. */
  readonly issued: number
  /** Issued, and not yet seen in the database. */
  readonly unconfirmed: number
  /** Records no PEP wrote in time, which this PDP wrote itself. */
  readonly backfilled: number
  /** Records whose id another row already had: fsck names them. */
  readonly displaced: number
  readonly sweepFailures: number
}

export type Ledger = {
  /** Boot id of this instance, and the key id of its instance key. */
  readonly epoch: string
  readonly keyId: string
  /** Makes ready what `seal` needs for these users; throws when the database cannot be reached. */
  readonly prepare: (users: readonly (string | null)[], time: number) => Promise<void>
  /**
   * Numbers, signs and encrypts one decision. Synchronous; throws when its user was not prepared,
   * when the leaf would be larger than LEAF_BYTES_MAX, after `close`, or when too many records wait
   * to be written. Writes nothing.
   */
  readonly seal: (input: DecisionInput) => Sealed
  /** Commits records that the PDP writes itself (advisory decisions, acts). */
  readonly append: (records: readonly SignedRecord[]) => Promise<void>
  /** Seals and commits what a PEP reports. Does NOT check that the decisions are that PEP's. */
  readonly sealOutcomes: (pep: string, outcomes: readonly Outcome[]) => Promise<void>
  /** As `seal`, what an operator orders: nothing may be done about it before its row is committed. */
  readonly sealAct: (input: ActInput) => Sealed
  /** Seals and commits how an act was answered: an HTTP status. */
  readonly sealActOutcome: (act: string, status: number) => Promise<void>
  /** One pass of the back-fill; runs by itself every second. */
  readonly sweep: () => Promise<void>
  readonly stats: () => LedgerStats
  /**
   * Writes what no PEP has written, then the last leaf of this instance. Nothing can be sealed
   * afterwards.
   */
  readonly close: () => Promise<void>
}
