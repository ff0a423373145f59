// Owns what the PDP knows of servers' tools, joined: what is reviewed, what was seen, what is held.
// Never decides.
import type { ReviewedResponse, SightingsRequest, ToolState } from '../../../schemas/pep-api.ts'
import { type HeldPorts, watchHeld } from './held.ts'
import { reviewedDefinitions, stateOf } from './reviewed.ts'
import { openSightings, type Sightings, type SightingsPorts } from './sightings.ts'

export type CatalogPorts = SightingsPorts &
  HeldPorts & {
    /** Definitions seen on a server for the first time. */
    readonly onFresh: (state: ToolState) => void
  }

export type SightedTool = {
  readonly name: string
  readonly state: ToolState
  readonly wanted: boolean
}

export type Catalog = Omit<Sightings, 'note' | 'keep'> & {
  /** Notes what was seen, says what is held now, and answers per tool, in order. */
  readonly sightTools: (request: SightingsRequest) => Promise<readonly SightedTool[]>
  readonly keepDefinitions: Sightings['keep']
  readonly reviewedDefinitions: (server: string) => ReviewedResponse | undefined
}

export function openCatalog(ports: CatalogPorts): Catalog {
  const { bundle, log, onFresh } = ports
  const { note, keep, ...sightings } = openSightings(ports)
  const watch = watchHeld(ports)
  return {
    ...sightings,
    keepDefinitions: keep,
    reviewedDefinitions: (server) => reviewedDefinitions(bundle(), server),
    async sightTools(request) {
      const { server, look, tools } = request
      const current = bundle()
      const seen = tools.map(({ name, sha256 }) => ({
        name,
        sha256,
        state: stateOf(current, server, name, sha256),
      }))
      if (look) watch(server, seen)
      const { wanted, fresh, lost } = await note(request)
      for (const { name, sha256 } of fresh) onFresh(stateOf(current, server, name, sha256))
      if (lost > 0) log.warn({ server, lost }, 'a server has shown more definitions than are kept')
      return seen.map(({ name, sha256, state }) => ({ name, state, wanted: wanted.has(sha256) }))
    },
  }
}
