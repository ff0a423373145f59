// Owns putting a new secret in the place of an old one: sealed for its row, one version on, never half.
import type { Clock, Random } from '../../../schemas/ports.ts'
import { uuidV7 } from '../../../schemas/uuid.ts'
import type { SignedIn } from '../identity/may-connect.ts'
import { type Sealed, seal, type Vaulting } from './envelope.ts'
import type { CredentialRecord, CredentialRows, Owner, Use, Written } from './rows.ts'
import type { Secret } from './secret.ts'
import { underFirst } from './under-first.ts'

export type WritePorts = {
  readonly rows: CredentialRows
  readonly vaulting: Vaulting
  readonly clock: Clock
  readonly random: Random
  /** Where what is set for this server is sent (destination.ts). */
  readonly destinationOf: (server: string) => string
  /** This owner's credentials have changed. */
  readonly onChanged: (owner: Owner) => void
}

/** What to write over what is there; `details` are not secret. */
export type Change = {
  readonly secret: Secret
  readonly details?: Pick<Written, 'issuer' | 'scopes' | 'expires'>
}

/** Others write too: what was read anew is changed anew, so often in all. */
const ATTEMPTS_MAX = 3

/**
 * `change` is asked with what is there now. Undefined when the owner is a user who is offboarded or unknown, or when `by`,
 * where it is said, may not write it any more. Rejects with what `change` does, CredentialFault where nothing can be wrapped,
 * or the database's error: then nobody knows.
 */
export async function writeSecret(
  ports: WritePorts,
  owner: Owner,
  use: Use,
  change: (before: CredentialRecord | undefined) => Promise<Change>,
  by?: SignedIn,
): Promise<CredentialRecord | undefined> {
  const { rows, vaulting, clock, random, onChanged } = ports
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const before = await rows.of(owner, use)
    const changed = await change(before)
    const now = clock.now()
    const id = before?.id ?? uuidV7(now, 0, random(8))
    const { written, key } = await sealed(
      ports,
      { id, owner, version: (before?.version ?? 0) + 1 },
      changed,
    )
    const made =
      before === undefined
        ? await rows
            .insert(id, owner, use, new Date(now), written, by)
            .finally(() => onChanged(owner))
        : await rows.update(before, new Date(now), written, by).finally(() => onChanged(owner))
    if (made !== undefined) return await underFirst({ rows, ring: vaulting.ring }, made, key)
  }
  return undefined
}

async function sealed(
  { vaulting, destinationOf }: WritePorts,
  { id, owner, version }: { readonly id: string; readonly owner: Owner; readonly version: number },
  { secret, details = {} }: Change,
): Promise<{ readonly written: Written } & Pick<Sealed, 'key'>> {
  const { server, user } = owner
  const kept = { to: destinationOf(server), secret }
  const { envelope, key } = await seal(vaulting, kept, { id, server, user, version })
  const names = 'values' in secret ? Object.keys(secret.values).toSorted() : []
  return { written: { kind: secret.kind, names, envelope, ...details }, key }
}
