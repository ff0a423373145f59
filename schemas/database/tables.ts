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
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'
import { SCOPES } from '../scopes.ts'

const bytea = customType<{ data: Uint8Array }>({ dataType: () => 'bytea' })
const xid8 = customType<{ data: string }>({ dataType: () => 'xid8' })
const ALL_SCOPES = [...SCOPES]
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

/**
 * A person. `teams` were given by operators, `claim_teams` by the identity provider's newest claims (`claims_at`: when
 * those were issued); they are in both. `issuer` and `subject` are set once: who they are at the identity provider.
 * `vouched`: an operator named that link; else claims made it, and anybody may have chosen the id in them.
 */
export const users = pgTable(
  'users',
  {
    id: text().primaryKey(),
    teams: text().array().notNull(),
    created: instant('created').notNull(),
    issuer: text(),
    subject: text(),
    vouched: boolean().notNull().default(false),
    claimTeams: text('claim_teams').array().notNull().default([]),
    claimsAt: instant('claims_at'),
    scopes: text().array().notNull().default(ALL_SCOPES),
    /** What they may be as operators, beside what the login file gives their groups. */
    roles: text().array().notNull().default([]),
    offboarded: instant('offboarded'),
  },
  (table) => [unique('users_subject').on(table.issuer, table.subject)],
)

/** An agent, whoever it acts for. `scopes`: what it may do at most. */
export const agents = pgTable('agents', {
  id: text().primaryKey(),
  scopes: text().array().notNull().default(ALL_SCOPES),
  created: instant('created').notNull(),
  disabled: instant('disabled'),
})

/**
 * Leave for one agent of one user (null: of nobody) to speak to these servers, by a token (which is nowhere) or by the
 * access tokens that `client` gets for `subject` at `issuer`.
 */
export const grants = pgTable(
  'grants',
  {
    id: uuid().primaryKey(),
    tokenSha256: text('token_sha256').unique('grants_token'),
    tokenLast4: text('token_last4'),
    userId: text('user_id').references(() => users.id),
    agent: text()
      .notNull()
      .references(() => agents.id),
    servers: text().array().notNull(),
    scopes: text().array().notNull().default(ALL_SCOPES),
    created: instant('created').notNull(),
    expires: instant('expires').notNull(),
    revoked: instant('revoked'),
    issuer: text(),
    subject: text(),
    client: text(),
    /** A minute coarse. */
    lastUsed: instant('last_used'),
    lastSource: text('last_source'),
  },
  (table) => [
    index('grants_revoked').on(table.revoked).where(sql`revoked is not null`),
    index('grants_user').on(table.userId),
    index('grants_agent').on(table.agent),
    uniqueIndex('grants_client')
      .on(table.issuer, table.subject, table.client)
      .where(sql`issuer is not null and revoked is null`),
  ],
)

/** An operator who signed in. `roles`: those of their groups at that moment. */
export const loginSessions = pgTable(
  'login_sessions',
  {
    id: uuid().primaryKey(),
    userId: text('user_id')
      .notNull()
      .references(() => users.id),
    tokenSha256: text('token_sha256').notNull().unique('login_sessions_token'),
    roles: text().array().notNull(),
    created: instant('created').notNull(),
    expires: instant('expires').notNull(),
    revoked: instant('revoked'),
    lastSource: text('last_source'),
  },
  (table) => [index('login_sessions_user').on(table.userId)],
)

/** ID tokens that somebody signed in with: each is good once. */
export const usedIdToken = pgTable('used_id_token', {
  sha256: text().primaryKey(),
  expires: instant('expires').notNull(),
})

/** The token that makes the first admin. At most one row. */
export const bootstrap = pgTable('bootstrap', {
  only: boolean().primaryKey().default(true),
  tokenSha256: text('token_sha256').notNull(),
  expires: instant('expires').notNull(),
  used: instant('used'),
})

/**
 * What changed of who may call: filled by triggers on `grants`, `users`, `agents`, `peps` and `login_sessions`, in the
 * transaction that changed it. `tx` orders it so that no look misses what committed late (0004_identity.sql).
 */
export const identityChange = pgTable(
  'identity_change',
  {
    tx: xid8().notNull().default(sql`pg_current_xact_id()`),
    at: instant('at').notNull().default(sql`now()`),
    kind: text().notNull(),
    id: text().notNull(),
  },
  (table) => [index('identity_change_tx').on(table.tx)],
)

/**
 * A secret of a server: what calls are sent with (`use` call), or what the gateway is registered with at its
 * authorization server (`use` client). `sealed` is a JWE under a data key of its own, `data_key` that key as a JWE under
 * the key-encryption key `kek`; both name id, server and user. `expires`: of the access token. `reconnect`: why it is
 * good for nothing until somebody connects or sets it anew. `refused`: when the server said 401 to this version. The
 * lease keeps two PDPs from asking for one token.
 */
export const credentials = pgTable(
  'credentials',
  {
    id: uuid().primaryKey(),
    server: text().notNull(),
    userId: text('user_id').references(() => users.id),
    use: text().notNull(),
    kind: text().notNull(),
    names: text().array().notNull().default([]),
    version: bigint({ mode: 'number' }).notNull(),
    sealed: text().notNull(),
    dataKey: text('data_key').notNull(),
    kek: text().notNull(),
    issuer: text(),
    scopes: text().array(),
    created: instant('created').notNull(),
    updated: instant('updated').notNull(),
    expires: instant('expires'),
    reconnect: text(),
    refused: instant('refused'),
    retryAfter: instant('retry_after'),
    leaseBy: uuid('lease_by'),
    leaseUntil: instant('lease_until'),
    /** A minute coarse. */
    lastUsed: instant('last_used'),
  },
  (table) => [
    uniqueIndex('credentials_owner').on(table.server, sql`coalesce(user_id, '')`, table.use),
    index('credentials_user').on(table.userId).where(sql`user_id is not null`),
    index('credentials_kek').on(table.kek),
  ],
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
