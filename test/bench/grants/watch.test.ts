// What is said of a revocation: by the last allow and the last event of all PDPs, counted from when it was answered.
import { expect, test } from 'vitest'
import { watch } from './watch.ts'

test('the last allow and the last event of any PDP count', () => {
  const watched = watch(0, 2)
  watched.answered(0, 'allow', 90)
  expect(watched.isAllowedEverywhere()).toBe(false)
  watched.answered(1, 'allow', 130)
  watched.revoking()
  watched.answered(0, 'unauthenticated', 110)
  watched.told(0, 140)
  watched.told(0, 900)
  expect([watched.isAllowedEverywhere(), watched.isOverEverywhere()]).toEqual([true, false])
  watched.answered(1, 'unauthenticated', 131)
  watched.told(1, 105)
  expect(watched.isOverEverywhere()).toBe(true)
  expect(watched.figures(100)).toEqual({ lastAllowMs: 30, eventMs: 40 })
  watched.answered(0, 'allow', 1_200)
  expect(watched.figures(100)).toEqual({ lastAllowMs: 1_100, eventMs: 40 })
})

test('what came before the answer to the revocation took no time', () => {
  const watched = watch(0, 1)
  watched.answered(0, 'allow', 90)
  watched.told(0, 95)
  expect(watched.figures(100)).toEqual({ lastAllowMs: 0, eventMs: 0 })
})

test.each(['no_permit', 'unauthenticated', 'server_not_granted'])('%s is wrong', (said) => {
  expect(() => watch(0, 1).answered(0, said, 0)).toThrow(said)
})
