// Owns how a worker thread of the PDP is started: with none of our environment, on the code this process keeps compiled.
import { getCompileCacheDir } from 'node:module'
import { Worker } from 'node:worker_threads'

/**
 * Starts `<name>.ts` beside the module at `beside` (its import.meta.url), or `<name>.js` where that module was emitted
 * as JavaScript. `data` becomes the thread's workerData, `name` its name.
 */
export function startWorker(name: string, beside: string, data: unknown): Worker {
  const file = new URL(`./${name}${beside.endsWith('.ts') ? '.ts' : '.js'}`, beside)
  const kept = getCompileCacheDir()
  const env = kept === undefined ? {} : { NODE_COMPILE_CACHE: kept }
  return new Worker(file, { name, workerData: data, env, execArgv: [] })
}
