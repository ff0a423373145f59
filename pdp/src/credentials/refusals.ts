// Owns what is made of a server's 401 to a credential: it counts as refused until the server takes it again, and a token is
// renewed. Nothing is decided by it.
import type { Sql } from '../../../schemas/database/sql.ts'
import { CREDENTIALS_REMEMBERED_MAX, REFRESH_COOLDOWN_MS } from '../../../schemas/limits.ts'
import type { Outcome } from '../../../schemas/pep-api.ts'

export type Refusals = {
  /** What goes out was refused before: the next answer says whether it still is. */
  readonly watch: (id: string) => void
  /** What the PEP that speaks for these servers reports. Never rejects. */
  readonly note: (servers: readonly string[], outcomes: readonly Outcome[]) => Promise<void>
}

type Ports = { readonly sql: Sql; readonly onFailure: (error: unknown) => void }

export function keepRefusals({ sql, onFailure }: Ports): Refusals {
  const watched = new Set<string>()
  return {
    watch(id) {
      if (watched.size >= CREDENTIALS_REMEMBERED_MAX) watched.clear()
      watched.add(id)
    },
    async note(servers, outcomes) {
      for (const { credential, status } of outcomes) {
        if (credential === undefined) continue
        const { id, version } = credential
        const isTaken = status >= 200 && status < 300 && watched.delete(id)
        if (status !== 401 && !isTaken) continue
        const params = [id, version, servers]
        await (isTaken ? sql.query(TAKEN, params) : sql.query(REFUSED, [...params, REFRESH_COOLDOWN_MS])).catch(onFailure) // biome-ignore format: short
      }
    },
  }
}

const TAKEN = `update credentials set refused = null
  where id = $1 and version = $2 and refused is not null and server = any($3::text[])`

/**
 * A new token is fetched for one that the server refuses, but not for one that was fetched just now, and once in a while
 * only: a server may refuse them all. By the clock of the database, which leases are by too.
 */
const REFUSED = `update credentials set refused = now(), expires = case
    when kind in ('oauth', 'client_credentials') and updated < now() - make_interval(secs => $4::float8 / 1000)
    then now() else expires end
  where id = $1 and version = $2 and server = any($3::text[])
    and (refused is null or refused < now() - make_interval(secs => $4::float8 / 1000))`
