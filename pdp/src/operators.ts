// Owns how what is for operators is joined: who they are, how they sign in, what they did. Starts nothing.
import type { Logger } from 'pino'
import type { Sql } from '../../schemas/database/sql.ts'
import type { Clock, Random } from '../../schemas/ports.ts'
import { type Bootstrap, openBootstrap } from './identity/bootstrap.ts'
import { userOf } from './identity/claims.ts'
import { createIdentify } from './identity/identify.ts'
import { createLogin } from './identity/login.ts'
import type { LoginFile } from './identity/login-file.ts'
import type { Peps } from './identity/peps.ts'
import { openSessions, type Sessions } from './identity/sessions.ts'
import type { SignIn } from './identity/sign-in.ts'
import type { Users } from './identity/users.ts'
import type { TokenVerifier } from './identity/verify-jwt.ts'
import type { Keys } from './keys/keys.ts'
import { type Acts, createActs, listActs } from './ledger/acts.ts'
import type { Ledger } from './ledger/types.ts'
import { actRoutes } from './routes/acts.ts'
import { type BootstrapPorts, bootstrapRoutes } from './routes/bootstrap.ts'
import { countFailures } from './routes/failures.ts'
import { createRecorder } from './routes/record-act.ts'
import type { Caller, Guard, GuardedRoute } from './routes/roles.ts'
import { type SessionPorts, sessionRoutes } from './routes/sessions.ts'

export type OperatorPorts = {
  /** SHA-256 (hex) of the operator token of `dev`, which has every role; undefined: there is none. */
  readonly operatorTokenSha256?: string | undefined
  /** Where operators sign in; undefined: nobody can. */
  readonly login?: LoginFile | undefined
  /** Default AUTH_FAILURES_MAX. */
  readonly authFailuresMax?: number | undefined
}

type Joined = {
  readonly store: { readonly sql: Sql }
  readonly clock: Clock
  readonly random: Random
  readonly ledger: Ledger
  readonly keys: Pick<Keys, 'vault'>
  readonly peps: Peps
  readonly users: Pick<Users, 'showUser'>
  readonly verifier: Pick<TokenVerifier, 'verifyIdToken'>
  readonly signIn: SignIn
  readonly log: Logger
}

export type Operators = {
  readonly guard: Guard
  readonly acts: Acts
  readonly routes: readonly GuardedRoute[]
  readonly sessions: Sessions
  readonly bootstrap: Bootstrap
}

export function joinOperators(ports: OperatorPorts, joined: Joined): Operators {
  const { store, clock, random, ledger, keys, peps, users, log } = joined
  const identity = { sql: store.sql, clock, random }
  const sessions = openSessions(identity)
  const bootstrap = openBootstrap(identity)
  const failures = countFailures(ports.authFailuresMax)
  const acts = createActs(ledger, clock)
  const record = createRecorder(acts, (error) => {
    log.error({ err: error }, 'an act was not recorded')
  })
  const { operatorTokenSha256 } = ports
  const identify = createIdentify({ operatorTokenSha256, peps, sessions })
  const setRoles: BootstrapPorts['setRoles'] = async (user, roles) =>
    (await bootstrap.setRoles(user, roles)) && users.showUser(user)
  return {
    guard: { identify, failures, record, onForbidden: logForbidden(log) },
    acts,
    routes: [
      ...sessionRoutes({ login: loginOf(ports, joined), sessions, bootstrap }, record, failures),
      ...bootstrapRoutes({ sessions, bootstrap, setRoles }, record, failures),
      ...actRoutes({ listActs: (query) => listActs({ store, vault: keys.vault }, query) }),
    ],
    sessions,
    bootstrap,
  }
}

function loginOf({ login: file }: OperatorPorts, joined: Joined): SessionPorts['login'] {
  if (file === undefined) return undefined
  const { store, verifier, signIn, log } = joined
  const { issuer, clientId, scope, jwksUri, private: isPrivate } = file
  const login = createLogin({
    sql: store.sql,
    file,
    needsRole: true,
    verify: (idToken) =>
      verifier.verifyIdToken(idToken, { issuer, clientId, jwksUri, private: isPrivate }),
    signIn,
    userOf: ({ claims, subject }) => userOf(claims, file, subject),
    onRefused: (error) => log.warn({ err: error }, 'somebody could not sign in'),
  })
  return { info: { issuer, clientId, scope }, signIn: login }
}

/** What somebody known may not do is a matter for the log: it is not recorded as an act. */
function logForbidden(log: Logger) {
  return (caller: Caller, route: string): void => {
    const who = caller.kind === 'pep' ? { pep: caller.id } : { user: caller.user }
    log.warn({ ...who, route }, 'somebody may not do this')
  }
}
