// Owns how the parts of this room are joined: the credential broker over one database, one change feed and one key ring.
import type { CredentialDeclaration } from '../../../schemas/credentials.ts'
import type { CredentialKeys, RewrapLine } from '../../../schemas/credentials-api.ts'
import type { Outcome } from '../../../schemas/pep-api.ts'
import type { Clock, Random } from '../../../schemas/ports.ts'
import type { ChangeFeed } from '../identity/change-feed.ts'
import { keepLastRelease, type LastUse } from '../identity/last-use.ts'
import type { Store } from '../store/open.ts'
import { type CredentialAdministration, openAdministration } from './administration.ts'
import { type Broker, type BrokerPorts, openBroker } from './broker.ts'
import { type Connections, openConnections } from './connections.ts'
import type { KeyRing } from './key-ring.ts'
import { keepRefusals } from './refusals.ts'
import { openRenewals, type Renew, type RenewalPorts } from './renewal.ts'
import { listKeys, rewrapAll } from './rewrap.ts'
import { type Owner, openCredentialRows, ownerKey } from './rows.ts'

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
  /** The authorization server of this server, as it is named now. Rejects when nobody says. */
  readonly issuerOf: (server: string) => Promise<string>
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
  const refusals = keepRefusals({ ...ports, sql })
  const onRefused = refusals.watch
  const broker = openBroker({ ...ports, rows: prompt, ring, startRenewal, onRefused })
  return {
    release: broker.release,
    lastRelease: keepLastRelease({ ...ports, sql }),
    administration: openAdministration({
      ...writing,
      declarationOf,
      unbound: ports.unbound,
      issuerOf: ports.issuerOf,
      startRenewal,
      async expire(of) {
        await sql.query(EXPIRE, [of.id]).finally(() => onChanged(of))
      },
    }),
    connections: openConnections(writing),
    noteOutcomes: refusals.note,
    keys: () => listKeys({ rows, ring }),
    rewrap: () => rewrapAll({ rows, ring, onFault }),
  }
}

/** By the clock of the database, which leases are by too. */
const EXPIRE = `update credentials set expires = now(), retry_after = null where id = $1`
