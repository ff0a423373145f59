// Owns a PDP for tests: the real rooms on the database of the current project, with the example bundle.
import { hash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { createPdp, type Pdp, type PdpPorts } from '../../pdp/src/compose.ts'
import { openDecider } from '../../pdp/src/decider.ts'
import { openDialer } from '../../pdp/src/egress/dialer.ts'
import { createKeys, type Keys, loadKeys } from '../../pdp/src/keys/keys.ts'
import { systemClock } from '../../pdp/src/main.ts'
import { directorySource } from '../../pdp/src/source/directory-source.ts'
import type { Store } from '../../pdp/src/store/open.ts'
import { formatToken } from '../../schemas/identifiers.ts'
import { openTestStore } from './store.ts'

export type TestPdp = Pdp & {
  readonly store: Store
  readonly keys: Keys
  readonly publicUrl: string
  /** Headers with a credential of that kind; `none` has none. `pep-<server>` is enrolled for that server alone. */
  readonly authorization: (credential: string) => Record<string, string>
}

export const EXAMPLE_BUNDLE = fileURLToPath(new URL('../../policies/', import.meta.url))
export const AUTHZEN_BUNDLE = fileURLToPath(new URL('../fixtures/authzen/', import.meta.url))
const DAY_MS = 86_400_000
const PUBLIC_URL = 'https://pdp.test'

type Chosen =
  | 'webhookSecret'
  | 'authFailuresMax'
  | 'login'
  | 'operatorTokenSha256'
  | 'publicUrl'
  | 'webClientSecret'
  | 'clock'
  | 'log'

/** A PDP with alice (engineering) and bob (interns) granted on every server of its bundle. */
export async function startTestPdp(
  bundleDirectory: string = EXAMPLE_BUNDLE,
  options: Partial<Pick<PdpPorts, Chosen>> = {},
): Promise<TestPdp> {
  const home = await mkdtemp(join(tmpdir(), 'cedargate-pdp-'))
  await createKeys(join(home, 'keys'))
  const store = await openTestStore()
  const operator = formatToken('operator', randomBytes(32), sha256)
  const keys = await loadKeys(join(home, 'keys'))
  const pdp = await createPdp({
    store,
    keys,
    decider: await openDecider({
      source: directorySource(bundleDirectory),
      trust: { signers: [], unsignedDirectory: 'accept' },
      env: { CEDARGATE_HOME: home },
      engineWorkers: 2,
      clock: options.clock ?? systemClock,
    }),
    operatorTokenSha256: sha256(operator),
    publicUrl: PUBLIC_URL,
    clock: systemClock,
    random: (bytes) => randomBytes(bytes),
    dial: openDialer(),
    env: {},
    log: pino({ level: 'silent' }),
    ...options,
  })
  const servers = [...pdp.bundle.servers.keys()]
  const grant = (user: string, team: string) => {
    return pdp.admin.createGrant({
      user,
      agent: 'demo',
      servers,
      teams: [team],
      expiresInMs: DAY_MS,
    })
  }
  const alice = await grant('alice', 'engineering')
  await grant('bob', 'interns')
  const tokens: Record<string, string> = {
    garbage: 'garbage',
    operator,
    grant: alice.token,
    pep: (await pdp.admin.enrollPep(servers)).key,
  }
  for (const server of servers) tokens[`pep-${server}`] = (await pdp.admin.enrollPep([server])).key
  return {
    ...pdp,
    get bundle() {
      return pdp.bundle
    },
    store,
    keys,
    publicUrl: options.publicUrl ?? PUBLIC_URL,
    authorization: (credential): Record<string, string> => {
      return credential === 'none' ? {} : { authorization: `Bearer ${tokens[credential] ?? ''}` }
    },
    stop: async () => {
      await pdp.stop()
      await store.close()
      await rm(home, { recursive: true })
    },
  }
}

function sha256(text: string): string {
  return hash('sha256', text)
}
