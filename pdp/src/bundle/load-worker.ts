// Owns the thread in which a bundle is read, compiled and checked while another decides. The entry file of the thread,
// never imported. It ends with its one answer.
import { parentPort, workerData } from 'node:worker_threads'
import { BundleError } from './findings.ts'
import { loadFiles } from './load.ts'
import type { LoadAnswer, LoadStart } from './load-aside.ts'

const { files, env } = workerData as LoadStart

const answer: LoadAnswer = await loadFiles(files, { env }).then(
  (bundle) => ({ kind: 'loaded', bundle }) as const,
  (error: unknown) =>
    error instanceof BundleError
      ? ({ kind: 'wrong', findings: error.findings } as const)
      : ({ kind: 'failed', message: String(error) } as const),
)
parentPort?.postMessage(answer, [])
