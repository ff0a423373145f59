// Owns the tables of both databases, as drizzle reads them; the migrations beside are generated
// from here. Roles, grants and the trigger that feeds `pending` stand in a hand-written migration:
// drizzle has no words for them.
import { sql } from 'drizzle-orm'
import {
  bigint,
  boolean,
  customType,
  index,
  pgTable,
  primaryKey,
  text,
  timestamp,
  unique,
  uuid,
} from 'drizzle-orm/pg-core'

const bytea = customType<{ data: Uint8Array }>({ dataType: () => 'bytea' })
const instant = (name: string) => timestamp(name, { withTimezone: true })

/**
 * Every leaf, of every kind. `leaf`, `leaf_hash` and `sig` are the truth; all else is an index of
 * the leaf, except `person`, a keyed pseudonym. No column but `id` is unique: a writer must not be
 * able to occupy somebody's place.
 */
export const record = pgTable(
  'record',
  {
    id: uuid().primaryKey(),
    kind: text().notNull(),
    leaf: bytea().notNull(),
    leafHash: bytea('leaf_hash').notNull(),
    sig: bytea().notNull(),
    at: instant('at').notNull(),
    epoch: uuid().notNull(),
    seq: bigint({ mode: 'number' }).notNull(),
    pep: text(),
    agent: text(),
    server: text(),
    method: text(),
    tool: text(),
    verdict: text(),
    code: text(),
    policies: text().array(),
    bundle: text(),
    mode: text(),
    decision: uuid(),
    person: bytea(),
  },
  (table) => [
    index('record_epoch_seq').on(table.epoch, table.seq),
    index('record_decision').on(table.decision).where(sql`decision is not null`),
    index('record_person').on(table.person, table.id).where(sql`person is not null`),
  ],
)

/** Personal values of a decision, encrypted: droppable without touching the leaf. */
export const recordDetail = pgTable('record_detail', {
  id: uuid().primaryKey(),
  keyRef: bigint('key_ref', { mode: 'number' }).notNull(),
  ct: bytea().notNull(),
})

/** Leaves the sequencer has not indexed yet. Filled by a trigger from the rows really inserted. */
export const pending = pgTable('pending', {
  pseq: bigint({ mode: 'number' }).generatedAlwaysAsIdentity().primaryKey(),
  id: uuid().notNull(),
  leafHash: bytea('leaf_hash').notNull(),
})

/**
 * One key per person and month, wrapped by the data key. Deleting a row makes that month unreadable
 * for good.
 */
export const subjectKey = pgTable(
  'subject_key',
  {
    ref: bigint({ mode: 'number' }).generatedAlwaysAsIdentity().primaryKey(),
    person: bytea().notNull(),
    month: text().notNull(),
    wrapped: bytea().notNull(),
  },
  (table) => [unique('subject_key_person_month').on(table.person, table.month)],
)

export const users = pgTable('users', {
  id: text().primaryKey(),
  teams: text().array().notNull(),
  created: instant('created').notNull(),
})

/** Leave for one agent of one user to speak to these servers. The token itself is nowhere. */
export const grants = pgTable(
  'grants',
  {
    id: uuid().primaryKey(),
    tokenSha256: text('token_sha256').notNull().unique('grants_token'),
    tokenLast4: text('token_last4').notNull(),
    userId: text('user_id')
      .notNull()
      .references(() => users.id),
    agent: text().notNull(),
    servers: text().array().notNull(),
    created: instant('created').notNull(),
    expires: instant('expires').notNull(),
    revoked: instant('revoked'),
  },
  (table) => [index('grants_revoked').on(table.revoked).where(sql`revoked is not null`)],
)

export const peps = pgTable('peps', {
  id: text().primaryKey(),
  keySha256: text('key_sha256').notNull().unique('peps_key'),
  servers: text().array().notNull(),
  created: instant('created').notNull(),
  revoked: instant('revoked'),
})

/** Every bundle a decision may name, whole. */
export const bundle = pgTable('bundle', {
  id: text().primaryKey(),
  content: text().notNull(),
  firstActive: instant('first_active').notNull(),
  lastActive: instant('last_active'),
  /** When a PDP last saw that its source still holds this bundle. */
  confirmed: instant('confirmed'),
  /** Where it was last read from, and the git commit it was. */
  source: text(),
  commit: text(),
})

/** The bundle an operator holds every PDP at, whatever their source says. At most one row. */
export const bundlePin = pgTable('bundle_pin', {
  only: boolean().primaryKey().default(true),
  bundle: text().notNull(),
  pinned: instant('pinned').notNull(),
})

/**
 * Every tool definition ever seen, by its fingerprint: RFC 8785 text, or null where it is longer
 * than DEFINITION_BYTES_MAX.
 */
export const definition = pgTable('definition', {
  sha256: text().primaryKey(),
  content: text(),
})

/** When a server first and last showed a tool in this definition; `last_seen` is a minute coarse. */
export const sighting = pgTable(
  'sighting',
  {
    server: text().notNull(),
    tool: text().notNull(),
    sha256: text().notNull(),
    firstSeen: instant('first_seen').notNull(),
    lastSeen: instant('last_seen').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.server, table.tool, table.sha256] }),
    index('sighting_sha256').on(table.sha256),
  ],
)

/** The last look at a server: all it showed, as JSON pairs of tool and fingerprint. */
export const look = pgTable('look', {
  server: text().primaryKey(),
  at: instant('at').notNull(),
  tools: text().notNull(),
})
