// How long what was looked up is used, and that it never outlives a `forget`.
import { expect, test } from 'vitest'
import { GRANT_AGE_MS_MAX } from '../../../schemas/limits.ts'
import { rememberRecent } from './recent.ts'

/** A store that answers when told, and a clock that moves when told. */
function setUp(stored: Record<string, number>) {
  let now = 0
  const asked: string[][] = []
  const held: (() => void)[] = []
  let hold = false
  const recent = rememberRecent<number>(
    async (digests) => {
      asked.push([...digests])
      const found = new Map(
        digests.flatMap((d) => (d in stored ? [[d, stored[d] ?? 0] as const] : [])),
      )
      if (hold) await new Promise<void>((resolve) => held.push(resolve))
      return found
    },
    () => now,
  )
  return {
    recent,
    asked,
    stored,
    advance: (ms: number) => {
      now += ms
    },
    hold: (on: boolean) => {
      hold = on
    },
    release: () => held.splice(0).forEach((resolve) => resolve()),
  }
}

const entries = async (found: Promise<ReadonlyMap<string, number>>): Promise<unknown> => {
  return Object.fromEntries(await found)
}

test('one look-up serves until it is too old, measured from its start', async () => {
  const { recent, asked, advance, stored } = setUp({ a: 1 })
  expect(await entries(recent.get(['a', 'a']))).toEqual({ a: 1 })
  stored['a'] = 2
  advance(GRANT_AGE_MS_MAX - 1)
  expect(await entries(recent.get(['a']))).toEqual({ a: 1 })
  expect(asked).toEqual([['a']])
  advance(1)
  expect(await entries(recent.get(['a']))).toEqual({ a: 2 })
})

test('the unknown is asked for each time', async () => {
  const { recent, asked, stored } = setUp({})
  expect(await entries(recent.get(['a']))).toEqual({})
  stored['a'] = 1
  expect(await entries(recent.get(['a']))).toEqual({ a: 1 })
  expect(asked).toEqual([['a'], ['a']])
})

test('only what is missing is asked for, and look-ups under way are shared', async () => {
  const { recent, asked, hold, release } = setUp({ a: 1, b: 2, c: 3 })
  await recent.get(['a'])
  hold(true)
  const all = Promise.all([
    entries(recent.get(['a', 'b'])),
    entries(recent.get(['b', 'c'])),
    entries(recent.get(['c', 'b'])),
  ])
  release()
  expect(await all).toEqual([
    { a: 1, b: 2 },
    { b: 2, c: 3 },
    { b: 2, c: 3 },
  ])
  expect(asked).toEqual([['a'], ['b'], ['c']])
})

test('what was looked up before `forget` is not used after it, even when under way', async () => {
  const { recent, stored, hold, release, asked } = setUp({ a: 1 })
  hold(true)
  const under = entries(recent.get(['a']))
  stored['a'] = 2
  recent.forget()
  hold(false)
  release()
  expect(await under).toEqual({ a: 2 })
  expect(await entries(recent.get(['a']))).toEqual({ a: 2 })
  expect(asked).toHaveLength(2)
})

test('a look-up that takes too long is repeated, and then given up', async () => {
  let now = 0
  let slow = 1
  const recent = rememberRecent<number>(
    async () => {
      if (slow-- > 0) now += GRANT_AGE_MS_MAX
      return new Map([['a', 1]])
    },
    () => now,
  )
  expect(await entries(recent.get(['a']))).toEqual({ a: 1 })
  now += GRANT_AGE_MS_MAX
  slow = 3
  await expect(recent.get(['a'])).rejects.toThrow(/within 500 ms/)
})

test('a look-up that fails fails those who wait, and the next one asks again', async () => {
  let fail = true
  const recent = rememberRecent<number>(
    async () => {
      if (fail) throw new Error('connection lost')
      return new Map([['a', 1]])
    },
    () => 0,
  )
  const both = await Promise.allSettled([recent.get(['a']), recent.get(['a'])])
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  fail = false
  expect(await entries(recent.get(['a']))).toEqual({ a: 1 })
})

test('memory is bounded: the oldest are forgotten', async () => {
  const asked: string[] = []
  const recent = rememberRecent<number>(
    async (digests) => {
      asked.push(...digests)
      return new Map(digests.map((digest) => [digest, 1]))
    },
    () => 0,
  )
  await recent.get(Array.from({ length: 10_001 }, (_, index) => `d${index}`))
  asked.length = 0
  await recent.get(['d0', 'd10000'])
  expect(asked).toEqual(['d0'])
})
