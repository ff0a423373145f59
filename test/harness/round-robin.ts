// Owns a balancer for tests: every request goes to the next of several origins, whatever it is of. Never looks into one.
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream'

export type RoundRobin = {
  readonly url: string
  /** How many requests each origin got. */
  readonly served: readonly number[]
  readonly close: () => Promise<void>
}

export async function openRoundRobin(origins: readonly string[]): Promise<RoundRobin> {
  const served = origins.map(() => 0)
  let turn = 0
  const server = createServer((incoming, response) => {
    const index = turn++ % origins.length
    served[index] = (served[index] ?? 0) + 1
    const { method, headers, url = '' } = incoming
    const outgoing = request(new URL(url, origins[index]), { method, headers })
    outgoing.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers).flushHeaders()
      pipeline(answer, response, () => undefined)
    })
    outgoing.on('error', () => response.destroy())
    response.on('close', () => outgoing.destroy())
    pipeline(incoming, outgoing, () => undefined)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    served,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
