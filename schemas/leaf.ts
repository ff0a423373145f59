// Owns the leaves of the log: their fields, and the index columns a row derives from one. No I/O,
// no hashing. A leaf is the truth; a column is only an index of it, and `cedargate ledger fsck`
// compares the two.
import { z } from 'zod'
import { VERDICT_CODES } from './codes.ts'
import { sha256Hex } from './identifiers.ts'

const uuid = z.uuid()
/** Milliseconds since 1970, of the PDP's clock. */
const millis = z.int().nonnegative()
const base64 = z.base64()

/**
 * What every leaf says: which PDP instance issued it (`ep`), as its how-manieth (`sq`, dense from
 * 0), after which leaf (`pv`).
 */
const head = {
  v: z.literal(1),
  id: uuid,
  t: millis,
  pdp: z.string().describe('key id of the instance key that signs this leaf'),
  ep: uuid.describe('boot id of the PDP instance'),
  sq: z.int().nonnegative(),
  pv: z.union([sha256Hex, z.literal('')]).describe('leaf hash of sq-1 in this epoch; empty at 0'),
}

/** Salted SHA-256 commitments, base64; the values and the salt live encrypted beside the leaf. */
const commitments = z.strictObject({
  sub: base64, req: base64, args: base64, ctx: base64, ent: base64, idt: base64,
}) // biome-ignore format: a list

/**
 * The decision leaf (facts: ledger §5.3). Fields stay one or two letters: they are stored for every
 * call.
 */
export const decisionLeaf = z.strictObject({
  ...head,
  k: z.literal('decision'),
  pep: z.string(),
  ag: z.string(),
  sv: z.string(),
  mt: z.string(),
  tl: z.string().nullable(),
  td: sha256Hex.nullable(),
  c: commitments,
  b: sha256Hex.describe('bundle id'),
  ps: z.strictObject({ d: sha256Hex, s: sha256Hex, i: z.int().nullable(), m: sha256Hex }),
  eng: z.strictObject({ n: z.string(), v: z.string(), h: sha256Hex }),
  dc: z.strictObject({
    r: z.enum(['allow', 'deny']),
    by: z.array(z.string()),
    er: z.array(z.string()),
  }),
  cd: z.enum(VERDICT_CODES),
  sh: z
    .strictObject({
      r: z.enum(['allow', 'deny']),
      cd: z.enum(VERDICT_CODES),
      by: z.array(z.string()),
      er: z.array(z.string()),
    })
    .exactOptional()
    .describe('what it would be with the shadow policies; absent where none could apply'),
  cr: z
    .strictObject({ i: uuid, v: z.int().positive() })
    .exactOptional()
    .describe('credential and version that were released with this allow'),
  mode: z.enum(['enforced', 'advisory']),
  cls: z.literal('recorded'),
})

/**
 * How a decided call ended, as its PEP reports it. `st` is the HTTP status, 0 when none came back.
 * `unclaimed` is the PDP's own word: that PEP never recorded the decision, so its PDP did.
 */
export const outcomeLeaf = z.strictObject({
  ...head,
  k: z.literal('outcome'),
  of: uuid.describe('the decision'),
  pep: z.string(),
  rs: z.enum(['forwarded', 'refused', 'failed', 'unknown', 'unclaimed']),
  st: z.int(),
  ms: z.int().nonnegative().describe('milliseconds the upstream took'),
  er: z.boolean().describe('the answer was a JSON-RPC error or isError'),
  by: z.int().nonnegative().describe('bytes of the answer'),
  ec: z.literal(true).exactOptional().describe('the answer held the credential; it was masked'),
})

/**
 * An operator ordered this (`ac`: `grants.revoke` and the like). Committed before it is done; `c.sub` is the operator,
 * `c.req` what it was done to, the rest empty. How it ended is an `act-outcome`; without one nobody knows.
 */
export const actLeaf = z.strictObject({
  ...head,
  k: z.literal('act'),
  ac: z.string(),
  c: commitments,
})

