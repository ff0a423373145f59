// Owns the table of credentials: its rows, and the statements that read and change them. Never sees a secret: what it
// reads and writes is sealed.
import type { Row, Sql } from '../../../schemas/database/sql.ts'
import { type SignedIn, standing, standingParams } from '../identity/may-connect.ts'
import type { Envelope } from './envelope.ts'

/** Whose credential it is; `user` null: the deployment's. */
export type Owner = { readonly server: string; readonly user: string | null }
/** `call`: calls are sent with it. `client`: what we are registered with at an authorization server. */
export type Use = 'call' | 'client'

export type CredentialRecord = Owner & {
  readonly id: string
  readonly use: Use
  readonly kind: string
  readonly names: readonly string[]
  readonly version: number
  readonly envelope: Envelope
  readonly issuer: string | null
  readonly scopes: readonly string[] | null
  readonly created: Date
  readonly updated: Date
  readonly expires: Date | null
  readonly reconnect: string | null
  readonly refused: Date | null
  readonly lastUsed: Date | null
}

/** What a new version holds. */
export type Written = {
  readonly kind: string
  readonly names: readonly string[]
  readonly envelope: Envelope
  readonly issuer?: string | null
  readonly scopes?: readonly string[] | null
  readonly expires?: Date | null
}

/** How one is known in the order of changes (0005_credentials.sql), and in memory. */
export function ownerKey({ server, user }: Owner): string {
  return `${server}|${user ?? ''}`
}

const COLUMNS = `id, server, user_id, use, kind, names, version, sealed, data_key, kek, issuer, scopes, created, updated,
  expires, reconnect, refused, last_used`

export type CredentialRows = ReturnType<typeof openCredentialRows>

export function openCredentialRows(sql: Sql) {
  const some = async (text: string, params: readonly unknown[], name?: string) =>
    (await sql.query(text, params, name)).map(recordOf)
  const one = async (text: string, params: readonly unknown[], name?: string) =>
    (await some(text, params, name))[0]
  return {
    /** Those that calls are sent with, of these ownerKeys. */
    ofKeys(keys: readonly string[]) {
      const servers = keys.map((key) => key.slice(0, key.indexOf('|')))
      return some(OF_KEYS, [servers, keys.map(userIn)], 'credentials-of-keys')
    },
    of: ({ server, user }: Owner, use: Use) => one(OF_OWNER, [server, user ?? '', use]),
    byId: (id: string) => one(`select ${COLUMNS} from credentials where id = $1`, [id]),
    /** Version 1; undefined when its owner has one already, or is offboarded or unknown, or `by` may not any more. */
    insert: (id: string, owner: Owner, use: Use, now: Date, written: Written, by?: SignedIn) => {
      const { server, user } = owner
      const params = [id, server, user, use, now, ...columnsOf(written)]
      return by === undefined
        ? one(INSERT, params)
        : one(INSERT_BY, [...params, ...standingParams(by, user)])
    },
    /** The next version; undefined when `before` is not the last one any more, or `by` may not any more. */
    update: (before: Pick<CredentialRecord, 'id' | 'version' | 'user'>, now: Date, written: Written, by?: SignedIn) => {
      const params = [before.id, before.version, now, ...columnsOf(written)]
      return by === undefined ? one(UPDATE, params) : one(UPDATE_BY, [...params, ...standingParams(by, before.user)])
    }, // biome-ignore format: long
    remove: (id: string) => one(`delete from credentials where id = $1 returning ${COLUMNS}`, [id]),
    list: (filter: { server?: string | undefined; user?: string | undefined; after?: string | undefined; limit: number }) =>
      some(LIST, [filter.server ?? null, filter.user ?? null, filter.after ?? null, filter.limit]), // biome-ignore format: long
    /** Those that this key does not wrap, by id, after that one. */
    notUnder: (kek: string, after: string | null, limit: number) =>
      some(NOT_UNDER, [kek, after, limit]),
    countByKek: async () =>
      (await sql.query('select kek, count(*) as credentials from credentials group by kek order by kek')).map((row) => ({ id: row['kek'] as string, credentials: row['credentials'] as number })), // biome-ignore format: long
    /** Whether it was as `before` still. */
    rewrapped: async (id: string, before: Envelope, after: Envelope) =>
      (await sql.query(REWRAP, [id, before.sealed, before.dataKey, after.dataKey, after.kek])).length > 0, // biome-ignore format: long
  }
}

