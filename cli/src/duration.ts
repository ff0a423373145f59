// Owns lengths of time on the command line.
import { durationMs } from '../../schemas/duration.ts'
import { CommandError } from './errors.ts'

/** `30m`, `12h` or `90d` in milliseconds. Throws CommandError otherwise; zero is not a duration. */
export function parseDuration(text: string): number {
  const ms = durationMs(text)
  if (ms !== undefined) return ms
  throw new CommandError(`\`${text}\` is not a duration`, {
    hint: 'write for example 30m, 12h or 90d',
  })
}
