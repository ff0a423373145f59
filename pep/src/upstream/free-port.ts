// Owns finding a free loopback port for a server that cannot take port 0 itself.
import { type AddressInfo, createServer } from 'node:net'

/** A port nobody listens on now; whoever takes it before the server does makes that start fail. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo
      probe.close(() => resolve(port))
    })
  })
}
