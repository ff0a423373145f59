// Owns turning what an operator orders into its leaf and its encrypted detail. No I/O: the chain and the key are passed in.
import { type Canonical, canonicalJson } from '../../../schemas/canonical-json.ts'
import type { Random } from '../../../schemas/ports.ts'
import { NONCE_BYTES } from '../keys/vault.ts'
import { commit, SALT_BYTES } from './commitments.ts'
import { encryptDetail } from './detail.ts'
import type { Instance } from './instance.ts'
import { subjectText } from './seal-decision.ts'
import type { SubjectKey } from './subject-keys.ts'
import type { Sealed } from './types.ts'

/** `act` is `grants.revoke` or the like; `what` it is done to is stored encrypted, and never holds a secret. */
export type ActInput = {
  readonly user: string
  readonly act: string
  readonly what: Canonical
  /** Milliseconds since 1970. */
  readonly time: number
}

type SealPorts = { readonly instance: Instance; readonly random: Random }

/** Throws as Instance.issue and canonicalJson do; a throw uses no number of the chain. */
export function sealAct(
  { instance, random }: SealPorts,
  subject: SubjectKey,
  { user, act, what, time }: ActInput,
): Sealed {
  const req = canonicalJson(what)
  const values = { sub: subjectText(user), req, args: '', ctx: '', ent: '', idt: '' }
  const salt = random(SALT_BYTES)
  const issued = instance.issue({ k: 'act', ac: act, c: commit(salt, values) }, time)
  const about = { key: subject.key, id: issued.id, leafHash: issued.hash }
  const ct = encryptDetail(about, random(NONCE_BYTES), { salt, values })
  const detail = { key: subject.ref, ct: ct.toString('base64') }
  return { id: issued.id, record: { ...issued.record, person: subject.person, detail } }
}
