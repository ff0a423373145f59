// Owns keeping what an authorization server gave: the token of somebody who connected an account, and a client of ours.
import type { SignedIn } from '../identity/may-connect.ts'
import { unseal } from './envelope.ts'
import type { CredentialRecord, Owner } from './rows.ts'
import type { ClientSecret, ConnectedSecret } from './secret.ts'
import { type WritePorts, writeSecret } from './write.ts'

/** `by`: who signed in and agreed. */
export type Connected = Owner & {
  readonly by: SignedIn
  readonly secret: ConnectedSecret
  readonly issuer: string
  readonly scopes: readonly string[] | null
}

export type Connections = {
  /** Undefined: `by` may not any more. */
  readonly connected: (connection: Connected) => Promise<CredentialRecord | undefined>
  /** What we are registered with for this server; undefined: nothing. Rejects with CredentialFault when it does not open. */
  readonly clientOf: (server: string) => Promise<ClientSecret | undefined>
  readonly keepClient: (server: string, client: ClientSecret) => Promise<void>
  /** Does nothing unless that client is kept, and registered itself. */
  readonly forgetClient: (server: string, clientId: string) => Promise<void>
}

export function openConnections(ports: WritePorts): Connections {
  const { rows, vaulting } = ports
  return {
    connected({ server, user, by, secret, issuer, scopes }) {
      const details = { issuer, scopes, expires: new Date(secret.token.expiresAt) }
      return writeSecret(ports, { server, user }, 'call', async () => ({ secret, details }), by)
    },
    clientOf: async (server) => (await client(server))?.secret,
    async forgetClient(server, clientId) {
      const kept = await client(server)
      const isMeant = kept?.secret.by === 'registration' && kept.secret.clientId === clientId
      if (isMeant) await rows.remove(kept.record.id)
    },
    async keepClient(server, secret) {
      const { issuer } = secret
      await writeSecret(ports, { server, user: null }, 'client', async () => ({
        secret,
        details: { issuer },
      }))
    },
  }

  async function client(server: string) {
    const record = await rows.of({ server, user: null }, 'client')
    if (record === undefined) return undefined
    const { secret } = await unseal(vaulting.ring, record.envelope, record)
    return secret.kind === 'client' ? { record, secret } : undefined
  }
}
