// Lengths of time as people write them.
import { expect, test } from 'vitest'
import { parseDuration } from './duration.ts'

test.each([
  ['1m', 60_000],
  ['30m', 1_800_000],
  ['12h', 43_200_000],
  ['90d', 7_776_000_000],
  ['99999d', 8_639_913_600_000],
] as const)('%s', (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
})

test.each(['', '0d', '01d', '-1d', '1.5h', '90', 'd', '90 d', ' 90d', '90D', '90s', '1w', '100000d', '1d12h', '٩d'])(
  '`%s` is refused with examples',
  (text) => {
    expect(() => parseDuration(text)).toThrow(
      expect.objectContaining({ exit: 2, hint: expect.stringContaining('90d'), message: `\`${text}\` is not a duration` }),
    )
  },
) // biome-ignore format: a list
