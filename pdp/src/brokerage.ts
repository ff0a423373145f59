// Owns how the credential broker is joined to the rest of a PDP: what it says in the log, what it counts.
import type { Logger } from 'pino'
import type { Sql } from '../../schemas/database/sql.ts'
import type { Clock, Random } from '../../schemas/ports.ts'
import type { Activation } from './activation/activation.ts'
import { type Credentials, openCredentials } from './credentials/credentials.ts'
import { destinationOf } from './credentials/destination.ts'
import type { KeyRing } from './credentials/key-ring.ts'
import { linkTo } from './credentials/link.ts'
import { unboundReason } from './credentials/oauth/bound-to.ts'
import type { Discover, OauthTarget } from './credentials/oauth/discover.ts'
import { OauthError } from './credentials/oauth/oauth-error.ts'
import { createRenew } from './credentials/oauth/renew.ts'
import type { Renew } from './credentials/renewal.ts'
import type { Binding } from './credentials/secret.ts'
import type { ChangeFeed } from './identity/change-feed.ts'
import type { Metrics } from './metrics.ts'
import { onceEach } from './once-each.ts'

type Ports = {
  readonly store: { readonly sql: Sql; readonly prompt: Sql }
  readonly clock: Clock
  readonly random: Random
  readonly publicUrl: string
  /** For `${NAME}` in urls of servers. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Logger
}

type Joined = {
  readonly ring: KeyRing
  readonly activation: Pick<Activation, 'active'>
  readonly feed: ChangeFeed
  readonly metrics: Pick<Metrics, 'countRenewal'>
  readonly discover: Discover
  /** Of the bundle that decides now. */
  readonly targetOf: TargetOf
}

type TargetOf = (server: string) => OauthTarget | undefined

/** Of a server that is in no bundle. */
const NOWHERE: Destined = { url: '', command: null }
type Destined = Parameters<typeof destinationOf>[0]

export function joinCredentials(
  { store, clock, random, publicUrl, env, log }: Ports,
  { ring, activation, feed, metrics, discover, targetOf }: Joined,
): Credentials {
  const forgetClient = (server: string, clientId: string): Promise<void> =>
    credentials.connections.forgetClient(server, clientId)
  const serverOf = (server: string) => activation.active().bundle.servers.get(server)
  const destination = onceEach((upstream: Destined) => destinationOf(upstream, env))
  const unboundFrom = onceEach((target: OauthTarget) =>
    onceEach((binding: Binding) => unboundReason(binding, target)),
  )
  const credentials = openCredentials({
    store,
    feed,
    ring,
    clock,
    random,
    declarationOf: (server) => serverOf(server)?.credential,
    destinationOf: (server) => destination(serverOf(server)?.upstream ?? NOWHERE),
    linkOf: (owner) => linkTo(publicUrl, owner),
    unbound(server, binding) {
      const target = targetOf(server)
      return target === undefined ? noTarget(server) : unboundFrom(target)(binding)
    },
    async issuerOf(server) {
      const target = targetOf(server)
      if (target === undefined) throw new OauthError(noTarget(server))
      return target.declaration.issuer ?? (await discover(target)).issuer
    },
    renew: renewing(targetOf, { discover, clock, forgetClient }),
    onResult({ id, server, user }, result, error) {
      metrics.countRenewal(result)
      if (result !== 'renewed')
        log.warn(
          { credential: id, server, user, err: error },
          `an access token was not renewed: ${result}`,
        )
    },
    onFault: ({ id }, error) =>
      log.error({ credential: id, err: error }, 'a credential cannot be decrypted'),
    onFailure: (error) =>
      log.warn({ err: error }, 'what is known of credentials could not be written'),
  })
  return credentials
}

/** Said once, at the start: calls that need one of them are denied. Never rejects. */
export async function warnOfLocked(
  { keys }: Pick<Credentials, 'keys'>,
  log: Logger,
): Promise<void> {
  try {
    const { keys: all, source } = await keys()
    for (const { id, known, credentials } of all)
      if (!known)
        log.warn(
          { key: id, credentials },
          `credentials are encrypted with a key that is not in ${source}`,
        )
  } catch (error) {
    log.warn({ err: error }, 'whether every credential can be decrypted is not known')
  }
}

function renewing(targetOf: TargetOf, ports: Parameters<typeof createRenew>[0]): Renew {
  const renew = createRenew(ports)
  return async function renewFor({ secret, server, signal }) {
    const target = targetOf(server)
    if (target !== undefined) return await renew({ ...target, secret, signal })
    throw new OauthError(noTarget(server))
  }
}

function noTarget(server: string): string {
  return `the \`url\` of ${server} names a variable that is not set for this PDP, or its credential is another one now`
}
