// Owns how a command ends badly: one line that says what is wrong, a hint that says what to do, and an exit code.
import { EXIT, type ExitCode } from '../../schemas/codes.ts'

/** Thrown by commands for everything a person can act on. Anything else is a bug and exits with `internal`. */
export class CommandError extends Error {
  readonly exit: ExitCode
  readonly hint: string | undefined

  constructor(message: string, options: { exit?: ExitCode; hint?: string; cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.name = 'CommandError'
    this.exit = options.exit ?? EXIT.usage
    this.hint = options.hint
  }
}
