// Owns turning one decision into its leaf and its encrypted detail. No I/O: the chain and the key
// are passed in.
import { hash } from 'node:crypto'
import { canonicalJson } from '../../../schemas/canonical-json.ts'
import type { DecisionLeaf } from '../../../schemas/leaf.ts'
import type { Random } from '../../../schemas/ports.ts'
import { NONCE_BYTES } from '../keys/vault.ts'
import { commit, type DetailValues, SALT_BYTES } from './commitments.ts'
import { encryptDetail } from './detail.ts'
import type { Instance } from './instance.ts'
import type { SubjectKey } from './subject-keys.ts'
import type { DecisionInput, EngineIdentity, Sealed, Shadow } from './types.ts'

type SealPorts = {
  readonly instance: Instance
  readonly engine: EngineIdentity
  readonly random: Random
}

/** Throws as Instance.issue does; a throw uses no number of the chain. */
export function sealDecision(
  { instance, engine, random }: SealPorts,
  subject: SubjectKey,
  input: DecisionInput,
): Sealed {
  const values = detailValues(input)
  const salt = random(SALT_BYTES)
  const { authorization, digests } = input
  const {
    id,
    hash: leafHash,
    record,
  } = instance.issue(
    {
      k: 'decision',
      pep: bounded(input.pep),
      ag: bounded(input.agent),
      sv: bounded(input.server),
      mt: bounded(input.method),
      tl: authorization.tool === null ? null : bounded(authorization.tool),
      td: input.definition,
      c: commit(salt, values),
      b: input.bundle,
      ps: { d: digests.policySet, s: digests.schema, i: null, m: digests.mapper },
      eng: { n: engine.n, v: engine.v, h: engine.h },
      dc: {
        r: authorization.decision,
        by: authorization.policies.toSorted(),
        er: authorization.errors.toSorted(),
      },
      cd: authorization.code,
      ...shadowOf(authorization.shadow),
      ...releasedOf(input.credential),
      mode: input.mode,
      cls: 'recorded',
    },
    input.time,
  )
  const about = { key: subject.key, id, leafHash }
  const ct = encryptDetail(about, random(NONCE_BYTES), { salt, values })
  return {
    id,
    record: {
      ...record,
      person: input.user === null ? null : subject.person,
      detail: { key: subject.ref, ct: ct.toString('base64') },
    },
  }
}

function shadowOf(shadow: Shadow | null): Pick<DecisionLeaf, 'sh'> {
  if (shadow === null) return {}
  const { decision, code, policies, errors } = shadow
  return { sh: { r: decision, cd: code, by: policies.toSorted(), er: errors.toSorted() } }
}

function releasedOf(credential: DecisionInput['credential']): Pick<DecisionLeaf, 'cr'> {
  return credential === undefined ? {} : { cr: { i: credential.id, v: credential.version } }
}

function detailValues({ user, grantId, identity, authorization }: DecisionInput): DetailValues {
  const { cedar } = authorization
  return {
    sub: subjectText(user),
    req: cedar.request.toWellFormed(),
    args: authorization.arguments.toWellFormed(),
    ctx: cedar.context.toWellFormed(),
    ent: cedar.entities.toWellFormed(),
    idt: canonicalJson({ grant: grantId, token: identity }),
  }
}

/** The `sub` of a detail. */
export function subjectText(user: string | null): string {
  return canonicalJson({ user: user?.toWellFormed() ?? null })
}

const NAME_LENGTH_MAX = 256

/**
 * A name from outside, small enough for a leaf: one that is longer ends in `~` and the SHA-256 of
 * the whole.
 */
function bounded(name: string): string {
  if (name.length <= NAME_LENGTH_MAX) return name.toWellFormed()
  const digest = hash('sha256', name)
  return `${name.slice(0, NAME_LENGTH_MAX - 65).toWellFormed()}~${digest}`
}
