// Owns one PDP instance's part of the log, from its first leaf to its last: what it issues is
// numbered without a hole, and every number ends up in the database. Never decides anything, and
// never writes what a PEP is to write in time.
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Sql } from '../../../schemas/database/sql.ts'
import type { SignedRecord } from '../../../schemas/leaf.ts'
import type { Outcome } from '../../../schemas/pep-api.ts'
import type { Clock, Random } from '../../../schemas/ports.ts'
import { uuidV7 } from '../../../schemas/uuid.ts'
import type { Keys } from '../keys/keys.ts'
import { createInstance, type Instance, type LeafBody, openMessage } from './instance.ts'
import { type Issued, trackIssued, type Waiting } from './issued.ts'
import { sealAct } from './seal-act.ts'
import { sealDecision } from './seal-decision.ts'
import { createSubjectKeys, type SubjectKey, type SubjectKeys } from './subject-keys.ts'
import type { EngineIdentity, Ledger, LedgerStats, Sealed } from './types.ts'
import { createWriter, type Write } from './writer.ts'

export type { Ledger } from './types.ts'

export type LedgerPorts = {
  readonly store: { readonly sql: Sql }
  readonly keys: Keys
  readonly engine: EngineIdentity
  readonly clock: Clock
  readonly random: Random
}

const SWEEP_INTERVAL_MS = 1_000
const RANDOM_BLOCK_BYTES = 4_096
/** Outcomes signed before decisions get their turn: all of a report at once hold them up for milliseconds. */
const LEAVES_PER_TURN = 4

/**
 * Opens an epoch: a new boot id and a new key, announced in a leaf that is committed before this
 * resolves.
 */
export async function openLedger(ports: LedgerPorts): Promise<Ledger> {
  const { store, keys, engine, clock } = ports
  const random = pooled(ports.random)
  const instance = createInstance(uuidV7(clock.now(), 0, random(8)), random)
  const issued = trackIssued(store.sql)
  const write = createWriter(store.sql)
  const subjects = createSubjectKeys(store.sql, keys.vault, random)
  const desk: Desk = {
    instance,
    issued,
    write,
    clock,
    counts: { backfilled: 0, displaced: 0, sweepFailures: 0 },
    open: true,
  }

  await append(desk, [await announce(desk, keys)])
  const sweep = oneAtATime(() => backfill(desk))
  const timer = setInterval(() => void sweep(), SWEEP_INTERVAL_MS)
  timer.unref()

  return {
    epoch: instance.epoch,
    keyId: instance.keyId,
    prepare: subjects.prepare,
    seal(input) {
      assertIssuing(desk)
      const subject = subjectOf(subjects, input.user)
      const sealed = sealDecision({ instance, engine, random }, subject, input)
      return waiting(desk, sealed, input.mode === 'enforced' ? input.pep : null)
    },
    sealAct(input) {
      assertIssuing(desk)
      const subject = subjectOf(subjects, input.user)
      return waiting(desk, sealAct({ instance, random }, subject, input), null)
    },
    append: (records) => append(desk, records),
    async sealOutcomes(pep, outcomes) {
      assertIssuing(desk)
      const leaves: SignedRecord[] = []
      for (const outcome of outcomes) {
        leaves.push(issueLeaf(desk, outcomeBody(pep, outcome)))
        if (leaves.length % LEAVES_PER_TURN !== 0) continue
        await nextTurn()
        assertOpen(desk)
      }
      await append(desk, leaves)
    },
    async sealActOutcome(act, status) {
      assertIssuing(desk)
      await append(desk, [issueLeaf(desk, { k: 'act-outcome', of: act, st: status })])
    },
    sweep,
    stats: () => statsOf(desk),
    async close() {
      if (!desk.open) return
      desk.open = false
      clearInterval(timer)
      await sweep()
      await append(
        desk,
        issued.all().map(({ record }) => record),
      )
      await append(desk, [issueLeaf(desk, { k: 'pdp-close', n: instance.count() })])
    },
  }
}

/**
 * Random bytes in blocks: drawing them one by one costs more than hashing with them. Every byte is
 * given out once.
 */
