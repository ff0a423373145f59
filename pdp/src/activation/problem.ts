// Owns why the bundle of a source is not active, in words for operators.
import type { Finding } from '../bundle/findings.ts'
import { BundleError, findingLine } from '../bundle/findings.ts'

export type Problem = {
  /** One line a finding, `file:line:column: message`; or the one line that says what could not be done. */
  readonly message: string
  readonly findings: readonly Finding[]
  /** The revision of the source that is wrong; null when the source could not be read or checked. */
  readonly revision: string | null
}

/** Findings told of one bundle. */
const FINDINGS_MAX = 100

/** A refusal that stands until the source changes, though no file is wrong. */
export class Refused extends Error {
  override readonly name = 'Refused'
}

export function problemOf(error: unknown, revision: string | null = null): Problem {
  if (error instanceof BundleError) {
    const errors = error.findings.filter(({ severity }) => severity === 'error')
    const findings = errors.slice(0, FINDINGS_MAX)
    const more = errors.length - findings.length
    const lines = [...findings.map(findingLine), ...(more > 0 ? [`and ${more} more`] : [])]
    return { message: lines.join('\n'), findings, revision }
  }
  const message = error instanceof Error ? error.message : String(error)
  return { message, findings: [], revision: error instanceof Refused ? revision : null }
}
