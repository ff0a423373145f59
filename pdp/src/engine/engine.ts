// Owns the Cedar engine of a process: which generations are active, and who answers for them. Nothing outside this
// room imports cedar-wasm. Never decides: it answers what Cedar said, and interpreting it is for authorize.
import type { EngineAnswer, Evaluation, PackedGeneration } from '../../../schemas/cedar.ts'
import { ENGINE_THROWS_MAX, ENGINE_TIMEOUT_MS } from '../../../schemas/limits.ts'
import type { Pool, PoolCounts } from './pool.ts'
import { startPool } from './pool.ts'
import type { Thread } from './thread.ts'
import { startThread } from './thread.ts'
import type { CedarWasm } from './wasm.ts'
import { loadCedarWasm } from './wasm.ts'

/** Starting a bare thread and hearing its version. */
const IDENTIFY_TIMEOUT_MS = 10_000

/** A request that took the bundle before may still be looking up its grant: longer than any of them may take. */
const RETIRE_MS = 3_000

/** Which engine decides, as it stands in every leaf: name, version, SHA-256 of the wasm file. */
export type EngineIdentity = { readonly n: string; readonly v: string; readonly h: string }

export type EngineSettings = {
  /** Worker threads per generation, each with its own wasm instance. At least 1. */
  readonly workers: number
  /** Milliseconds until a call that nobody answered is a fault. Default ENGINE_TIMEOUT_MS. */
  readonly timeoutMs?: number
  /** Throws after which a thread is replaced. Default ENGINE_THROWS_MAX. */
  readonly throwsMax?: number
}

export type EngineStats = Readonly<PoolCounts> & {
  readonly generation: string | null
  readonly workers: number
}

export type Engine = {
  readonly identity: EngineIdentity
  /**
   * Parses `generation` in new threads, proves them, and only then puts them in place; calls of the generation
   * before are still answered until they are done. Throws, and changes nothing, when any of it fails.
   */
  readonly activate: (generation: PackedGeneration) => Promise<void>
  /** One answer per evaluation, in order; never rejects. What is not of an active generation is a fault. */
  readonly evaluate: (batch: readonly Evaluation[]) => Promise<EngineAnswer[]>
  readonly stats: () => EngineStats
  /** Ends every thread; what is under way is a fault. */
  readonly stop: () => Promise<void>
}

/** The one wasm file of this process never changes: the first thread that was asked speaks for all. */
let known: EngineIdentity | undefined

/** Which engine a thread has. Throws when it does not answer. */
export async function identify(thread: Thread, { sha256 }: CedarWasm): Promise<EngineIdentity> {
  if (known !== undefined) return known
  const answer = await thread.ask({ kind: 'identify' }, IDENTIFY_TIMEOUT_MS)
  if (answer.kind !== 'identified') throw new Error('cedar-wasm does not tell its version')
  known = { n: 'cedar-wasm', v: answer.version, h: sha256 }
  return known
}

async function identifyOnce(wasm: CedarWasm): Promise<EngineIdentity> {
  if (known !== undefined) return known
  const thread = startThread(wasm.module)
  try {
    return await identify(thread, wasm)
  } finally {
    await thread.stop()
  }
}

/** An engine that has no generation yet, and so answers every call with a fault. */
export async function startEngine(settings: EngineSettings): Promise<Engine> {
  const wasm = await loadCedarWasm()
  const { module } = wasm
  const identity = await identifyOnce(wasm)
  const { workers, timeoutMs = ENGINE_TIMEOUT_MS, throwsMax = ENGINE_THROWS_MAX } = settings
  const counts: PoolCounts = { evaluations: 0, throws: 0, replaced: 0, retried: 0, faults: 0 }
  const pools = new Map<string, Pool>()
  let current: string | null = null
  let activations: Promise<unknown> = Promise.resolve()

  /** The pool before stays for calls that were prepared for it, then ends. */
  const retire = (id: string, pool: Pool): void => {
    const end = async (): Promise<void> => {
      await pool.drained()
      if (current === id) return
      if (pools.get(id) === pool) pools.delete(id)
      await pool.stop()
    }
    setTimeout(() => void end(), RETIRE_MS).unref()
  }

  const activate = async (generation: PackedGeneration): Promise<void> => {
    const kept = pools.get(generation.id)
    const pool =
      kept ??
      (await startPool({ module, generation, threads: workers, timeoutMs, throwsMax, counts }))
    const [before, replaced] = [current, current === null ? undefined : pools.get(current)]
    pools.set(generation.id, pool)
    current = generation.id
    if (before !== null && before !== current && replaced !== undefined) retire(before, replaced)
  }

  return {
    identity,
    activate(generation) {
      const activated = activations.then(() => activate(generation))
      activations = activated.catch(() => {})
      return activated
    },
    evaluate: (batch) => evaluateIn(pools, batch),
    stats: () => ({ ...counts, generation: current, workers }),
    async stop() {
      await activations
      await Promise.all([...pools.values()].map((pool) => pool.stop()))
      pools.clear()
    },
  }
}

async function evaluateIn(
  pools: ReadonlyMap<string, Pool>,
  batch: readonly Evaluation[],
): Promise<EngineAnswer[]> {
  const [first] = batch
  const pool = first === undefined ? undefined : pools.get(first.generation)
  if (first !== undefined && batch.every(({ generation }) => generation === first.generation)) {
    return pool?.evaluate(batch) ?? batch.map(() => NOT_ACTIVE)
  }
  const answers = batch.map((one) => evaluateIn(pools, [one]))
  return (await Promise.all(answers)).flat()
}

const NOT_ACTIVE: EngineAnswer = { kind: 'fault', cause: 'this generation is not active' }
