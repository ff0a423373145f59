// Owns the thread that holds an embedded database: what is asked of it, and what becomes of questions when it ends.
import type { Row } from '../../../schemas/database/sql.ts'
import { startWorker } from '../threads/start.ts'
import { StoreError } from './store-error.ts'

/** What the thread is started with. */
export type PgliteStart = { readonly directory: string }
export type PgliteTask =
  | {
      readonly kind: 'query'
      readonly text: string
      readonly params: readonly unknown[]
      /** The statement runs as this role; else as the owner. */
      readonly role?: string | undefined
    }
  /** Brings the tables up to date from this directory. Answered without rows. */
  | { readonly kind: 'migrate'; readonly directory: string }
  | { readonly kind: 'close' }
export type PgliteQuestion = { readonly id: number; readonly task: PgliteTask }
/** Question 0 is the start itself. `code` is PostgreSQL's SQLSTATE, where the database said one. */
export type PgliteAnswer = { readonly id: number } & (
  | { readonly rows: Row[] }
  | { readonly error: PgliteFailure }
)
export type PgliteFailure = {
  readonly message: string
  readonly code: string | undefined
  readonly isStoreError: boolean
}

export type PgliteClient = {
  /** In order of asking. Rejects with what the database said, or StoreError once the thread has ended. */
  readonly ask: (task: PgliteTask) => Promise<Row[]>
  /** Closes the database after everything asked before, and ends the thread. */
  readonly close: () => Promise<void>
}

type Waiting = {
  readonly resolve: (rows: Row[]) => void
  readonly reject: (error: Error) => void
}

/** Opens the database in `directory`, or in memory for `memory://`. Rejects when it cannot be opened. */
export async function startPglite(directory: string): Promise<PgliteClient> {
  const start: PgliteStart = { directory }
  const worker = startWorker('pglite-worker', import.meta.url, start)
  const waiting = new Map<number, Waiting>()
  let lost: StoreError | undefined
  let last = 0

  worker.on('message', (answer: PgliteAnswer) => {
    const asked = waiting.get(answer.id)
    waiting.delete(answer.id)
    if ('rows' in answer) asked?.resolve(answer.rows)
    else asked?.reject(errorOf(answer.error))
  })
  const lose = (why: string): void => {
    lost ??= new StoreError(`the embedded database ended: ${why}`)
    for (const { reject } of waiting.values()) reject(lost)
    waiting.clear()
  }
  worker.on('error', (error) => lose(String(error)))
  worker.on('exit', (code) => lose(`its thread left with ${code}`))

  const answerTo = (id: number): Promise<Row[]> =>
    new Promise((resolve, reject) => waiting.set(id, { resolve, reject }))
  const ask = async (task: PgliteTask): Promise<Row[]> => {
    if (lost !== undefined) throw lost
    const question: PgliteQuestion = { id: (last += 1), task }
    worker.postMessage(question, [])
    return answerTo(question.id)
  }
  const end = async (): Promise<void> => {
    await worker.terminate()
  }

  await answerTo(0).catch(async (error: unknown) => {
    await end()
    throw error
  })
  return {
    ask,
    async close() {
      try {
        await ask({ kind: 'close' })
      } finally {
        await end()
      }
    },
  }
}

function errorOf({ message, code, isStoreError }: PgliteFailure): Error {
  if (isStoreError) return new StoreError(message)
  return Object.assign(new Error(message), code === undefined ? {} : { code })
}
