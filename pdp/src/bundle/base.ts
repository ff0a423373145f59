// Owns the base policies: those that come with the gateway, and the ids that nobody else may take. Never looks at what a
// bundle says: they are the same in every one.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { scopeAttribute } from '../../../schemas/cedar.ts'
import { SCOPES, type Scope } from '../../../schemas/scopes.ts'
import type { Candidate } from '../engine/candidate.ts'
import type { Finding } from './findings.ts'
import { BundleError } from './findings.ts'
import type { SourcePolicy } from './policies.ts'
import { findingIn, readPolicies } from './policies.ts'

const FILE = 'base.cedar'
const PREFIX = 'cedargate/'

/** Rejects when one of them is missing or wrong: then no bundle can be loaded. */
export async function readBase(candidate: Candidate): Promise<readonly SourcePolicy[]> {
  const text = await readFile(join(import.meta.dirname, FILE), 'utf8')
  const file = `${PREFIX}${FILE}`
  const { policies, findings } = await readPolicies([{ file, text }], new Set(), candidate)
  if (findings.length > 0) throw new BundleError(findings)
  const ids = new Set(policies.map(({ id }) => id))
  const missing = SCOPES.map(basePolicyOf).filter((id) => !ids.has(id))
  if (missing.length > 0) throw new Error(`${file} does not hold ${missing.join(', ')}`)
  return policies
}

/** The base policy that forbids what needs `scope` to whoever lacks it. */
export function basePolicyOf(scope: Scope): string {
  return `${PREFIX}scope-${scopeAttribute(scope)}`
}

/** A finding for each policy of a bundle that has an id of the gateway's. */
export function reservedIds(policies: readonly SourcePolicy[]): Finding[] {
  return policies
    .filter(({ id }) => id.startsWith(PREFIX))
    .map((policy) =>
      findingIn(policy, 0, `ids that begin with \`${PREFIX}\` are the gateway's own`),
    )
}
