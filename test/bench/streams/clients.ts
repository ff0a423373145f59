// Owns the client process as the benchmark has it: one order, one answer.
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { AnswerOf, Order } from './orders.ts'

export type Clients = {
  /** One at a time. Rejects when the process ended instead of answering. */
  readonly tell: <T extends Order>(order: T) => Promise<AnswerOf[T['kind']]>
  readonly stop: () => void
}

export function startClients(): Clients {
  const clients = fork(fileURLToPath(new URL('client.ts', import.meta.url)))
  let answered: PromiseWithResolvers<never> | undefined
  clients.on('message', (answer) => answered?.resolve(answer as never))
  clients.on('exit', () => answered?.reject(new Error('the clients ended')))
  return {
    tell(order) {
      answered = Promise.withResolvers()
      clients.send(order)
      return answered.promise
    },
    stop: () => void (clients.connected && clients.disconnect()),
  }
}
