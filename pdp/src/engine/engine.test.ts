// The engine with the real cedar-wasm: swapping generations, poison, and threads that throw, hang or die.
import { afterEach, describe, expect, test } from 'vitest'
import type { EngineAnswer, Evaluation, PackedGeneration } from '../../../schemas/cedar.ts'
import { packGeneration } from '../../../schemas/cedar.ts'
import { CANARIES, CANARY_GENERATION } from './canary.ts'
import { startCandidate } from './candidate.ts'
import type { Engine } from './engine.ts'
import { startEngine } from './engine.ts'
import type { Pool, PoolCounts } from './pool.ts'
import { startPool } from './pool.ts'
import type { Thread } from './thread.ts'
import { startThread } from './thread.ts'
import { loadCedarWasm } from './wasm.ts'

const SCHEMA = CANARY_GENERATION.schemas[0]?.schema ?? ''

/** A generation of its own keys, whose policies can be anything. */
function generation(id: string, policies: Record<string, string>): PackedGeneration {
  const [set] = CANARY_GENERATION.policySets
  const own = { key: 'own', policies: { ...set?.policies, ...policies } }
  return packGeneration({ id, policySets: [own], schemas: [{ key: 'own', schema: SCHEMA }] })
}
function song(id: string, index = 0): Evaluation {
  const texts = CANARIES[index]?.call.texts ?? { request: '', context: '', entities: '' }
  return { generation: id, policySet: 'own', schema: 'own', texts }
}
const known = async (engine: Engine, id: string) => {
  const answers = await engine.evaluate(CANARIES.map((_, index) => song(id, index)))
  return answers.map((answer) => (answer.kind === 'success' ? answer.decision : answer.kind))
}
const KNOWN = CANARIES.map(({ decision }) => decision)

let stops: (() => Promise<void>)[] = []
afterEach(async () => {
  await Promise.all(stops.map((stop) => stop()))
  stops = []
})
/** A loaded machine is late: only what is about time says another. */
const LONG_MS = 10_000

async function started(settings: Partial<Parameters<typeof startEngine>[0]> = {}): Promise<Engine> {
  const engine = await startEngine({ workers: 1, timeoutMs: LONG_MS, ...settings })
  stops.push(() => engine.stop())
  return engine
}

test('it knows who it is', async () => {
  const { identity } = await started()
  expect(identity).toEqual({
    n: 'cedar-wasm',
    v: '4.13.0',
    h: expect.stringMatching(/^[0-9a-f]{64}$/),
  })
})

describe('generations', () => {
  test('before the first, and of another, every call is a fault', async () => {
    const engine = await started()
    expect(await known(engine, 'a')).toEqual(KNOWN.map(() => 'fault'))
    await engine.activate(generation('a', {}))
    expect(await known(engine, 'a')).toEqual(KNOWN)
    const [own, other] = await engine.evaluate([song('a'), song('b')])
    expect([own?.kind, other?.kind]).toEqual(['success', 'fault'])
  })

  test('a key of no generation is a fault, and no question for Cedar', async () => {
    const engine = await started()
    await engine.activate(generation('a', {}))
    const [answer] = await engine.evaluate([{ ...song('a'), policySet: 'absent' }])
    expect(answer?.kind).toBe('fault')
  })

  test('what is under way is answered by the generation it was asked of', async () => {
    const engine = await started()
    const shut = { 'a/shut': 'forbid(principal, action, resource);' }
    await engine.activate(generation('open', {}))
    const before = Array.from({ length: 100 }, () => engine.evaluate([song('open')]))
    await engine.activate(generation('shut', shut))
    expect(await known(engine, 'shut')).toEqual(['deny', 'deny', 'deny', 'failure'])
    for (const [answer] of await Promise.all(before))
      expect(answer).toMatchObject({ decision: 'allow' })
    expect(engine.stats().generation).toBe('shut')
    await expect
      .poll(() => known(engine, 'open'), { timeout: 10_000 })
      .toEqual(KNOWN.map(() => 'fault'))
  })

  test.each<{ name: string; bad: PackedGeneration }>([
    { name: 'a policy that is none', bad: generation('b', { 'x/y': 'permit(principal' }) },
    { name: 'a policy that kills an instance', bad: generation('b', { 'x/y': `permit(principal,action,resource) when { ${'('.repeat(5_000)}true${')'.repeat(5_000)} };` }) },
    { name: 'a schema that is none', bad: packGeneration({ id: 'b', policySets: [], schemas: [{ key: 'own', schema: '{"A":1}' }] }) },
  ])('$name never becomes active, and the one before stays', async ({ bad }) => {
    const engine = await started()
    await engine.activate(generation('a', {}))
    await expect(engine.activate(bad)).rejects.toThrow(Error)
    expect(engine.stats().generation).toBe('a')
    expect(await known(engine, 'a')).toEqual(KNOWN)
    expect(await known(engine, 'b')).toEqual(KNOWN.map(() => 'fault'))
  }) // biome-ignore format: a table
})

