// Owns finding a free loopback port for a server that cannot take port 0 itself.
import { type AddressInfo, createServer } from 'node:net'

/** A port nobody listens on now. Another process may take it before the server does; then the start fails. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
