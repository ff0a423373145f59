// Owns a small good ledger for tests to spoil, and what fsck says about it.

import type { Keys } from '../../pdp/src/keys/keys.ts'
import { createActs } from '../../pdp/src/ledger/acts.ts'
import { fsck } from '../../pdp/src/ledger/fsck.ts'
import { openBundles } from '../../pdp/src/store/bundles.ts'
import { PEP_ROLE } from '../../schemas/database/append.ts'
import type { Sql } from '../../schemas/database/sql.ts'
import type { TestDatabase } from './each-database.ts'
import {
  appendAs,
  BUNDLE_CONTENT,
  BUNDLE_ID,
  decisionInput,
  openTestLedger,
  testClock,
} from './ledger.ts'

/**
 * When every leaf of the good ledger was issued (ms since 1970), and a time when no hole in it is
 * young any more.
 */
export const WRITTEN = decisionInput().time
export const LATER = WRITTEN + 3_600_000

/**
 * Nine rows in two epochs, the first one closed: decisions with and without user, tool and policies, an outcome, an act
 * and how it ended. Answers the ids of the three decisions.
 */
export async function writeGoodLedger({ store }: TestDatabase, keys: Keys): Promise<string[]> {
  await openBundles(store.sql, () => WRITTEN).keep({
    id: BUNDLE_ID,
    content: BUNDLE_CONTENT,
    source: 'test',
    commit: null,
  })
  const ledger = await openTestLedger(store.sql, keys, testClock(WRITTEN))
  await ledger.prepare(['alice', 'bob', null], WRITTEN)
  const denied = { decision: 'deny', code: 'no_permit', policies: [], tool: null } as const
  const sealed = [
    decisionInput(),
    decisionInput({ user: 'bob', method: 'ping', authorization: denied }),
    decisionInput({ user: null, definition: null }),
  ].map((input) => ledger.seal(input))
  await appendAs(
    store.withRole(PEP_ROLE),
    sealed.map(({ record }) => record),
  )
  const decisions = sealed.map(({ id }) => id)
  const [decisionId = ''] = decisions
  await ledger.sealOutcomes('pep-1', [
    { decisionId, result: 'forwarded', status: 200, upstreamMs: 4, isError: false, bytes: 9 },
  ])
  const acts = createActs(ledger, testClock(WRITTEN))
  await acts.end(await acts.begin({ user: 'bob', act: 'grants.revoke', what: { id: 'x' } }), 204)
  await ledger.close()
  await openTestLedger(store.sql, keys, testClock(WRITTEN))
  return decisions
}

export type Found = { readonly check: string; readonly id: string }

/** What fsck finds, in its order; it must count right. */
export async function findings(sql: Sql, keys: Keys, now = LATER): Promise<Found[]> {
  const { deployment, vault } = keys
  const found: Found[] = []
  const ports = { store: { sql }, deploymentPublicKey: deployment.publicKey, vault, now }
  for await (const line of fsck(ports)) {
    if (line.kind === 'finding') found.push({ check: line.check, id: line.id })
    if (line.kind === 'summary' && line.findings !== found.length) {
      throw new Error(`the summary counts ${line.findings} findings of ${found.length}`)
    }
  }
  return found
}

export async function checksFound(sql: Sql, keys: Keys, now = LATER): Promise<string[]> {
  return (await findings(sql, keys, now)).map(({ check }) => check)
}
