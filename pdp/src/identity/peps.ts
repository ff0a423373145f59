// Owns enrolled enforcement points: a key, shown once, that names the servers its holder may ask
// for.
import { hash } from 'node:crypto'
import type { CreatedPep, PepRow } from '../../../schemas/admin-api.ts'
import type { Row, Sql } from '../../../schemas/database/sql.ts'
import { formatToken, TOKEN_RANDOM_BYTES } from '../../../schemas/identifiers.ts'
import type { IdentityPorts } from './grants.ts'
import { remembered } from './remembered.ts'

export type Pep = { readonly id: string; readonly servers: readonly string[] }

export type Peps = {
  /**
   * `id` is coined when absent; a PEP that exists gets a new key and these servers, and its old key
   * ends.
   */
  readonly enrollPep: (servers: readonly string[], id?: string) => Promise<CreatedPep>
  /** All, newest first, revoked ones included. */
  readonly listPeps: () => Promise<PepRow[]>
  /**
   * false when there is no such PEP; revoking twice keeps the first time. In force here at once.
   */
  readonly revokePep: (id: string) => Promise<boolean>
  /**
   * By SHA-256 (hex) of the key, as it stood no longer than GRANT_AGE_MS_MAX ago. Undefined:
   * unknown or revoked.
   */
  readonly resolvePep: (digest: string) => Promise<Pep | undefined>
}

type PepPorts = IdentityPorts & { readonly prompt: Sql }

export function openPeps({ sql, prompt, clock, random, feed }: PepPorts): Peps {
  const byKey = remembered({
    feed,
    originsOf: ({ id }: Pep) => [{ kind: 'pep', id }],
    lookup: (digests) => lookup(prompt, digests),
  })
  // A write whose answer is lost may have been made: what was known before it is not used again.
  const change = (text: string, [id, ...params]: [string, ...unknown[]]): Promise<Row[]> => {
    return sql.query(text, [id, ...params]).finally(() => feed.note([{ kind: 'pep', id }]))
  }
  return {
    async enrollPep(servers, id = `pep-${Buffer.from(random(8)).toString('hex')}`) {
      const key = formatToken('pep', random(TOKEN_RANDOM_BYTES), sha256)
      await change(ENROLL, [id, sha256(key), servers, new Date(clock.now())])
      return { id, key, servers: [...servers] }
    },
    listPeps: async () => (await sql.query(LIST)).map(pepRow),
    async revokePep(id) {
      return (await change(REVOKE, [id, new Date(clock.now())])).length > 0
    },
    resolvePep: async (digest) => (await byKey([digest])).get(digest),
  }
}

const ENROLL = `insert into peps (id, key_sha256, servers, created) values ($1, $2, $3, $4)
  on conflict (id) do update set key_sha256 = excluded.key_sha256, servers = excluded.servers,
    created = excluded.created, revoked = null`

const LIST = `select id, servers, created, revoked from peps order by created desc, id`

const REVOKE = `update peps set revoked = coalesce(revoked, $2) where id = $1 returning id`

async function lookup(sql: Sql, digests: readonly string[]): Promise<Map<string, Pep>> {
  const rows = await sql.query(
    `select key_sha256, id, servers from peps
     where key_sha256 = any($1::text[]) and revoked is null`,
    [digests],
    'peps',
  )
  return new Map(
    rows.map((row) => [
      row['key_sha256'] as string,
      { id: row['id'] as string, servers: row['servers'] as string[] },
    ]),
  )
}

function pepRow(row: Row): PepRow {
  const revoked = row['revoked'] as Date | null
  return {
    id: row['id'] as string,
    servers: row['servers'] as string[],
    createdAt: (row['created'] as Date).toISOString(),
    revokedAt: revoked?.toISOString() ?? null,
  }
}

function sha256(text: string): string {
  return hash('sha256', text)
}
