// Outcomes: told in batches, never in the way, and what is lost is counted.
import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import type { Outcome } from '../../schemas/pep-api.ts'
import { REPORT_OUTCOMES_MAX, REPORT_WAITING_MAX } from './limits.ts'
import { createReporter } from './report.ts'
import { createTestPdp } from './testing.ts'

const LOG = pino({ level: 'silent' })
const outcome = (): Outcome => ({
  decisionId: randomUUID(),
  result: 'forwarded',
  status: 200,
  upstreamMs: 1,
  isError: false,
  bytes: 2,
})

test('the end of the process tells what waits, in as many reports as it takes', async () => {
  const pdp = createTestPdp([])
  const reporter = createReporter(pdp.port, LOG)
  const told = Array.from({ length: REPORT_OUTCOMES_MAX + 1 }, outcome)
  for (const one of told) reporter.report(one)
  await reporter.flush()
  expect(pdp.outcomes).toEqual(told)
  expect(reporter.dropped()).toBe(0)
})

test('a report that fails is counted, and the next one is tried', async () => {
  const pdp = createTestPdp([])
  let isDown = true
  const post: typeof pdp.port.post = (...asked) =>
    isDown ? Promise.reject(new Error('down')) : pdp.port.post(...asked)
  const reporter = createReporter({ ...pdp.port, post }, LOG)
  reporter.report(outcome())
  await reporter.flush()
  isDown = false
  reporter.report(outcome())
  await reporter.flush()
  expect([reporter.dropped(), pdp.outcomes.length]).toEqual([1, 1])
})

test('more than may wait are dropped and counted', () => {
  const pdp = createTestPdp([])
  const reporter = createReporter({ ...pdp.port, post: () => new Promise(() => {}) }, LOG)
  for (let count = 0; count < REPORT_WAITING_MAX + 3; count += 1) reporter.report(outcome())
  expect(reporter.dropped()).toBe(3)
})
