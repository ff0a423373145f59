// Engine threads that die under load: every call is still decided right or refused, none is lost,
// and no allow is given that the policies do not give.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Gateway, startGateway } from '../harness/gateway.ts'
import { callText, tell } from '../harness/mcp-request.ts'

/** Every thread of the engine that lives. */
const threads = new Set<Worker>()
const keep = (worker: Worker): void => {
  if (worker.threadName !== 'cedar-worker') return
  threads.add(worker)
  worker.once('exit', () => threads.delete(worker))
}
let gateway: Gateway
beforeAll(async () => {
  process.on('worker', keep)
  gateway = await startGateway()
})
afterAll(async () => {
  await gateway.stop()
  process.off('worker', keep)
})

const CALLS = 400
const AT_ONCE = 16
const KILLS = 8

test('threads are killed under load', async () => {
  expect(threads.size).toBeGreaterThan(0)
  const before = gateway.engine.stats().replaced
  let next = 0
  const answers: { readonly secret: boolean; readonly code: string }[] = []
  const callers = Array.from({ length: AT_ONCE }, async () => {
    while (next < CALLS) {
      const secret = next++ % 2 === 0
      const { said } = await tell(gateway, {
        body: callText(`{"message":"${secret ? 'a secret' : 'hello'}"}`),
      })
      answers.push({ secret, code: said.code ?? 'forwarded' })
    }
  })
  const killer = async (): Promise<void> => {
    for (let kill = 0; kill < KILLS; kill++) {
      await sleep(40)
      await [...threads][kill % 2]?.terminate()
    }
  }
  await Promise.all([...callers, killer()])
  expect(gateway.engine.stats().replaced).toBeGreaterThan(before)
  expect(answers).toHaveLength(CALLS)
  const allowed = new Set(['forwarded', 'engine_fault', 'pdp_unavailable'])
  const denied = new Set(['forbid', 'engine_fault', 'pdp_unavailable'])
  expect(answers.filter(({ secret, code }) => !(secret ? denied : allowed).has(code))).toEqual([])
  expect(gateway.upstream.reached.filter(({ body }) => body.includes('secret'))).toEqual([])
  const decided = answers.filter(({ code }) => code === 'forwarded' || code === 'forbid')
  expect(decided.length).toBeGreaterThan(CALLS / 2)
})

test('afterwards it decides as before', async () => {
  const codes = await Promise.all(
    ['hello', 'a secret'].map(async (message) => {
      return (await tell(gateway, { body: callText(`{"message":"${message}"}`) })).said.code
    }),
  )
  expect(codes).toEqual([undefined, 'forbid'])
})
