// What was looked up is used until something of it changes, and a look-up that is overtaken by a change never is.
import { expect, test } from 'vitest'
import { rememberChanges } from './changes.ts'
import { remembered } from './remembered.ts'

/** A store that answers when told, and a feed that hears when told. The origin of a value is its key. */
function setUp(stored: Record<string, number>, max = 100) {
  const changes = rememberChanges(1_000)
  const state = { fresh: true, refreshed: 0, fail: false, hold: false, afterLookup: () => {} }
  const asked: string[][] = []
  const held: (() => void)[] = []
  const get = remembered<{ key: string; value: number }>({
    feed: {
      ...changes,
      isFresh: () => state.fresh,
      refresh: async () => {
        state.refreshed += 1
        if (state.fail) throw new Error('no look')
        state.fresh = true
      },
    },
    originsOf: ({ key }) => [{ kind: 'key', id: key }],
    lookup: async (keys) => {
      asked.push([...keys])
      const found = keys.flatMap((key) => {
        const value = stored[key]
        return value === undefined ? [] : [[key, { key, value }] as const]
      })
      if (state.hold) await new Promise<void>((resolve) => held.push(resolve))
      state.afterLookup()
      return new Map(found)
    },
    max,
  })
  return {
    asked,
    state,
    stored,
    changes,
    get: async (...keys: string[]) =>
      Object.fromEntries([...(await get(keys))].map(([key, { value }]) => [key, value])),
    change: (key: string, value?: number) => {
      if (value === undefined) delete stored[key]
      else stored[key] = value
      changes.note([{ kind: 'key', id: key }])
    },
    release: () => held.splice(0).forEach((resolve) => resolve()),
  }
}

test('one look-up serves until what it was read from changes', async () => {
  const { get, asked, change } = setUp({ a: 1, b: 2 })
  expect(await get('a', 'b', 'a')).toEqual({ a: 1, b: 2 })
  change('b', 3)
  expect(await get('a')).toEqual({ a: 1 })
  expect(asked).toEqual([['a', 'b']])
  expect(await get('a', 'b')).toEqual({ a: 1, b: 3 })
  expect(asked).toEqual([['a', 'b'], ['b']])
  change('a')
  expect(await get('a', 'b')).toEqual({ b: 3 })
})

test('the unknown is asked for each time', async () => {
  const { get, asked, stored } = setUp({})
  expect(await get('a')).toEqual({})
  stored['a'] = 1
  expect(await get('a')).toEqual({ a: 1 })
  expect(asked).toEqual([['a'], ['a']])
})

test('when it is not fresh nothing is used before it is', async () => {
  const { get, state, asked, change } = setUp({ a: 1 })
  await get('a')
  state.fresh = false
  expect(await get('a')).toEqual({ a: 1 })
  expect([state.refreshed, asked.length]).toEqual([1, 1])
  state.fresh = false
  state.fail = true
  change('a', 2)
  await expect(get('a')).rejects.toThrow('no look')
})

test('look-ups under way are shared, until something changes', async () => {
  const { get, asked, state, release, changes } = setUp({ a: 1, b: 2, c: 3 })
  state.hold = true
  const first = [get('a', 'b'), get('b', 'c'), get('c', 'b')]
  changes.note([{ kind: 'grant', id: 'another' }])
  const second = get('b')
  state.hold = false
  release()
  expect(await Promise.all([...first, second])).toEqual([
    { a: 1, b: 2 }, { b: 2, c: 3 }, { b: 2, c: 3 }, { b: 2 },
  ]) // biome-ignore format: a list
  expect(asked).toEqual([['a', 'b'], ['c'], ['b']])
})

test('a look-up that a change overtook is neither answered nor kept', async () => {
  const { get, asked, state, release, change } = setUp({ a: 1 })
  state.hold = true
  const under = get('a')
  change('a', 2)
  state.hold = false
  release()
  expect(await under).toEqual({ a: 2 })
  expect(await get('a')).toEqual({ a: 2 })
  expect(asked).toHaveLength(2)
})

test('a change of something else overtakes nothing', async () => {
  const { get, asked, state, release, change } = setUp({ a: 1, b: 1 })
  state.hold = true
  const under = get('a')
  change('b', 2)
  release()
  expect(await under).toEqual({ a: 1 })
  state.hold = false
  expect(await get('a')).toEqual({ a: 1 })
  expect(asked).toHaveLength(1)
})

test('what is no longer fresh when the look-up is back is looked at again', async () => {
  const { get, state } = setUp({ a: 1 })
  state.afterLookup = () => {
    state.fresh = false
  }
  expect(await get('a')).toEqual({ a: 1 })
  expect(state.refreshed).toBe(1)
})

test('a look-up that is overtaken again and again is given up', async () => {
  const { get, state, change, asked } = setUp({ a: 1 })
  state.afterLookup = () => change('a', 1)
  await expect(get('a')).rejects.toThrow('faster than they can be looked up')
  expect(asked).toHaveLength(3)
})

test('a look-up that fails fails those who wait, and the next one asks again', async () => {
  const { get, state } = setUp({ a: 1 })
  state.afterLookup = () => {
    throw new Error('connection lost')
  }
  const both = await Promise.allSettled([get('a'), get('a')])
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  state.afterLookup = () => {}
  expect(await get('a')).toEqual({ a: 1 })
})

test('memory is bounded: the oldest are forgotten', async () => {
  const stored = Object.fromEntries(Array.from({ length: 11 }, (_, index) => [`d${index}`, 1]))
  const { get, asked } = setUp(stored, 10)
  await get(...Object.keys(stored))
  asked.length = 0
  await get('d0', 'd10', 'd2')
  expect(asked).toEqual([['d0']])
})
