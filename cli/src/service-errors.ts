// Owns how the services' own errors read on the command line: one line that names the setting, never a stack.
import { EXIT } from '../../schemas/codes.ts'
import { CommandError } from './errors.ts'

/** Errors that a person can act on, by the name their room gave them, and the exit code each means. */
const ACTIONABLE: ReadonlyMap<string, 1 | 2 | 3> = new Map([
  ['ConfigError', EXIT.usage],
  ['SourceError', EXIT.usage],
  ['Refused', EXIT.invalid],
  ['StoreError', EXIT.internal],
  ['KeysError', EXIT.usage],
  ['BundleError', EXIT.invalid],
])

const BUNDLE_HINT = 'the bundle is the directory that CEDARGATE_BUNDLE or --bundle names'

/** A CommandError for what a person can mend; everything else comes back as it was, to be shown whole. */
export function asCommandError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const exit = ACTIONABLE.get(error.name)
  if (exit === undefined) return error
  const hint = exit === EXIT.invalid ? { hint: BUNDLE_HINT } : {}
  return new CommandError(error.message, { exit, cause: error, ...hint })
}

/** For `catch`. */
export function rethrow(error: unknown): never {
  throw asCommandError(error)
}
