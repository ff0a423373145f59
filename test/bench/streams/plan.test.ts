// The arithmetic of the benchmark `streams`: everybody's share, and what a quantile is.
import { expect, test } from 'vitest'
import {
  SESSIONS_MAX,
  SESSIONS_PER_GRANT_MAX,
  STREAMS_MAX,
  STREAMS_PER_GRANT_MAX,
} from '../../../pep/src/limits.ts'
import { FULL, QUICK, quantile, sharesOf } from './plan.ts'

const limits = { streams: STREAMS_PER_GRANT_MAX, children: SESSIONS_PER_GRANT_MAX }

test.each([
  { name: 'full', plan: FULL },
  { name: 'quick', plan: QUICK },
])('$name: everything is given out, within the limits', ({ plan }) => {
  const shares = sharesOf(plan, limits)
  expect(shares.length).toBe(plan.revoked + plan.others)
  for (const kind of ['get', 'listen', 'post', 'children'] as const)
    expect(shares.reduce((sum, share) => sum + share[kind], 0)).toBe(plan[kind])
  for (const { get, listen, children } of shares.slice(0, plan.revoked))
    expect([get + listen + children, children]).toEqual([limits.streams, limits.children])
  for (const { get, listen, children } of shares)
    expect(get + listen + children).toBeLessThanOrEqual(limits.streams)
})

test('the goal of the issue is what is measured: 1,000 streams, 100 children', () => {
  expect(FULL.get + FULL.listen + FULL.post).toBe(1_000)
  expect(FULL.children).toBe(100)
  expect(FULL.get + FULL.listen + FULL.children).toBeLessThanOrEqual(STREAMS_MAX)
  expect(FULL.children / 2).toBeLessThanOrEqual(SESSIONS_MAX)
})

test('nobody gets more than one grant may have', () => {
  expect(() => sharesOf({ ...FULL, others: 5 }, limits)).toThrow('cannot have')
})

test.each([
  { values: [3, 1, 2], part: 0.5, want: 2 },
  { values: [3, 1, 2], part: 1, want: 3 },
  { values: [], part: 0.5, want: Number.NaN },
])('quantile $part of $values', ({ values, part, want }) => {
  expect(quantile(values, part)).toBe(want)
})
