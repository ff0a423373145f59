// Owns how `@require_approval` is written. Pure; asks nobody for an approval: until approvals exist, such a forbid
// is a forbid like any other.
import type { PolicyJson } from '../../../schemas/cedar.ts'
import { subjectId } from '../../../schemas/identifiers.ts'

/** People who must agree; more than these is a mistake, or a way to say never. */
const APPROVERS_MAX = 16
const TERMS = /^group=([^;=]+);count=([1-9]\d?);ttl=(P[^;]+)$/
/** ISO 8601, of days, hours, minutes and seconds: a month has no length. */
const DURATION = /^P(?!$)(?:\d{1,3}D)?(?:T(?=\d)(?:\d{1,3}H)?(?:\d{1,4}M)?(?:\d{1,5}S)?)?$/

/** Everything wrong with how `policy` asks for approval; nothing when it does not. */
export function approvalProblems({ effect, annotations }: PolicyJson): string[] {
  const written = annotations?.['require_approval']
  if (written === undefined) return []
  const problems = isTerms(written ?? '') ? [] : [GRAMMAR]
  if (effect !== 'forbid') problems.push('@require_approval belongs on a forbid: it softens one')
  return problems
}

const GRAMMAR =
  '@require_approval must be "group=<team>;count=<n>;ttl=<duration>", ' +
  `n from 1 to ${APPROVERS_MAX}, e.g. "group=leads;count=1;ttl=PT15M"`

function isTerms(written: string): boolean {
  const [, group = '', count = '', ttl = ''] = TERMS.exec(written) ?? []
  return subjectId.safeParse(group).success && Number(count) <= APPROVERS_MAX && DURATION.test(ttl)
}
