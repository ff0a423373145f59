// Owns one worker thread: starting it, one question at a time, ending it. A thread that is late or lost is ended.
import { startWorker } from '../threads/start.ts'
import type { WorkerAnswer, WorkerMessage, WorkerStart } from './messages.ts'

/** No answer came: the thread took too long, or died. The thread is gone either way. */
export class ThreadLost extends Error {
  readonly late: boolean
  constructor(message: string, late: boolean) {
    super(message)
    this.late = late
  }
}

export type Thread = {
  /** One at a time. Rejects with ThreadLost when no answer comes within `timeoutMs`. */
  readonly ask: (message: WorkerMessage, timeoutMs: number) => Promise<WorkerAnswer>
  readonly stop: () => Promise<void>
}

/** A thread with its own wasm instance. */
export function startThread(module: WebAssembly.Module): Thread {
  const start: WorkerStart = { module }
  const worker = startWorker('cedar-worker', import.meta.url, start)
  let pending: { resolve(answer: WorkerAnswer): void; reject(error: Error): void } | undefined
  let lost: ThreadLost | undefined

  const lose = (error: ThreadLost): void => {
    lost ??= error
    pending?.reject(lost)
    pending = undefined
  }
  worker.on('message', (answer: WorkerAnswer) => {
    pending?.resolve(answer)
    pending = undefined
  })
  worker.on('error', (error) => lose(new ThreadLost(String(error), false)))
  worker.on('messageerror', (error) => lose(new ThreadLost(String(error), false)))
  worker.on('exit', (code) => lose(new ThreadLost(`the thread ended with ${code}`, false)))

  return {
    async ask(message, timeoutMs) {
      if (lost !== undefined) throw lost
      const answered = new Promise<WorkerAnswer>((resolve, reject) => {
        pending = { resolve, reject }
      })
      const timer = setTimeout(() => {
        lose(new ThreadLost(`no answer within ${timeoutMs} ms`, true))
        void worker.terminate()
      }, timeoutMs)
      worker.postMessage(message, [])
      return answered.finally(() => clearTimeout(timer))
    },
    async stop() {
      await worker.terminate()
    },
  }
}
