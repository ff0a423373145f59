// Owns how people write a length of time: `30m`, `12h`, `7d`.
import { z } from 'zod'

const UNITS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** In milliseconds; undefined for what is no length of time. Zero is none. */
export function durationMs(text: string): number | undefined {
  const match = /^([1-9]\d{0,4})([mhd])$/.exec(text)
  if (match === null) return undefined
  return Number(match[1]) * UNITS[match[2] as keyof typeof UNITS]
}

/** A length of time in a file, kept as it was written. */
export const durationSetting = z.string().refine((text) => durationMs(text) !== undefined, {
  error: 'write a length of time, for example 30m, 12h or 7d',
})
