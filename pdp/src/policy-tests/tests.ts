// Owns what a policy test is, whichever file it was written in. No behaviour.
import type { CedarTexts } from '../../../schemas/cedar.ts'
import type { VerdictCode } from '../../../schemas/codes.ts'
import type { AuthorizationRequest } from '../authorize/types.ts'
import type { Place } from '../bundle/findings.ts'

/** `message`: decided as the gateway would. `cedar`: put to Cedar as it stands. */
export type Question =
  | { readonly kind: 'message'; readonly request: AuthorizationRequest }
  | { readonly kind: 'cedar'; readonly texts: CedarTexts }

/**
 * `verdict`: code and policies (exact, sorted) count unless null. `cedar`: `reason` is a subset of the determining
 * policies, `errors` how many policies fail. `list`: each of `shows` is listed and none of `hides`; `exactly`: all
 * that is listed.
 */
export type Expectation =
  | {
      readonly kind: 'verdict'
      readonly verdict: 'allow' | 'deny'
      readonly code: VerdictCode | null
      readonly policies: readonly string[] | null
    }
  | {
      readonly kind: 'cedar'
      readonly verdict: 'allow' | 'deny'
      readonly reason: readonly string[]
      readonly errors: number
    }
  | {
      readonly kind: 'list'
      readonly shows: readonly string[]
      readonly hides: readonly string[]
      readonly exactly: boolean
    }

/** One question with its expected answer. `file` is relative to the bundle. */
export type PolicyTest = {
  readonly name: string
  readonly file: string
  readonly place: Place
  readonly question: Question
  readonly expect: Expectation
}