describe('poison', () => {
  const { request, context, entities } = song('a').texts
  const air = (text: string) => ({ request, context: `{"air":${text}}`, entities })
  /** What a caller could make of an argument. None of it may reach wasm as something that throws. */
  const values = [
    air('"\\ud800"'),
    air('{"\\udfff":1}'),
    air(`${'['.repeat(200)}${']'.repeat(200)}`),
    air('{"__extn":{"fn":"unknown","arg":"x"}}'),
    air('{"__entity":{"type":"Canary::Bird","id":"x"}}'),
    air('{"__expr":"true"}'),
    air('null'),
    air('1e400'),
    air('"x","more":1'),
  ]
  /** What only a mistake of ours could make: it throws, and is counted. */
  const malformed = [
    { request, context: 'not JSON', entities },
    { request, context: '[]', entities },
    { request, context, entities: '{}' },
    { request: '{}', context, entities },
    { request: 'null', context, entities },
  ]

  test.each([
    { name: 'values', poisons: values, throws: 0, replaced: 0 },
    { name: 'texts', poisons: malformed, throws: 1_200, replaced: 10 },
  ])('2,000 poisonous $name allow nothing and leave it deciding correctly', async (row) => {
    const { poisons, throws, replaced } = row
    const engine = await started()
    await engine.activate(generation('a', {}))
    for (let round = 0; round < 20; round++) {
      const batch = Array.from({ length: 100 }, (_, index) => ({
        ...song('a'),
        texts: poisons[(round + index) % poisons.length] ?? song('a').texts,
      }))
      const answers = await engine.evaluate(batch)
      expect(answers.filter(({ kind }) => kind === 'success')).toEqual([])
      expect(await known(engine, 'a')).toEqual(KNOWN)
    }
    expect(engine.stats()).toMatchObject({ throws, replaced })
  })

  test('a thread is replaced after so many throws', async () => {
    const engine = await started({ throwsMax: 5 })
    await engine.activate(generation('a', {}))
    const bad = { ...song('a'), texts: { request, context: 'not JSON', entities } }
    for (let count = 0; count < 12; count++) await engine.evaluate([bad])
    expect(engine.stats()).toMatchObject({ throws: 12, replaced: 2, faults: 12 })
    expect(await known(engine, 'a')).toEqual(KNOWN)
  })

  test('a policy text that Cedar does not survive is named, in a thread of its own', async () => {
    const candidate = await startCandidate()
    stops.push(() => candidate.close())
    const deep = `permit(principal,action,resource) when { ${'('.repeat(500)}true${')'.repeat(500)} };`
    const texts = ['permit(principal,action,resource);', deep, 'permit(principal,action,resource);']
    const parsed = await candidate.parse(texts)
    expect(parsed.map(({ ok }) => ok)).toEqual([true, false])
  })
})

type Ask = Thread['ask']
type Fault = (thread: Thread, ...asked: Parameters<Ask>) => ReturnType<Ask>

/** A thread that was faster than its end counts as one that was not. */
const kill: Fault = async (thread, message, limit) => {
  const answer = thread.ask(message, limit)
  await thread.stop()
  const found = await answer
  return found.kind === 'answered' ? { kind: 'died', answers: [], cause: 'killed' } : found
}
/** The instance dies at the second call of the batch. */
const die: Fault = async (thread, message, limit) => {
  const found = await thread.ask(message, limit)
  const answers = found.kind === 'answered' ? found.answers.slice(0, 1) : []
  return { kind: 'died', answers, cause: 'RuntimeError' }
}
const late: Fault = (thread, message) => thread.ask(message, 0)
const right = (answers: readonly EngineAnswer[]) =>
  answers.every((answer) => answer.kind === 'success' && answer.decision === 'allow')

