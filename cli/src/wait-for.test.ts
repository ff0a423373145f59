// Waiting: it looks at once, again and again, and no longer than it may.
import { expect, test } from 'vitest'
import { waitFor } from './wait-for.ts'

test('what is there is found without waiting', async () => {
  expect(await waitFor(async () => 'found', 60_000, 0)).toBe('found')
})

test('it looks again until it is there', async () => {
  let looks = 0
  expect(await waitFor(async () => (++looks === 3 ? looks : undefined), 1, 10_000)).toBe(3)
})

test('in time, or not at all', async () => {
  let looks = 0
  const look = async () => {
    looks++
    return undefined
  }
  expect(await waitFor(look, 20, 50)).toBe(undefined)
  expect(looks).toBeGreaterThan(1)
  expect(looks).toBeLessThan(4)
})

test('what goes wrong is not waited for', async () => {
  await expect(waitFor(() => Promise.reject(new Error('no')), 1, 1_000)).rejects.toThrow('no')
})