function columnsOf({ kind, names, envelope, issuer, scopes, expires }: Written): unknown[] {
  const { sealed, dataKey, kek } = envelope
  return [kind, names, sealed, dataKey, kek, issuer ?? null, scopes ?? null, expires ?? null]
}

/** The user in an ownerKey: no server id holds a bar. */
function userIn(key: string): string {
  return key.slice(key.indexOf('|') + 1)
}

const OF_KEYS = `select ${COLUMNS} from credentials where (server, coalesce(user_id, ''), use) in (
    select server, owner, 'call' from unnest($1::text[], $2::text[]) as asked (server, owner))`

const OF_OWNER = `select ${COLUMNS} from credentials
  where server = $1 and coalesce(user_id, '') = $2 and use = $3`

/** Of nobody who is being offboarded at this moment: their row is locked. */
const insertWhere = (condition: string): string => `insert into credentials
    (id, server, user_id, use, version, created, updated, kind, names, sealed, data_key, kek, issuer, scopes, expires)
  select $1::uuid, $2, $3::text, $4, 1, $5::timestamptz, $5::timestamptz, $6, $7::text[], $8, $9, $10, $11, $12::text[], $13::timestamptz
  where ($3::text is null or exists (select from users where id = $3 and offboarded is null for share))
    ${condition} on conflict do nothing returning ${COLUMNS}`

/** All that was said of the version before is over. */
const updateWhere = (
  condition: string,
): string => `update credentials set version = version + 1, updated = $3, kind = $4, names = $5::text[], sealed = $6,
    data_key = $7, kek = $8, issuer = $9, scopes = $10::text[], expires = $11::timestamptz, reconnect = null, refused = null,
    retry_after = null, lease_by = null, lease_until = null
  where id = $1 and version = $2 ${condition} returning ${COLUMNS}`

const [INSERT, UPDATE] = [insertWhere(''), updateWhere('')]
/** Whoever loses what they may in this moment waits for it, or it for them: their row is locked. */
const INSERT_BY = insertWhere(`and exists (${standing(14)} for share)`)
const UPDATE_BY = updateWhere(`and exists (${standing(12)} for share)`)

const LIST = `select ${COLUMNS} from credentials c
  where ($1::text is null or server = $1) and ($2::text is null or user_id = $2)
    and ($3::uuid is null or (server, coalesce(user_id, ''), use, id)
      > (select server, coalesce(user_id, ''), use, id from credentials where id = $3))
  order by server, coalesce(user_id, ''), use, id limit $4`

const NOT_UNDER = `select ${COLUMNS} from credentials
  where kek <> $1 and ($2::uuid is null or id > $2) order by id limit $3`

const REWRAP = `update credentials set data_key = $4, kek = $5
  where id = $1 and sealed = $2 and data_key = $3 returning id`

export function recordOf(row: Row): CredentialRecord {
  const { id, server, use, kind, names, sealed, kek, issuer, scopes, created, updated } = row as CredentialRecord & Envelope // biome-ignore format: long
  return {
    id, server, use, kind, names, issuer, scopes, created, updated,
    user: row['user_id'] as string | null,
    version: row['version'] as number,
    envelope: { sealed, dataKey: row['data_key'] as string, kek },
    expires: row['expires'] as Date | null,
    reconnect: row['reconnect'] as string | null,
    refused: row['refused'] as Date | null,
    lastUsed: row['last_used'] as Date | null,
  } // biome-ignore format: a row
}

/** For statements of other files of this room. */
export const CREDENTIAL_COLUMNS = COLUMNS
