// Owns what was seen of servers' tools: each definition once, when it was first and last seen, and
// what the last look at a server showed. Records only: nothing here decides, and no state that is
// told here is ever believed for a decision.
import { hash } from 'node:crypto'
import type { SeenDefinition, ToolRow, ToolsQuery } from '../../../schemas/admin-api.ts'
import type { Row, Sql } from '../../../schemas/database/sql.ts'
import {
  DEFINITION_BYTES_MAX,
  LAST_SEEN_MS,
  SIGHTINGS_PER_SERVER_MAX,
} from '../../../schemas/limits.ts'
import type { ContentsRequest, SightingsRequest } from '../../../schemas/pep-api.ts'
import type { Clock } from '../../../schemas/ports.ts'
import { type ReviewedBundle, reviewedOf, stateOf } from './reviewed.ts'

export type Noted = {
  /** Fingerprints whose definition is not kept yet and may be. */
  readonly wanted: ReadonlySet<string>
  /** Seen on this server for the first time, as `name` and `sha256`. */
  readonly fresh: readonly { readonly name: string; readonly sha256: string }[]
  /** How many were not kept: the server has SIGHTINGS_PER_SERVER_MAX. */
  readonly lost: number
}

export type Sightings = {
  /**
   * Notes the sights, the time of the last at most once in LAST_SEEN_MS; a look replaces the last
   * look of its server. Repeating it changes nothing else.
   */
  readonly note: (request: SightingsRequest) => Promise<Noted>
  /**
   * Keeps definitions of tools that were noted on that server, others silently not. Answers the
   * first fingerprint that its content does not have or whose content is no JSON, and keeps none then.
   * Does NOT check that the text is in RFC 8785 form.
   */
  readonly keep: (request: ContentsRequest) => Promise<string | undefined>
  /** What the last looks showed, of servers that are in the bundle; by server and tool. */
  readonly listTools: (query: ToolsQuery) => Promise<ToolRow[]>
  /** Undefined for a definition that was never seen. */
  readonly showDefinition: (sha256: string) => Promise<SeenDefinition | undefined>
  /** How many tools of each server of the bundle are held. */
  readonly heldCounts: () => Promise<ReadonlyMap<string, number>>
}

export type SightingsPorts = {
  readonly sql: Sql
  readonly clock: Clock
  readonly bundle: () => ReviewedBundle
}

export function openSightings({ sql, clock, bundle }: SightingsPorts): Sightings {
  return {
    async note({ server, look, tools }) {
      const now = new Date(clock.now())
      const rows = await sql.query(
        NOTE,
        [
          server,
          tools.map(({ name }) => name),
          tools.map(({ sha256 }) => sha256),
          now,
          SIGHTINGS_PER_SERVER_MAX,
          LAST_SEEN_MS,
        ],
        'note_sightings',
      )
      // Order: a crash here leaves sights without their look; the next look repeats both.
      if (look) await sql.query(LOOK, [server, now, lookText(tools), LAST_SEEN_MS])
      return notedOf(rows)
    },
    async keep({ server, contents }) {
      const bad = contents.find(({ sha256, content }) => !isContentOf(sha256, content))
      if (bad !== undefined) return bad.sha256
      const hashes = contents.map(({ sha256 }) => sha256)
      await sql.query(KEEP, [server, hashes, contents.map(({ content }) => content)])
      return undefined
    },
    listTools: (query) => listTools(sql, bundle(), query),
    showDefinition: (sha256) => showDefinition(sql, sha256),
    async heldCounts() {
      const current = bundle()
      const counts = new Map([...current.servers.keys()].map((server) => [server, 0]))
      for (const { server, name, sha256 } of await readLooks(sql, current)) {
        if (stateOf(current, server, name, sha256) !== 'reviewed')
          counts.set(server, (counts.get(server) ?? 0) + 1)
      }
      return counts
    },
  }
}

/**
 * `o` is what stood before this statement. Sorted, so that two of these never wait for each other.
 * `in` and no join: without statistics, 4,096 tools joined in a loop take two seconds (measured).
 */
const NOTE = `with seen as (
    select distinct tool, sha256 from unnest($2::text[], $3::text[]) as s (tool, sha256)
  ), noted as (
    insert into sighting (server, tool, sha256, first_seen, last_seen)
    select $1, tool, sha256, $4::timestamptz, $4::timestamptz from seen s
    where (select count(*) from sighting where server = $1) < $5::int
      or exists (select from sighting k
        where k.server = $1 and k.tool = s.tool and k.sha256 = s.sha256)
    order by tool, sha256
    on conflict (server, tool, sha256) do update set last_seen = excluded.last_seen
      where sighting.last_seen <= excluded.last_seen - $6::int * interval '1 millisecond'
    returning tool, sha256
  ) select s.tool, s.sha256, o.sha256 is null as unseen,
    (s.tool, s.sha256) in (select tool, sha256 from noted) as written,
    d.sha256 is null as unkept
  from seen s
  left join sighting o on o.server = $1 and o.tool = s.tool and o.sha256 = s.sha256
  left join definition d on d.sha256 = s.sha256
  where o.sha256 is null or d.sha256 is null`

