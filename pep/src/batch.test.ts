// Batches: what gathers while one is under way is the next; nobody gets another's answer.
import { expect, test } from 'vitest'
import { createBatcher } from './batch.ts'

type Sent = {
  readonly items: readonly number[]
  readonly answer: (results: number[] | Error) => void
}

function batcher(
  limits: { countMax?: number; weightMax?: number; inFlightMax?: number; waitingMax?: number } = {},
) {
  const sent: Sent[] = []
  const add = createBatcher<number, number>({
    countMax: 3,
    weightMax: 1_000,
    weigh: (item) => item,
    inFlightMax: 1,
    waitingMax: 100,
    full: () => new Error('full'),
    ...limits,
    send: (items) =>
      new Promise((resolve, reject) => {
        const answer = (results: number[] | Error) =>
          results instanceof Error ? reject(results) : resolve(results)
        sent.push({ items, answer })
      }),
  })
  return { add, sent }
}

const turn = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))

test('one turn travels together, up to the count; the rest waits for the answer', async () => {
  const { add, sent } = batcher()
  const answers = [1, 2, 3, 4].map(add)
  await turn()
  expect(sent.map(({ items }) => items)).toEqual([[1, 2, 3]])
  answers.push(add(5))
  await turn()
  sent[0]?.answer([10, 20, 30])
  await turn()
  expect(sent[1]?.items).toEqual([4, 5])
  sent[1]?.answer([40, 50])
  expect(await Promise.all(answers)).toEqual([10, 20, 30, 40, 50])
})

test('a heavy item travels alone', async () => {
  const { add, sent } = batcher({ weightMax: 10, inFlightMax: 9 })
  for (const item of [6, 6, 50, 1]) void add(item)
  await turn()
  await turn()
  expect(sent.map(({ items }) => items)).toEqual([[6], [6], [50], [1]])
})

test.each([1, 2])('no more than %i at once', async (inFlightMax) => {
  const { add, sent } = batcher({ countMax: 1, inFlightMax })
  for (const item of [1, 2, 3]) void add(item)
  await turn()
  await turn()
  expect(sent).toHaveLength(inFlightMax)
})

test('a failure is the failure of its batch alone', async () => {
  const { add, sent } = batcher({ countMax: 1 })
  const first = add(1)
  const second = add(2)
  await turn()
  sent[0]?.answer(new Error('lost'))
  await expect(first).rejects.toThrow('lost')
  await turn()
  sent[1]?.answer([20])
  expect(await second).toBe(20)
})

test('an answer of another length is nobody’s', async () => {
  const { add, sent } = batcher()
  const answers = Promise.allSettled([add(1), add(2)])
  await turn()
  sent[0]?.answer([10])
  expect((await answers).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
})

test('too many waiting are turned away', async () => {
  const { add } = batcher({ waitingMax: 2 })
  void add(1)
  void add(2)
  await expect(add(3)).rejects.toThrow('full')
})
