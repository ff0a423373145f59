// Owns that nothing is left behind under a key-encryption key that may be dropped.
import { rewrap } from './envelope.ts'
import type { KeyRing } from './key-ring.ts'
import type { CredentialRecord, CredentialRows } from './rows.ts'

type Ports = { readonly rows: CredentialRows; readonly ring: KeyRing }

/**
 * Answers `record`, which is committed, under the key that is first in the ring's source; `key` is its data key.
 * INVARIANT: its key is looked at after it was committed, and was first then. Who drops a key counts what it wraps after it
 * ceased to be first, and so counts this row, or it is moved on here. Order: a crash before leaves a row that is counted, or
 * whose key was dropped in that very moment.
 */
export async function underFirst(
  { rows, ring }: Ports,
  record: CredentialRecord,
  key: Uint8Array,
): Promise<CredentialRecord> {
  let now = record
  for (;;) {
    const { id, envelope } = now
    const after = await rewrap(ring, { envelope, key }, now)
    if (after.kek === envelope.kek) return now
    // Not rewrapped: somebody set it anew, and looks after that.
    if (!(await rows.rewrapped(id, envelope, after))) return now
    now = { ...now, envelope: after }
  }
}
