// Owns how people write a length of time on the command line.
import { CommandError } from './errors.ts'

const UNITS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** `30m`, `12h` or `90d` in milliseconds. Throws CommandError otherwise; zero is not a duration. */
export function parseDuration(text: string): number {
  const match = /^([1-9]\d{0,4})([mhd])$/.exec(text)
  if (match === null) {
    throw new CommandError(`\`${text}\` is not a duration`, {
      hint: 'write for example 30m, 12h or 90d',
    })
  }
  return Number(match[1]) * UNITS[match[2] as keyof typeof UNITS]
}
