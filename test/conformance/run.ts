// Owns running one line of the suite and keeping what was seen of it: directly, and through the gateway.
import { mkdir } from 'node:fs/promises'
import type { Exchange } from './exchange.ts'
import { openRecorder } from './recorder.ts'
import { withToken } from './shim.ts'
import { type Check, type Line, openSuite } from './suite.ts'

/** What a run showed: to the client, to the server, and to the suite. */
export type Seen = {
  readonly checks: readonly Check[]
  readonly client: readonly Exchange[]
  readonly upstream: readonly Exchange[]
}

export type RunOf = {
  readonly line: Line
  /** The MCP endpoint of a server that nobody else uses. */
  readonly fixture: URL
  /** Made here; what the suite writes stays there. */
  readonly directory: string
  readonly signal: AbortSignal
}

/** One recorder: what the client saw is what the server saw. */
export async function runDirect({ line, fixture, directory, signal }: RunOf): Promise<Seen> {
  await mkdir(directory, { recursive: true })
  const suite = openSuite(line, directory)
  const recorder = await openRecorder({ target: () => fixture, scenario: suite.scenario })
  try {
    const checks = await suite.run(`http://127.0.0.1:${recorder.port}/mcp`, signal)
    const seen = recorder.exchanges()
    return { checks, client: seen, upstream: seen }
  } finally {
    await recorder.close()
  }
}

export type Through = {
  /** What the gateway has as the url of its server. */
  readonly serverUrl: string
  /** Where the clients of this run think they are. */
  readonly origin: string
  readonly run: (gateway: { readonly port: number; readonly token: string }) => Promise<Seen>
  readonly close: () => Promise<void>
}

/** Both recorders listen before the gateway starts: it must know where its server is, and which origin is ours. */
export async function openThrough({ line, fixture, directory, signal }: RunOf): Promise<Through> {
  await mkdir(directory, { recursive: true })
  const suite = openSuite(line, directory)
  let gateway = { port: 0, token: '' }
  const upstream = await openRecorder({ target: () => fixture, scenario: suite.scenario })
  const client = await openRecorder({
    target: () => new URL(`http://127.0.0.1:${gateway.port}/${line.id}/mcp`),
    scenario: suite.scenario,
    amend: withToken(() => gateway.token),
  })
  const origin = `http://127.0.0.1:${client.port}`
  return {
    serverUrl: `http://127.0.0.1:${upstream.port}/mcp`,
    origin,
    async run(started) {
      gateway = started
      const checks = await suite.run(`${origin}/mcp`, signal)
      return { checks, client: client.exchanges(), upstream: upstream.exchanges() }
    },
    close: async () => {
      await Promise.all([client.close(), upstream.close()])
    },
  }
}
