// Owns how the pages by which accounts are connected are joined. Starts nothing.
import type { Logger } from 'pino'
import type { Sql } from '../../schemas/database/sql.ts'
import type { Clock, Random } from '../../schemas/ports.ts'
import type { Connections } from './credentials/connections.ts'
import { clientDocument, createClientFor } from './credentials/oauth/client.ts'
import { createConnect } from './credentials/oauth/connect.ts'
import type { ConnectPorts } from './credentials/oauth/connect-ports.ts'
import { ConnectRefused } from './credentials/oauth/connect-refused.ts'
import type { Discover } from './credentials/oauth/discover.ts'
import { type IdpSignIn, openIdpSignIn } from './credentials/oauth/idp-sign-in.ts'
import { openStepSeal } from './credentials/oauth/steps.ts'
import type { Dialer } from './egress/dialer.ts'
import { userOf } from './identity/claims.ts'
import { createLogin } from './identity/login.ts'
import type { LoginFile } from './identity/login-file.ts'
import { isKeeper, openMayConnect } from './identity/may-connect.ts'
import type { SignIn } from './identity/sign-in.ts'
import type { TokenVerifier } from './identity/verify-jwt.ts'
import type { Keys } from './keys/keys.ts'
import type { Acts } from './ledger/acts.ts'
import { connectRoutes } from './routes/connect.ts'
import type { Guard, GuardedRoute } from './routes/roles.ts'

type Joined = {
  readonly login?: LoginFile | undefined
  /** Of `web` of the login file; undefined: it is a public client. */
  readonly webClientSecret?: string | undefined
  readonly connections: Connections
  readonly targetOf: ConnectPorts['targetOf']
  readonly acts: Acts
  readonly discover: Discover
  readonly publicUrl: string
  readonly store: { readonly sql: Sql }
  readonly clock: Clock
  readonly random: Random
  readonly keys: Pick<Keys, 'vault'>
  /** How the identity provider is reached. */
  readonly dial: Dialer
  readonly verifier: Pick<TokenVerifier, 'verifyIdToken'>
  readonly signIn: SignIn
  readonly guard: Pick<Guard, 'failures'>
  readonly log: Logger
}

export function joinConnecting(joined: Joined): GuardedRoute[] {
  const { connections, publicUrl, store, clock, random, keys, log } = joined
  const connect = createConnect({
    publicUrl,
    clock,
    targetOf: joined.targetOf,
    discover: joined.discover,
    seal: openStepSeal(keys.vault.connectKey(), clock),
    random: () => Buffer.from(random(32)).toString('base64url'),
    idp: idpOf(joined),
    whoIs: whoIsOf(joined),
    mayConnect: openMayConnect({ sql: store.sql, clock }),
    clientFor: createClientFor({ ...connections, publicUrl }),
    forgetClient: connections.forgetClient,
    connected: recordConnected(joined),
    onFailure: (error) => log.warn({ err: error }, 'an account was not connected'),
  })
  const { failures } = joined.guard
  const documentOf = (server: string) => clientDocument(publicUrl, server)
  return connectRoutes({ connect, publicUrl, failures, clientDocument: documentOf })
}

/** Order: recorded before it is kept, how it ended after. */
function recordConnected({ acts, connections, log }: Joined): ConnectPorts['connected'] {
  return async function connected(done) {
    const { server, user, by, issuer, scopes } = done
    const what = { server, user, issuer, scopes }
    const act = await acts.begin({ user: by.user, act: 'credentials.connect', what })
    const end = (status: number): Promise<void> =>
      acts.end(act, status).catch((error: unknown) => {
        log.error({ err: error }, 'how an act ended was not recorded')
      })
    const kept = await connections.connected(done).catch(async (error: unknown) => {
      await end(500)
      throw error
    })
    await end(kept === undefined ? 403 : 201)
    if (kept === undefined)
      throw new ConnectRefused(403, `${by.user} may not connect it any more; nothing was kept`)
  }
}

function idpOf({ login, webClientSecret, publicUrl, dial, clock }: Joined): IdpSignIn | undefined {
  if (login === undefined) return undefined
  const { issuer, scope } = login
  const clientId = webClientOf(login)
  const web = {
    issuer,
    private: login.private,
    clientId,
    clientSecret: webClientSecret ?? null,
    scope,
  }
  return openIdpSignIn({ web, redirectUri: `${publicUrl}/oauth/signed-in`, dial, clock })
}

function whoIsOf({ login: file, store, verifier, signIn, log }: Joined): ConnectPorts['whoIs'] {
  if (file === undefined) return () => Promise.reject(new Error('there is no login file'))
  const { issuer, jwksUri, private: isPrivate } = file
  const expected = { issuer, jwksUri, private: isPrivate, clientId: webClientOf(file) }
  const login = createLogin({
    sql: store.sql,
    file,
    needsRole: false,
    verify: (idToken) => verifier.verifyIdToken(idToken, expected),
    signIn,
    userOf: ({ claims, subject }) => userOf(claims, file, subject),
    onRefused: (error) => log.warn({ err: error }, 'somebody could not sign in'),
  })
  return async function whoIs(idToken) {
    const person = await login(idToken)
    if ('why' in person) throw new ConnectRefused(403, person.why, !person.known)
    const { user, roles, idToken: at } = person
    return { user, issuer: at.issuer, subject: at.subject, isKeeper: isKeeper(roles) }
  }
}

function webClientOf({ web, clientId }: LoginFile): string {
  return web?.clientId ?? clientId
}