const LOOK = `insert into look (server, at, tools) values ($1, $2::timestamptz, $3)
  on conflict (server) do update set at = excluded.at, tools = excluded.tools
    where look.tools <> excluded.tools
      or look.at <= excluded.at - $4::int * interval '1 millisecond'`

const KEEP = `insert into definition (sha256, content)
  select distinct on (c.sha256) c.sha256, c.content
  from unnest($2::text[], $3::text[]) as c (sha256, content)
  where exists (select from sighting s where s.server = $1 and s.sha256 = c.sha256)
  order by c.sha256
  on conflict (sha256) do update set content = excluded.content
    where definition.content is null and excluded.content is not null`

const TIMES = `select s.* from sighting s
  join unnest($1::text[], $2::text[], $3::text[]) as k (server, tool, sha256)
    on s.server = k.server and s.tool = k.tool and s.sha256 = k.sha256`

const SIGHTS = `select server, tool, first_seen, last_seen from sighting where sha256 = $1
  order by server, tool`

function notedOf(rows: readonly Row[]): Noted {
  const wanted = new Set<string>()
  const fresh: { name: string; sha256: string }[] = []
  let lost = 0
  for (const { tool, sha256, unseen, written, unkept } of rows) {
    if (unseen === true && written !== true) lost += 1
    else if (unkept === true) wanted.add(sha256 as string)
    if (unseen === true && written === true)
      fresh.push({ name: tool as string, sha256: sha256 as string })
  }
  return { wanted, fresh, lost }
}

function isContentOf(sha256: string, content: string | null): boolean {
  if (content === null) return true
  if (Buffer.byteLength(content) > DEFINITION_BYTES_MAX) return false
  return hash('sha256', content) === sha256 && parsed(content) !== undefined
}

type Look = { readonly server: string; readonly at: Date }
type Seen = Look & { readonly name: string; readonly sha256: string }

function lookText(tools: SightingsRequest['tools']): string {
  const texts = tools.map(({ name, sha256 }) => JSON.stringify([name, sha256]))
  return `[${[...new Set(texts)].toSorted().join(',')}]`
}

async function readLooks(sql: Sql, bundle: ReviewedBundle, server?: string): Promise<Seen[]> {
  const asked = [...bundle.servers.keys()].filter((id) => server === undefined || id === server)
  const text = `select server, at, tools from look where server = any($1::text[]) order by server`
  const rows = await sql.query(text, [asked])
  return rows.flatMap((row) => {
    const look: Look = { server: row['server'] as string, at: row['at'] as Date }
    const tools = JSON.parse(row['tools'] as string) as [string, string][]
    return tools.map(([name, sha256]) => ({ ...look, name, sha256 }))
  })
}

async function listTools(
  sql: Sql,
  bundle: ReviewedBundle,
  { server, held }: ToolsQuery,
): Promise<ToolRow[]> {
  const seen = (await readLooks(sql, bundle, server))
    .map((one) => ({ ...one, state: stateOf(bundle, one.server, one.name, one.sha256) }))
    .filter(({ state }) => held === undefined || held === (state !== 'reviewed'))
  const columns = (['server', 'name', 'sha256'] as const).map((key) => seen.map((one) => one[key]))
  const times = new Map((await sql.query(TIMES, columns)).map((row) => [keyOf(row), row]))
  return seen.map(({ server: id, name, sha256, state, at }) => {
    const row = times.get(JSON.stringify([id, name, sha256]))
    const last = row?.['last_seen'] as Date | undefined
    return {
      server: id,
      tool: name,
      state,
      sha256,
      reviewed: reviewedOf(bundle, id, name),
      firstSeen: ((row?.['first_seen'] as Date | undefined) ?? at).toISOString(),
      lastSeen: (last === undefined || last < at ? at : last).toISOString(),
    }
  })
}

function keyOf({ server, tool, sha256 }: Row): string {
  return JSON.stringify([server, tool, sha256])
}

async function showDefinition(sql: Sql, sha256: string): Promise<SeenDefinition | undefined> {
  const sights = await sql.query(SIGHTS, [sha256])
  if (sights.length === 0) return undefined
  const [row] = await sql.query('select content from definition where sha256 = $1', [sha256])
  const content = row?.['content'] as string | null | undefined
  return {
    sha256,
    definition: typeof content === 'string' ? parsed(content) : null,
    sightings: sights.map(({ server, tool, first_seen, last_seen }) => ({
      server: server as string,
      tool: tool as string,
      firstSeen: (first_seen as Date).toISOString(),
      lastSeen: (last_seen as Date).toISOString(),
    })),
  }
}

/** Undefined for what is no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
