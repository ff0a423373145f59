// Owns which credentials one server was sent lately, to be masked in what it says. In memory alone. Never has what one caller
// sent masked in what another gets, unless it is a version of the same credential.
import type { Credential } from '../credential.ts'
import {
  CALLER_CREDENTIALS_MASKED_MAX,
  CREDENTIAL_CALLERS_MAX,
  CREDENTIAL_VERSIONS_MASKED_MAX,
  CREDENTIALS_USED_LENGTH_MAX,
} from '../limits.ts'
import { type Masker, maskerOf } from '../mask/masker.ts'

/** Whose a message is: a grant; null is the gateway's own, and that of a server without grants. */
export type Caller = string | null

export type UsedCredentials = {
  /** To be called before it is sent. */
  readonly use: (caller: Caller, credential: Credential | undefined) => void
  /** Of `own`; of what this caller sent last; and of the last versions of these, whoever sent them. */
  readonly maskersFor: (caller: Caller, own: Credential | undefined) => readonly Masker[]
}

/** One credential. Each Map here has what was used last at its end. */
type Versions = { readonly all: Map<number, Credential>; masker: Masker | undefined }

export function createUsedCredentials(): UsedCredentials {
  const byId = new Map<string, Versions>()
  const idsOf = new Map<Caller, Map<string, true>>()
  let length = 0

  const add = (credential: Credential): void => {
    const { id, version } = credential
    const versions = byId.get(id) ?? { all: new Map<number, Credential>(), masker: undefined }
    putLast(byId, id, versions)
    const known = versions.all.get(version)
    if (known?.isSame(credential) === true) return
    versions.masker = undefined
    length += credential.length - (known?.length ?? 0)
    versions.all.set(version, credential)
    length -= dropFirst(versions.all, CREDENTIAL_VERSIONS_MASKED_MAX)?.length ?? 0
    while (length > CREDENTIALS_USED_LENGTH_MAX && byId.size > 1) {
      const forgotten = dropFirst(byId, byId.size - 1)?.all.values() ?? []
      for (const one of forgotten) length -= one.length
    }
  }
  const maskerFor = (versions: Versions): Masker =>
    (versions.masker ??= maskerOf([...versions.all.values()].map((one) => one.forms())))

  return {
    use(caller, credential) {
      if (credential === undefined) return
      add(credential)
      const ids = idsOf.get(caller) ?? new Map<string, true>()
      putLast(ids, credential.id, true)
      dropFirst(ids, CALLER_CREDENTIALS_MASKED_MAX)
      putLast(idsOf, caller, ids)
      dropFirst(idsOf, CREDENTIAL_CALLERS_MAX)
    },
    maskersFor(caller, own) {
      const ids = new Set(idsOf.get(caller)?.keys())
      if (own !== undefined) ids.add(own.id)
      const found = [...ids].flatMap((id) => byId.get(id) ?? [])
      const isKnown =
        own === undefined || byId.get(own.id)?.all.get(own.version)?.isSame(own) === true
      return [...(isKnown ? [] : [own.masker()]), ...found.map(maskerFor)]
    },
  }
}

function putLast<Key, Value>(map: Map<Key, Value>, key: Key, value: Value): void {
  map.delete(key)
  map.set(key, value)
}

/** Answers what it drops, where there is more than `sizeMax`. */
function dropFirst<Key, Value>(map: Map<Key, Value>, sizeMax: number): Value | undefined {
  const [first] = map.size > sizeMax ? map : []
  if (first === undefined) return undefined
  map.delete(first[0])
  return first[1]
}
