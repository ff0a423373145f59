// Owns the identity room for tests, without identity providers. It looks at the database when asked to, never by itself.
import { randomBytes } from 'node:crypto'
import { type Identity, openIdentity } from '../../pdp/src/identity/identity.ts'
import type { Store } from '../../pdp/src/store/open.ts'
import { gatewayFile } from '../../schemas/bundle.ts'
import type { Clock } from '../../schemas/ports.ts'

/** A provider that nobody asks, and what gateway.yaml says of its client `portal`. */
export const ISSUER = 'https://idp.test'
const PORTAL = { agent: 'portal', servers: ['files'] }
export const SETTINGS = gatewayFile.parse({
  name: 'test',
  identity: { issuers: [{ issuer: ISSUER, audience: 'mcp', clients: { portal: PORTAL } }] },
}).identity

export function openTestIdentity(
  store: Pick<Store, 'sql' | 'prompt' | 'listen'>,
  clock: Clock,
): Identity {
  return openIdentity({
    store,
    clock,
    random: (bytes) => randomBytes(bytes),
    dial: () => () => Promise.reject(new Error('no identity provider in this test')),
    settings: () => ({ issuers: [] }),
    onFailure: () => {},
    onRefused: () => {},
  })
}
