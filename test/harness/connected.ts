// Owns getting a connected account for tests without the pages: the real code flow with a real authorization server.
import {
  type ClientStore,
  createClientFor,
  oauthUrls,
} from '../../pdp/src/credentials/oauth/client.ts'
import {
  authorizationUrl,
  exchangeCode,
  newPending,
} from '../../pdp/src/credentials/oauth/code-flow.ts'
import type { Discover, OauthTarget } from '../../pdp/src/credentials/oauth/discover.ts'
import { tokenOf } from '../../pdp/src/credentials/oauth/token.ts'
import type { ClientSecret, RenewableSecret } from '../../pdp/src/credentials/secret.ts'
import type { AuthorizationServer } from './authorization-server.ts'

export type Kept = ClientStore & { readonly clients: Map<string, ClientSecret> }

/** Clients, kept in memory. */
export function keepClients(): Kept {
  const clients = new Map<string, ClientSecret>()
  return {
    clients,
    clientOf: async (server) => clients.get(server),
    keepClient: async (server, client) => void clients.set(server, client),
    forgetClient: async (server, clientId) => {
      const kept = clients.get(server)
      if (kept?.clientId === clientId && kept.by === 'registration') clients.delete(server)
    },
  }
}

type Ports = ClientStore & { readonly discover: Discover; readonly publicUrl: string }

/** What is kept of an account of `alice` there. */
export async function connectAccount(
  as: AuthorizationServer,
  ports: Ports,
  target: OauthTarget,
): Promise<Extract<RenewableSecret, { kind: 'oauth' }>> {
  const at = await ports.discover(target)
  const client = await createClientFor(ports)(target, at)
  const { callback: redirectUri } = oauthUrls(ports.publicUrl, target.server)
  const pending = newPending()
  const more = { resource: at.resource }
  const url = await authorizationUrl(at, client, pending, { redirectUri, scope: 'read', more })
  const query = new URL(await as.login('alice', url.href)).search
  const answer = await exchangeCode(at, client, { redirectUri, query, pending, nonce: null, more })
  return { kind: 'oauth', client, resource: at.resource, token: tokenOf(answer, Date.now()) }
}