describe('threads', () => {
  /** A pool of real threads, of which the first `faults.length` evaluations go wrong. */
  async function pool(threads: number, faults: Fault[], timeoutMs = 3_000) {
    const { module } = await loadCedarWasm()
    const counts: PoolCounts = { evaluations: 0, throws: 0, replaced: 0, retried: 0, faults: 0 }
    const faulty = (of: WebAssembly.Module): Thread => {
      const thread = startThread(of)
      return {
        stop: thread.stop,
        ask(message, limit) {
          const fault = message.kind === 'evaluate' ? faults.shift() : undefined
          return fault === undefined ? thread.ask(message, limit) : fault(thread, message, limit)
        },
      }
    }
    const settings = { module, threads, timeoutMs, throwsMax: 100, counts, start: faulty }
    const of: Pool = await startPool({ ...settings, generation: generation('a', {}) })
    stops.push(() => of.stop())
    return { pool: of, counts }
  }
  const calls = Array.from({ length: 8 }, () => song('a'))

  test.each<{ name: string; faults: Fault[] }>([
    { name: 'killed', faults: [kill] },
    { name: 'lost to its instance', faults: [die] },
    { name: 'killed and its replacement too, at another call', faults: [die, die] },
  ])('a batch whose thread is $name is answered all the same', async ({ faults }) => {
    const { pool: of, counts } = await pool(1, faults)
    expect(right(await of.evaluate(calls))).toBe(true)
    expect(right(await of.evaluate(calls))).toBe(true)
    expect(counts).toMatchObject({ faults: 0 })
  })

  test('a call that loses a second thread is a fault; the others are answered', async () => {
    const { pool: of, counts } = await pool(1, [kill, kill])
    const answers = await of.evaluate(calls)
    expect(answers.filter(({ kind }) => kind === 'fault').length).toBe(1)
    expect(right(answers.filter(({ kind }) => kind !== 'fault'))).toBe(true)
    expect(counts.replaced).toBe(2)
  })

  test('a late thread is a fault, and is replaced', async () => {
    const { pool: of, counts } = await pool(1, [late])
    const many = Array.from({ length: 64 }, () => song('a'))
    const answers = await of.evaluate(many)
    expect(answers).toEqual(many.map(() => ({ kind: 'fault', cause: 'no answer in time' })))
    expect(right(await of.evaluate(calls))).toBe(true)
    expect(counts).toMatchObject({ faults: 64, replaced: 1, retried: 0 })
  })

  test('when no thread is free in time, waiting is over', async () => {
    const { pool: of } = await pool(1, [() => new Promise(() => {})], 200)
    const [stuck, waiting] = await Promise.all([of.evaluate(calls), of.evaluate(calls)])
    const fault = { kind: 'fault', cause: 'no thread was free in time' }
    expect([...(stuck ?? []), ...(waiting ?? [])]).toEqual([...calls, ...calls].map(() => fault))
  })

  test('killed again and again, every answer is right or a fault', async () => {
    const faults = Array.from({ length: 6 }, (_, index) => (index % 2 === 0 ? kill : die))
    const { pool: of } = await pool(2, faults)
    for (let round = 0; round < 8; round++) {
      const answers = await of.evaluate(calls)
      expect(right(answers.filter(({ kind }) => kind !== 'fault'))).toBe(true)
    }
    expect(right(await of.evaluate(calls))).toBe(true)
  })

  test('stopping answers what is under way', async () => {
    const { pool: of } = await pool(1, [])
    const answered = of.evaluate(calls)
    await of.stop()
    const asked = Date.now()
    expect((await answered).length).toBe(calls.length)
    expect(Date.now() - asked).toBeLessThan(1_000)
  })
})

test('an instance that answers the canary wrongly never decides anything', async () => {
  const engine = await started()
  const policies = { 'a/b': 'permit(principal, action, resource);' }
  const [set] = CANARY_GENERATION.policySets
  const policySets = [{ key: set?.key ?? '', policies }]
  const lying = packGeneration({ id: 'a', policySets, schemas: [] })
  await expect(engine.activate(lying)).rejects.toThrow(/its own check/)
})