function pooled(random: Random): Random {
  let block = random(RANDOM_BLOCK_BYTES)
  let at = 0
  return (bytes) => {
    if (at + bytes > block.length) {
      block = random(RANDOM_BLOCK_BYTES)
      at = 0
    }
    at += bytes
    return block.subarray(at - bytes, at)
  }
}

type Desk = {
  readonly instance: Instance
  readonly issued: Issued
  readonly write: Write
  readonly clock: Clock
  readonly counts: { backfilled: number; displaced: number; sweepFailures: number }
  /** Until `close`. */
  open: boolean
}

function assertOpen({ open }: Desk): void {
  if (!open) throw new Error('the ledger is closed')
}

/** Throws where nothing may be issued now. */
function assertIssuing(desk: Desk): void {
  assertOpen(desk)
  desk.issued.assertRoom()
}

function subjectOf(subjects: SubjectKeys, user: string | null): SubjectKey {
  const subject = subjects.get(user)
  if (subject === undefined) throw new Error('seal was called before prepare for its user')
  return subject
}

/** What is sealed waits from here on until it is seen in the database. */
function waiting({ issued, clock }: Desk, sealed: Sealed, pep: string | null): Sealed {
  issued.add({ ...sealed, issuedAt: clock.monotonic(), pep })
  return sealed
}

/** The first leaf: this instance's public key, admitted by the deployment key. */
async function announce(desk: Desk, { deployment }: Keys): Promise<SignedRecord> {
  const { epoch, publicKey } = desk.instance
  const dsig = await deployment.sign(openMessage(epoch, publicKey))
  const pub = Buffer.from(publicKey).toString('base64')
  return issueLeaf(desk, {
    k: 'pdp-open',
    pub,
    dep: deployment.id,
    dsig: Buffer.from(dsig).toString('base64'),
  })
}

/** Issues a leaf without personal values, which this PDP is to write. */
function issueLeaf({ instance, issued, clock }: Desk, body: LeafBody): SignedRecord {
  const { id, record: signed } = instance.issue(body, clock.now())
  const record = { ...signed, person: null, detail: null }
  issued.add({ id, record, issuedAt: clock.monotonic(), pep: null })
  return record
}

function outcomeBody(pep: string, outcome: Outcome): LeafBody {
  const { decisionId, result, status, upstreamMs, isError, bytes, credential } = outcome
  return {
    k: 'outcome',
    of: decisionId,
    pep,
    rs: result,
    st: status,
    ms: upstreamMs,
    er: isError,
    by: bytes,
    ...(credential?.echoed === true ? { ec: true as const } : {}),
  }
}

async function append({ write, issued }: Desk, records: readonly SignedRecord[]): Promise<void> {
  if (records.length === 0) return
  await write(records)
  for (const { leaf } of records) issued.confirm((JSON.parse(leaf) as { id: string }).id)
}

/**
 * Failures are counted and tried again by the next pass: nothing is dropped before it is in the
 * database.
 */
async function backfill(desk: Desk): Promise<void> {
  const { issued, clock, counts } = desk
  try {
    const { overdue, displaced } = await issued.overdue(clock.monotonic())
    counts.displaced += displaced
    await Promise.all(overdue.map((entry) => claim(desk, entry)))
  } catch {
    counts.sweepFailures++
  }
}

/**
 * Order: the decision first; a crash before its `unclaimed` outcome leaves an unknown outcome,
 * which is as true.
 */
async function claim(desk: Desk, { record, pep, id }: Waiting): Promise<void> {
  await append(desk, [record])
  desk.counts.backfilled++
  if (pep === null) return
  const unclaimed: LeafBody = {
    k: 'outcome',
    of: id,
    pep,
    rs: 'unclaimed',
    st: 0,
    ms: 0,
    er: false,
    by: 0,
  }
  await append(desk, [issueLeaf(desk, unclaimed)])
}

function statsOf({ instance, issued, counts }: Desk): LedgerStats {
  return { issued: instance.count(), unconfirmed: issued.size(), ...counts }
}

function oneAtATime(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined
  return () => {
    running ??= work().finally(() => {
      running = undefined
    })
    return running
  }
}
