// Owns waiting until a service of ours serves.
import { type Running, sleep } from './command.ts'

const START_TIMEOUT_MS = 40_000

/** The URL it logs once it serves. Throws with all that it said when it ends before that. */
export async function servingUrl(service: Running): Promise<string> {
  const deadline = performance.now() + START_TIMEOUT_MS
  while (service.child.exitCode === null && performance.now() < deadline) {
    const lines = service.stderr().split('\n')
    const line = lines.findLast((text) => /"the (PDP decides|PEP enforces)".*\}$/.test(text))
    if (line !== undefined) return (JSON.parse(line) as { url: string }).url
    await sleep(50)
  }
  throw new Error(`it does not serve:\n${service.stderr()}`)
}
