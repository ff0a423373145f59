// Owns keeping every bundle a decision may name, whole, for as long as a decision names it; and which one every PDP is
// held at. Never deletes a bundle.
import type { Row, Sql } from '../../../schemas/database/sql.ts'

/** Times in milliseconds since 1970. `bytes`: of the content. */
export type StoredBundle = {
  readonly id: string
  readonly bytes: number
  readonly firstActive: number
  readonly lastActive: number | null
  readonly confirmed: number | null
  readonly source: string | null
  readonly commit: string | null
}

export type KeptBundle = StoredBundle & { readonly content: string }

export type Activated = {
  readonly id: string
  readonly content: string
  readonly source: string
  readonly commit: string | null
}

export type Bundles = {
  /** Keeps a bundle that its source holds and that is about to become active. What is there already keeps its content. */
  readonly keep: (bundle: Activated) => Promise<void>
  /** Notes that a kept bundle is about to become active because an operator says so. */
  readonly hold: (id: string) => Promise<void>
  /** Notes that the source still holds this bundle. */
  readonly confirm: (id: string) => Promise<void>
  /** All, newest first by when they were last active. */
  readonly list: () => Promise<StoredBundle[]>
  /** With its RFC 8785 text, whose SHA-256 is the id; undefined when it is not kept. */
  readonly find: (id: string) => Promise<KeptBundle | undefined>
  /** The one that a source was last seen to hold, on any PDP, whatever operators hold; undefined in a new database. */
  readonly lastFollowed: () => Promise<KeptBundle | undefined>
  /** The bundle every PDP is held at; undefined when each follows its source. */
  readonly pinned: () => Promise<string | undefined>
  /** Holds every PDP at a bundle that is kept; undefined lets them follow again. false: there is no such bundle. */
  readonly pin: (id: string | undefined) => Promise<boolean>
}

export function openBundles(sql: Sql, now: () => number): Bundles {
  const at = (): Date => new Date(now())
  return {
    keep: async ({ id, content, source, commit }) =>
      void (await sql.query(KEEP, [id, content, at(), source, commit])),
    confirm: async (id) =>
      void (await sql.query('update bundle set confirmed = $2 where id = $1', [id, at()])),
    hold: async (id) =>
      void (await sql.query('update bundle set last_active = $2 where id = $1', [id, at()])),
    async list() {
      const rows = await sql.query(`${SELECT} ${ORDER} limit ${LISTED_MAX}`)
      return rows.map(storedBundle)
    },
    find: async (id) => keptBundle(await sql.query(`${SELECT_WHOLE} where id = $1`, [id])),
    lastFollowed: async () =>
      keptBundle(
        await sql.query(
          `${SELECT_WHOLE} where confirmed is not null order by confirmed desc limit 1`,
        ),
      ),
    async pinned() {
      const [row] = await sql.query('select bundle from bundle_pin', [], 'pinned')
      return row?.['bundle'] as string | undefined
    },
    async pin(id) {
      if (id === undefined) {
        await sql.query('delete from bundle_pin')
        return true
      }
      return (await sql.query(PIN, [id, at()])).length > 0
    },
  }
}

/** Rows of one list. */
const LISTED_MAX = 1_000

const KEEP = `insert into bundle (id, content, first_active, last_active, confirmed, source, commit)
  values ($1, $2, $3, $3, $3, $4, $5)
  on conflict (id) do update set last_active = excluded.last_active,
    confirmed = excluded.confirmed, source = excluded.source, commit = excluded.commit`

const COLUMNS = `id, octet_length(content) as bytes, first_active, last_active, confirmed, source, commit`
const SELECT = `select ${COLUMNS} from bundle`
const SELECT_WHOLE = `select ${COLUMNS}, content from bundle`
const ORDER = 'order by last_active desc nulls last, first_active desc, id'

const PIN = `insert into bundle_pin (bundle, pinned) select id, $2::timestamptz from bundle where id = $1
  on conflict ("only") do update set bundle = excluded.bundle, pinned = excluded.pinned
  returning bundle`

function keptBundle([row]: readonly Row[]): KeptBundle | undefined {
  return row && { ...storedBundle(row), content: row['content'] as string }
}

function storedBundle(row: Row): StoredBundle {
  const millis = (name: string): number | null => (row[name] as Date | null)?.getTime() ?? null
  return {
    id: row['id'] as string,
    bytes: row['bytes'] as number,
    firstActive: millis('first_active') ?? 0,
    lastActive: millis('last_active'),
    confirmed: millis('confirmed'),
    source: row['source'] as string | null,
    commit: row['commit'] as string | null,
  }
}
