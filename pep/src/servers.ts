// Owns which servers this PEP serves and how each is reached, as the PDP's bundle says. Never
// serves one it was not told of.
import type { z } from 'zod'
import { type Lookup, serverRules } from '../../schemas/dial.ts'
import { type BindingKey, serversResponse, type Upstream } from '../../schemas/pep-api.ts'
import { PDP_TIMEOUT_MS } from './limits.ts'
import type { PdpPort } from './ports.ts'
import { ChannelServer, type ChannelServerPorts } from './upstream/channel-server.ts'
import { expandOrThrow } from './upstream/child.ts'
import { childChannels } from './upstream/child-channel.ts'
import { type HttpPorts, openHttpServer } from './upstream/http.ts'
import type { HttpTarget } from './upstream/open-pool.ts'
import { openSpawnedServer, type SpawnPorts } from './upstream/spawn.ts'
import { sseChannels } from './upstream/sse-channel.ts'
import type { UpstreamServer } from './upstream/upstream.ts'

export type ServersPorts = SpawnPorts &
  HttpPorts &
  ChannelServerPorts & {
    /** How names of servers are resolved; default `dns.lookup`. */
    readonly lookup?: Lookup | undefined
    readonly pdp: PdpPort
    readonly onClosed: (id: string) => void
    readonly onKeys: (keys: readonly BindingKey[]) => void
  }

export type Servers = {
  readonly of: (id: string) => UpstreamServer | undefined
  /** Whether models may read the server's own instructions. */
  readonly passesInstructions: (id: string) => boolean
  /** What its calls are authenticated with. */
  readonly credentialOf: (id: string) => Upstream['credential']
  readonly ids: () => string[]
  /**
   * Asks the PDP, and opens and closes what changed. Rejects when the PDP cannot be asked; what is
   * open stays.
   */
  readonly refresh: () => Promise<void>
  /**
   * Resolves when the server has answered or failed to, once; at once for one the PEP does not
   * start.
   */
  readonly started: (id: string) => Promise<void>
  /** Ends what servers hold for this grant. */
  readonly end: (grant: string) => void
  readonly stop: () => Promise<void>
}

type Open = {
  readonly said: string
  readonly passesInstructions: boolean
  readonly credential: Upstream['credential']
  readonly server: UpstreamServer
  readonly started: Promise<void>
}

export function createServers(ports: ServersPorts): Servers {
  const open = new Map<string, Open>()
  let refreshing: Promise<void> = Promise.resolve()

  const close = async (id: string): Promise<void> => {
    const found = open.get(id)
    open.delete(id)
    ports.onClosed(id)
    await found?.server.stop()
  }
  const apply = async (upstreams: readonly Upstream[]): Promise<void> => {
    const wanted = new Map(upstreams.map((upstream) => [upstream.id, upstream]))
    const gone = [...open].filter(([id, { said }]) => said !== JSON.stringify(wanted.get(id)))
    await Promise.all(gone.map(([id]) => close(id)))
    for (const [id, upstream] of wanted) {
      if (open.has(id)) continue
      try {
        const passesInstructions = upstream.instructions === 'pass'
        const said = JSON.stringify(upstream)
        const { credential } = upstream
        open.set(id, { said, passesInstructions, credential, ...openServer(upstream, ports) })
      } catch (error) {
        ports.log.error({ server: id, err: error }, 'a server of the bundle cannot be served')
      }
    }
  }
  return {
    of: (id) => open.get(id)?.server,
    passesInstructions: (id) => open.get(id)?.passesInstructions === true,
    credentialOf: (id) => open.get(id)?.credential,
    ids: () => [...open.keys()],
    refresh() {
      refreshing = refreshing
        .catch(() => undefined)
        .then(async () => {
          const { servers, keys } = await ask(ports.pdp)
          ports.onKeys(keys)
          await apply(servers)
        })
      return refreshing
    },
    started: async (id) => open.get(id)?.started,
    end(grant) {
      for (const { server } of open.values()) server.end(grant)
    },
    async stop() {
      await refreshing.catch(() => undefined)
      await Promise.all([...open.keys()].map(close))
    },
  }
}

async function ask(pdp: PdpPort): Promise<z.infer<typeof serversResponse>> {
  const { status, body } = await pdp.get('/pep/v1/servers', PDP_TIMEOUT_MS)
  if (status !== 200) throw new Error(`the PDP answered ${status} when asked for servers`)
  return serversResponse.parse(JSON.parse(body))
}

function openServer(upstream: Upstream, ports: ServersPorts): Pick<Open, 'server' | 'started'> {
  const { id, transport, command } = upstream
  if (transport === 'stdio') {
    const server = new ChannelServer(id, childChannels(upstream, ports), ports)
    return { server, started: Promise.resolve() }
  }
  const connect = (target: HttpTarget): UpstreamServer =>
    transport === 'sse'
      ? new ChannelServer(id, sseChannels(id, target, ports.log), ports)
      : openHttpServer(id, target, ports)
  const targetAt = (url: URL): HttpTarget => {
    return { url, rules: { ...serverRules(upstream, url), lookup: ports.lookup } }
  }
  if (command !== null) {
    const server = openSpawnedServer(upstream, (url) => connect(targetAt(url)), ports)
    return { server, started: server.started }
  }
  const url = new URL(expandOrThrow(id, upstream.url ?? '', ports.surroundings.env))
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new Error(`server ${id}: \`url\` must be http or https`)
  }
  return { server: connect(targetAt(url)), started: Promise.resolve() }
}
