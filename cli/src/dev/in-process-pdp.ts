// Owns how the PEP inside `dev` reaches its PDP: by `app.fetch`, with its key, without a socket.
import type { Pdp } from '../../../pdp/src/compose.ts'
import type { PdpAnswer, PdpPort } from '../../../pep/src/ports.ts'

/** Host of requests that never leave the process. */
const BASE = 'http://pdp.invalid'

export function inProcessPdp(app: Pdp['app'], key: string): PdpPort {
  const call = async (method: string, path: string, init: RequestInit): Promise<Response> => {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
    return app.fetch(new Request(`${BASE}${path}`, { method, headers, ...init }))
  }
  return {
    post: (path, body, timeoutMs) => within(timeoutMs, exchange(call('POST', path, { body }))),
    get: (path, timeoutMs) => within(timeoutMs, exchange(call('GET', path, {}))),
    events: async function* events(signal) {
      const response = await call('GET', '/pep/v1/events', { signal })
      if (!response.ok || response.body === null)
        throw new Error(`the PDP answered ${response.status}`)
      const reader = response.body.getReader()
      signal.addEventListener('abort', () => void reader.cancel().catch(() => undefined), {
        once: true,
      })
      for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value
    },
    close: async () => undefined,
  }
}

async function exchange(answer: Promise<Response>): Promise<PdpAnswer> {
  const response = await answer
  return { status: response.status, body: await response.text() }
}

async function within<Value>(timeoutMs: number, work: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('the PDP did not answer in time')), timeoutMs)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}