export const actOutcomeLeaf = z.strictObject({
  ...head,
  k: z.literal('act-outcome'),
  of: uuid.describe('the act'),
  st: z.int().describe('HTTP status it was answered'),
})

/**
 * Announces an instance key. `dsig` is the deployment key's Ed25519 signature (base64) over
 * "cedargate/pdp-open/v1" 0x00, the 16 bytes of `ep` and the 32 bytes of `pub`.
 */
export const openLeaf = z.strictObject({
  ...head,
  k: z.literal('pdp-open'),
  pub: base64.describe('raw Ed25519 public key of this instance'),
  dep: z.string().describe('key id of the deployment key'),
  dsig: base64,
})

/** The last leaf of an instance that stopped in order: `n` leaves were issued before it. */
export const closeLeaf = z.strictObject({
  ...head,
  k: z.literal('pdp-close'),
  n: z.int().nonnegative(),
})

export const leaf = z.discriminatedUnion('k', [
  decisionLeaf,
  outcomeLeaf,
  actLeaf,
  actOutcomeLeaf,
  openLeaf,
  closeLeaf,
])
export type DecisionLeaf = z.infer<typeof decisionLeaf>
export type OutcomeLeaf = z.infer<typeof outcomeLeaf>
export type ActLeaf = z.infer<typeof actLeaf>
export type ActOutcomeLeaf = z.infer<typeof actOutcomeLeaf>
export type OpenLeaf = z.infer<typeof openLeaf>
export type CloseLeaf = z.infer<typeof closeLeaf>
export type Leaf = z.infer<typeof leaf>
export type LeafKind = Leaf['k']

/**
 * What the PDP hands to whoever writes the row: base64 bytes, `detail` absent for leaves without
 * personal values.
 */
export const signedRecord = z.strictObject({
  leaf: z.string().describe('canonical text of the leaf'),
  hash: sha256Hex.describe('RFC 6962 leaf hash: SHA-256 of 0x00 and the leaf'),
  sig: base64.describe('Ed25519 of the instance key over the 32 bytes of the leaf hash'),
  person: base64.nullable().describe('keyed pseudonym of the user: an index, not under the hash'),
  detail: z.strictObject({ key: z.string(), ct: base64 }).nullable(),
})
export type SignedRecord = z.infer<typeof signedRecord>

/** The columns of one row that say again what the leaf says. */
export type LeafColumns = {
  readonly id: string
  readonly kind: LeafKind
  readonly at: number
  readonly epoch: string
  readonly seq: number
  readonly pep: string | null
  readonly agent: string | null
  readonly server: string | null
  readonly method: string | null
  readonly tool: string | null
  readonly verdict: 'allow' | 'deny' | null
  readonly code: string | null
  readonly policies: readonly string[] | null
  readonly bundle: string | null
  readonly mode: string | null
  readonly decision: string | null
}

/** The one projection from leaf to columns, used by whoever writes a row and by fsck. */
export function leafColumns(of: Leaf): LeafColumns {
  const decision = of.k === 'decision' ? of : undefined
  return {
    id: of.id,
    kind: of.k,
    at: of.t,
    epoch: of.ep,
    seq: of.sq,
    pep: of.k === 'decision' || of.k === 'outcome' ? columnText(of.pep) : null,
    agent: columnText(decision?.ag),
    server: columnText(decision?.sv),
    method: columnText(of.k === 'act' ? of.ac : decision?.mt),
    tool: columnText(decision?.tl),
    verdict: decision?.dc.r ?? null,
    code: decision?.cd ?? null,
    policies: decision?.dc.by.map((id) => columnText(id) ?? '') ?? null,
    bundle: decision?.b ?? null,
    mode: decision?.mode ?? null,
    decision: of.k === 'outcome' || of.k === 'act-outcome' ? of.of : null,
  }
}

/**
 * How a text reads in an index column. PostgreSQL refuses NUL, and with it a whole batch: it
 * becomes U+FFFD.
 */
export function columnText(text: string | null | undefined): string | null {
  return text?.replaceAll('\0', '\ufffd') ?? null
}
