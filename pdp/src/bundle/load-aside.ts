// Owns loading a bundle in a thread of its own, so that reading thousands of policies holds up no decision.
import { startWorker } from '../threads/start.ts'
import type { Bundle } from './bundle.ts'
import type { BundleFiles } from './files.ts'
import type { Finding } from './findings.ts'
import { BundleError } from './findings.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** What the thread is started with, and its one answer. */
export type LoadStart = { readonly files: BundleFiles; readonly env: Environment }
export type LoadAnswer =
  | { readonly kind: 'loaded'; readonly bundle: Bundle }
  | { readonly kind: 'wrong'; readonly findings: readonly Finding[] }
  | { readonly kind: 'failed'; readonly message: string }

/** Whatever a bundle holds, checking it may take this long. */
const LOAD_TIMEOUT_MS = 120_000

/** As loadFiles. The thread is gone when this settles. */
export async function loadAside(
  files: BundleFiles,
  { env }: { readonly env: Environment },
): Promise<Bundle> {
  const start: LoadStart = { files, env: namedBy(files, env) }
  const worker = startWorker('load-worker', import.meta.url, start)
  let timer: NodeJS.Timeout | undefined
  try {
    const answer = await new Promise<LoadAnswer>((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(TOO_LONG)), LOAD_TIMEOUT_MS)
      worker.on('message', resolve)
      worker.on('error', reject)
      worker.on('messageerror', reject)
      worker.on('exit', () => reject(new Error('the thread that reads the bundle ended')))
    })
    if (answer.kind === 'loaded') return answer.bundle
    if (answer.kind === 'wrong') throw new BundleError(answer.findings)
    throw new Error(answer.message)
  } finally {
    clearTimeout(timer)
    await worker.terminate()
  }
}

const TOO_LONG = `the bundle could not be checked within ${LOAD_TIMEOUT_MS / 1000} s`

/** Of our environment only what the server files name: the rest is not for a thread that reads what others wrote. */
function namedBy({ servers }: BundleFiles, env: Environment): Environment {
  const text = servers.map(({ server }) => server.text).join('\n')
  return Object.fromEntries(Object.entries(env).filter(([name]) => text.includes(name)))
}
