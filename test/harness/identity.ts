// Owns the identity room for tests, without identity providers. It looks at the database when asked to, never by itself.
import { randomBytes } from 'node:crypto'
import { type Identity, openIdentity } from '../../pdp/src/identity/identity.ts'
import type { Store } from '../../pdp/src/store/open.ts'
import type { Clock } from '../../schemas/ports.ts'

export function openTestIdentity(
  store: Pick<Store, 'sql' | 'prompt' | 'listen'>,
  clock: Clock,
): Identity {
  return openIdentity({
    store,
    clock,
    random: (bytes) => randomBytes(bytes),
    fetch: () => Promise.reject(new Error('no identity provider in this test')),
    settings: () => ({ issuers: [] }),
    onFailure: () => {},
    onRefused: () => {},
  })
}
