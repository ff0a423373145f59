// Owns the policies of a bundle: reading them out of their files, and what each must say of itself. Never evaluates.
import type { EntityJson, PolicyJson } from '../../../schemas/cedar.ts'
import { ENTITY } from '../../../schemas/cedar.ts'
import { BUNDLE_POLICIES_MAX, ID_LENGTH_MAX } from '../../../schemas/limits.ts'
import type { Candidate } from '../engine/candidate.ts'
import type { ParsedPolicy } from '../engine/messages.ts'
import { approvalProblems } from './approval.ts'
import type { PolicyMode } from './bundle.ts'
import type { SourceFile } from './files.ts'
import type { Finding } from './findings.ts'
import { errorAt, placeOf } from './findings.ts'
import type { PolicyText } from './split.ts'
import { splitPolicies, unitOffset } from './split.ts'

/** One policy as its team wrote it. `offset`: of `text` in `source`. */
export type SourcePolicy = {
  readonly id: string
  readonly mode: PolicyMode
  readonly policy: PolicyJson
  readonly text: string
  readonly offset: number
  readonly source: SourceFile
}

/** Annotations with a meaning; any other is a mistake, so that a misspelt one is not silently without effect. */
const ANNOTATIONS: ReadonlySet<string> = new Set([
  'id',
  'owner',
  'severity',
  'reason',
  'mode',
  'require_approval',
])
const SEVERITIES: ReadonlySet<string> = new Set(['low', 'medium', 'high'])
const ID = /^[a-z0-9][a-z0-9_-]*\/[a-z0-9][a-z0-9_.-]*$/

/** Every policy of `files`, and everything wrong with how they are written. Does NOT validate against a schema. */
export async function readPolicies(
  files: readonly SourceFile[],
  servers: ReadonlySet<string>,
  candidate: Candidate,
): Promise<{ readonly policies: readonly SourcePolicy[]; readonly findings: readonly Finding[] }> {
  const pieces = files.flatMap((source) =>
    splitPolicies(source.text).map((piece) => ({ source, ...piece })),
  )
  const parsed = await candidate.parse(pieces.map(({ text }) => text))
  const findings: Finding[] = []
  const policies = new Map<string, SourcePolicy>()
  for (const [index, piece] of pieces.entries()) {
    const answer = parsed[index]
    if (answer === undefined) break
    const read = readPolicy(piece, answer, servers)
    findings.push(...read.findings)
    if (read.policy === undefined) continue
    const { id } = read.policy
    const other = policies.get(id)
    if (other !== undefined)
      findings.push(findingIn(piece, 0, `\`${id}\` is taken: ${whereIs(other)}`))
    else policies.set(id, read.policy)
  }
  if (policies.size > BUNDLE_POLICIES_MAX) {
    findings.push(errorAt('cedar', `more than ${BUNDLE_POLICIES_MAX} policies`))
  }
  return { policies: [...policies.values()], findings }
}

/** A finding at byte `start` of a policy, as Cedar reports it. */
export function findingIn(
  { source, text, offset }: PolicyText & { readonly source: SourceFile },
  start: number,
  message: string,
  severity: Finding['severity'] = 'error',
): Finding {
  const at = placeOf(source.text, offset + unitOffset(text, start))
  return { ...errorAt(source.file, message, at), severity }
}

function whereIs({ source, offset }: SourcePolicy): string {
  const { line, column } = placeOf(source.text, offset)
  return `${source.file}:${line}:${column}`
}

type Piece = PolicyText & { readonly source: SourceFile }
type Read = { readonly policy?: SourcePolicy; readonly findings: readonly Finding[] }

function readPolicy(piece: Piece, parsed: ParsedPolicy, servers: ReadonlySet<string>): Read {
  if (!parsed.ok)
    return { findings: [findingIn(piece, parsed.problem.start, parsed.problem.message)] }
  const { policy } = parsed
  const annotations = policy.annotations ?? {}
  const problems = [
    ...annotationProblems(annotations),
    ...approvalProblems(policy),
    ...serverProblems(policy, servers),
    ...(hasUnsafeInteger(policy.conditions) ? [UNSAFE_INTEGER] : []),
  ]
  const findings = problems.map((message) => findingIn(piece, 0, message))
  const id = annotations['id'] ?? ''
  const mode = annotations['mode'] === 'shadow' ? 'shadow' : 'enforced'
  return ID.test(id) ? { policy: { id, mode, policy, ...piece }, findings } : { findings }
}

function annotationProblems(annotations: NonNullable<PolicyJson['annotations']>): string[] {
  const problems = Object.keys(annotations)
    .filter((name) => !ANNOTATIONS.has(name))
    .map((name) => `unknown annotation @${name}; known are @${[...ANNOTATIONS].join(', @')}`)
  const { id, severity, reason, mode } = annotations
  if (typeof id !== 'string') problems.push('the policy needs an @id("team/slug")')
  else if (!ID.test(id) || id.length > ID_LENGTH_MAX) {
    problems.push(
      `@id must be "team/slug" in a–z, 0–9, \`-\`, \`_\`, at most ${ID_LENGTH_MAX} long`,
    )
  }
  if (severity !== undefined && !SEVERITIES.has(severity ?? '')) {
    problems.push('@severity must be "low", "medium" or "high"')
  }
  if (mode !== undefined && mode !== 'shadow') problems.push('@mode must be "shadow"')
  if (reason === null || reason === '') problems.push('@reason needs a text for the person refused')
  return problems
}

/** Cedar lets any server id stand; one that is not in the bundle is a misspelt policy that never applies. */
function serverProblems(policy: PolicyJson, servers: ReadonlySet<string>): string[] {
  const named = entitiesIn(policy).filter(
    ({ type, id }) => type === ENTITY.server && !servers.has(id),
  )
  return [...new Set(named.map(({ id }) => `no server \`${id}\` in this bundle`))]
}

const UNSAFE_INTEGER = `a number in it is beyond ±${Number.MAX_SAFE_INTEGER}, and would be rounded`

/** Cedar's JSON passes through JavaScript, which has rounded a larger literal to an unsafe integer by now. */
function hasUnsafeInteger(value: unknown): boolean {
  if (typeof value === 'number') return !Number.isSafeInteger(value)
  return typeof value === 'object' && value !== null && Object.values(value).some(hasUnsafeInteger)
}

/** Every entity that stands anywhere in a policy. */
export function entitiesIn(value: unknown): EntityJson[] {
  if (typeof value !== 'object' || value === null) return []
  const { type, id } = value as Partial<EntityJson>
  const self = typeof type === 'string' && typeof id === 'string' ? [{ type, id }] : []
  return [...self, ...Object.values(value).flatMap(entitiesIn)]
}
