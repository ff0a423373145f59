// Owns how the parts of this room are joined: the credential broker over one database, one change feed and one key ring.
import type { CredentialDeclaration } from '../../../schemas/credentials.ts'
import type { CredentialKeys, RewrapLine } from '../../../schemas/credentials-api.ts'
import { REFRESH_COOLDOWN_MS } from '../../../schemas/limits.ts'
import type { Outcome } from '../../../schemas/pep-api.ts'
import type { Clock, Random } from '../../../schemas/ports.ts'
import type { ChangeFeed } from '../identity/change-feed.ts'
import { keepLastRelease, type LastUse } from '../identity/last-use.ts'
import type { Store } from '../store/open.ts'
import { type CredentialAdministration, openAdministration } from './administration.ts'
import { type Broker, type BrokerPorts, openBroker } from './broker.ts'
import { type Connections, openConnections } from './connections.ts'
import type { KeyRing } from './key-ring.ts'
import { openRenewals, type Renew, type RenewalPorts } from './renewal.ts'
import { listKeys, rewrapAll } from './rewrap.ts'
import { type CredentialRecord, type Owner, openCredentialRows, ownerKey } from './rows.ts'

export type CredentialPorts = {
  readonly store: Pick<Store, 'sql' | 'prompt'>
  readonly feed: ChangeFeed
  readonly ring: KeyRing
  readonly clock: Clock
  readonly random: Random
  /** What server.yaml declares now. */
  readonly declarationOf: (server: string) => CredentialDeclaration | undefined
  /** Where what is set for this server is sent (destination.ts). */
  readonly destinationOf: (server: string) => string
  /** Where somebody connects an account. */
  readonly linkOf: (owner: Owner) => string
  readonly renew: Renew
  readonly unbound: BrokerPorts['unbound']
  readonly onResult: RenewalPorts['onResult']
  /** Told of a credential that does not open. */
  readonly onFault: (of: { readonly id: string }, error: unknown) => void
  readonly onFailure: (error: unknown) => void
}

export type Credentials = {
  readonly release: Broker['release']
  readonly lastRelease: LastUse
  readonly administration: CredentialAdministration
  readonly connections: Connections
  /** What the PEP that speaks for these servers reports: a secret that a server refused is not good. Never rejects. */
  readonly noteOutcomes: (servers: readonly string[], outcomes: readonly Outcome[]) => Promise<void>
  readonly keys: () => Promise<CredentialKeys>
  readonly rewrap: () => AsyncIterable<RewrapLine>
}

export function openCredentials(ports: CredentialPorts): Credentials {
  const { store, feed, ring, clock, random, declarationOf, destinationOf, onFault } = ports
  const { sql } = store
  const rows = openCredentialRows(sql)
  const onChanged = (owner: Owner): void => feed.note([{ kind: 'credential', id: ownerKey(owner) }])
  const vaulting = { ring, random }
  const writing = { rows, vaulting, clock, random, destinationOf, onChanged }
  const { renew, onResult } = ports
  const startRenewal = openRenewals({ sql, rows, vaulting, clock, renew, onChanged, onResult })
  const prompt = openCredentialRows(store.prompt)
  const broker = openBroker({ ...ports, rows: prompt, ring, startRenewal })
  const fault = (id: string, error: unknown): void => onFault({ id }, error)
  return {
    release: broker.release,
    lastRelease: keepLastRelease({ ...ports, sql }),
    administration: openAdministration({
      ...writing,
      declarationOf,
      unbound: ports.unbound,
      startRenewal,
      async expire(of) {
        await sql.query(EXPIRE, [of.id]).finally(() => onChanged(of))
      },
    }),
    connections: openConnections(writing),
    async noteOutcomes(servers, outcomes) {
      for (const { credential, status } of outcomes) {
        if (credential === undefined || status !== 401) continue
        const { id, version } = credential
        await sql.query(REFUSED, [id, version, servers, REFRESH_COOLDOWN_MS]).catch(ports.onFailure)
      }
    },
    keys: () => listKeys({ rows, ring, onFault: fault }),
    rewrap: () => rewrapAll({ rows, ring, onFault: fault }),
  }
}

/** By the clock of the database, which leases are by too. */
const EXPIRE = `update credentials set expires = now(), retry_after = null where id = $1`

/** A new token is fetched for one that the server refuses, but not at once again for one that was fetched just now. */
const REFUSED = `update credentials set refused = now(), expires = case
    when kind in ('oauth', 'client_credentials') and updated < now() - make_interval(secs => $4::float8 / 1000)
    then now() else expires end
  where id = $1 and version = $2 and refused is null and server = any($3::text[])`

export type { CredentialRecord }
