// Owns how the services' own errors read on the command line: one line that names the setting, never a stack.
import { EXIT } from '../../schemas/codes.ts'
import { CommandError } from './errors.ts'

/** Errors that a person can act on, by the name their room gave them, and the exit code each means. */
const ACTIONABLE: ReadonlyMap<string, 1 | 2 | 3> = new Map([
  ['ConfigError', EXIT.usage],
  ['StoreError', EXIT.internal],
  ['KeysError', EXIT.usage],
  ['BundleError', EXIT.invalid],
])

/** A CommandError for what a person can mend; everything else comes back as it was, to be shown whole. */
export function asCommandError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const exit = ACTIONABLE.get(error.name)
  return exit === undefined ? error : new CommandError(error.message, { exit, cause: error })
}
