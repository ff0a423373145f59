// Owns telling the PDP what was seen of a server's tools: fingerprints first, then the definitions
// it wants whole. Nothing waits for it, and nothing is decided by its answer.
import { DEFINITION_BYTES_MAX, TOOL_NAME_LENGTH_MAX } from '../../schemas/limits.ts'
import { sightingsResponse } from '../../schemas/pep-api.ts'
import { type Definition, readDefinition } from './definition.ts'
import {
  PDP_TIMEOUT_MS,
  TOLD_LENGTH_MAX,
  TOLD_REQUEST_LENGTH_MAX,
  TOLD_WAITING_MAX,
} from './limits.ts'
import type { Log, PdpPort } from './ports.ts'

export type Sight = {
  readonly name: string
  readonly sha256: string
  /** null: longer than DEFINITION_BYTES_MAX; undefined: not at hand, since the PDP has it. */
  readonly content: string | null | undefined
}

/** What one look saw, as it gathers: each name and fingerprint once. */
export type Gathering = {
  readonly add: (name: string, definition: Definition) => void
  readonly sights: () => readonly Sight[]
}

export type Teller = {
  /** Contents that the PDP is known to have are not kept, nor more than TOLD_LENGTH_MAX of the rest. */
  readonly gather: (server: string) => Gathering
  /** A look, whole; one that waits gives way to a later one. Resolves when it was told or could not be. */
  readonly tellLook: (server: string, sights: readonly Sight[]) => Promise<void>
  /** Definitions of one tool that a caller was shown; dropped beyond TOLD_WAITING_MAX that wait. */
  readonly tellShown: (server: string, name: string, definitions: readonly unknown[]) => void
  /** The same of what a look as a caller saw. */
  readonly tellSights: (server: string, sights: readonly Sight[]) => void
  readonly forget: (server: string) => void
}

type Queue = {
  look: readonly Sight[] | undefined
  shown: Sight[]
  running: Promise<void> | undefined
  /** Fingerprints of the last look that the PDP did not want whole. */
  kept: ReadonlySet<string>
}

export function createTeller({ pdp, log }: { readonly pdp: PdpPort; readonly log: Log }): Teller {
  const queues = new Map<string, Queue>()
  const queueOf = (server: string): Queue => {
    const found = queues.get(server)
    if (found !== undefined) return found
    const queue: Queue = { look: undefined, shown: [], running: undefined, kept: new Set() }
    queues.set(server, queue)
    return queue
  }
  const drain = async (server: string, queue: Queue): Promise<void> => {
    while (queue.look !== undefined || queue.shown.length > 0) {
      const { look } = queue
      const sights = look ?? queue.shown
      if (look === undefined) queue.shown = []
      else queue.look = undefined
      try {
        const wanted = await tell(pdp, server, look !== undefined, sights)
        if (look !== undefined)
          queue.kept = new Set(look.map(({ sha256 }) => sha256).filter((it) => !wanted.has(it)))
      } catch (error) {
        log.warn({ server, err: error }, 'the PDP could not be told what a server shows')
      }
    }
  }
  const run = (server: string, queue: Queue): Promise<void> => {
    queue.running ??= drain(server, queue).finally(() => {
      queue.running = undefined
    })
    return queue.running
  }
  const tellSights = (server: string, sights: readonly Sight[]): void => {
    const queue = queueOf(server)
    queue.shown.push(...sights.slice(0, TOLD_WAITING_MAX - queue.shown.length))
    void run(server, queue)
  }
  return {
    tellSights,
    gather: (server) => gathering(queueOf(server).kept),
    tellLook(server, sights) {
      const queue = queueOf(server)
      queue.look = sights
      return run(server, queue)
    },
    tellShown(server, name, definitions) {
      const told = definitions.slice(0, TOLD_WAITING_MAX)
      tellSights(
        server,
        told.map((one) => sightOf(name, readDefinition(one))),
      )
    },
    forget: (server) => void queues.delete(server),
  }
}

function gathering(kept: ReadonlySet<string>): Gathering {
  const sights = new Map<string, Sight>()
  let length = 0
  return {
    sights: () => [...sights.values()],
    add(name, definition) {
      const sight = sightOf(name, definition)
      const key = JSON.stringify([sight.name, sight.sha256])
      if (sights.has(key)) return
      const own = sight.content?.length ?? 0
      const isKept = kept.has(sight.sha256) || length + own > TOLD_LENGTH_MAX
      if (!isKept) length += own
      sights.set(key, isKept ? { ...sight, content: undefined } : sight)
    },
  }
}

/** A name that no reviewed tool can have is cut to one that can be written down. */
function sightOf(name: string, { sha256, content }: Definition): Sight {
  const written = name.slice(0, TOOL_NAME_LENGTH_MAX).toWellFormed().replaceAll('\0', '\uFFFD')
  const isLong = Buffer.byteLength(content) > DEFINITION_BYTES_MAX
  return { name: written, sha256, content: isLong ? null : content }
}

/** Answers what is wanted all the same: it was not at hand. */
async function tell(
  pdp: PdpPort,
  server: string,
  look: boolean,
  sights: readonly Sight[],
): Promise<ReadonlySet<string>> {
  const tools = sights.map(({ name, sha256 }) => ({ name, sha256 }))
  const answer = sightingsResponse.parse(JSON.parse(await post(pdp, { server, look, tools })))
  const asked = sights.filter((_, index) => answer.tools[index]?.wanted === true)
  const wanted = new Map(asked.map(({ sha256, content }) => [sha256, content]))
  for (const contents of chunks(wanted)) {
    await post(pdp, { server, contents })
    for (const { sha256 } of contents) wanted.delete(sha256)
  }
  return new Set(wanted.keys())
}

type Content = { readonly sha256: string; readonly content: string | null }

function* chunks(wanted: ReadonlyMap<string, string | null | undefined>): Iterable<Content[]> {
  let chunk: Content[] = []
  let length = 0
  for (const [sha256, content] of wanted) {
    if (content === undefined) continue
    const own = content?.length ?? 0
    if (chunk.length > 0 && length + own > TOLD_REQUEST_LENGTH_MAX) {
      yield chunk
      chunk = []
      length = 0
    }
    chunk.push({ sha256, content })
    length += own
  }
  if (chunk.length > 0) yield chunk
}

async function post(pdp: PdpPort, body: object): Promise<string> {
  const answer = await pdp.post('/pep/v1/definitions', JSON.stringify(body), PDP_TIMEOUT_MS)
  if (answer.status >= 300) throw new Error(`the PDP answered ${answer.status} to definitions`)
  return answer.body
}
