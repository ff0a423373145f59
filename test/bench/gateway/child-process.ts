// Owns how the benchmark's own processes start and end: a child prints its URL in one line and ends with its parent.
import { type ChildProcess, spawn } from 'node:child_process'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'

export type Child = { readonly url: string; readonly stop: () => void }

/** In the child: listens on a free loopback port, tells the parent the URL, ends when the parent is gone. */
export function serveUntilParentEnds(server: Server): void {
  server.keepAliveTimeout = 60_000
  server.listen(0, '127.0.0.1', () => {
    process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
  })
  process.stdin.on('end', () => process.exit(0)).resume()
}

/** In the parent: starts one of the files beside this one, or the file of a URL, and waits for its URL. */
export async function startChild(file: string, args: readonly string[] = []): Promise<Child> {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const child = spawn(process.execPath, [path, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  const url = await firstLine(child)
  return { url, stop: () => child.kill() }
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('exit', (status) => reject(new Error(`a benchmark process ended with ${status}`)))
    child.stdout?.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()))
  })
}
