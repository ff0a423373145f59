// Owns connecting an account: link, sign-in at the identity provider, consent, authorization server, and back. Says at each
// step who may go on. Knows no HTML and no header.
import { ResponseBodyError } from 'openid-client'
import { CONNECT_LIFETIME_MS } from '../../../../schemas/limits.ts'
import type { Clock } from '../../../../schemas/ports.ts'
import type { OperatorRole } from '../../../../schemas/roles.ts'
import type { ConnectedSecret } from './bound-to.ts'
import { type ClientFor, type ClientStore, oauthUrls } from './client.ts'
import { authorizationUrl, exchangeCode, newPending, type Pending } from './code-flow.ts'
import { ConnectRefused } from './connect-refused.ts'
import type { AuthorizationServer, Discover, OauthTarget } from './discover.ts'
import type { IdpSignIn } from './idp-sign-in.ts'
import { OauthError, oauthErrorOf } from './oauth-error.ts'
import { openOnce } from './once.ts'
import { isClientFault, refusalOf } from './renew.ts'
import type { Step, StepName, StepSeal } from './steps.ts'
import { scopesOf, tokenOf } from './token.ts'

export type SignedInPerson = { readonly user: string; readonly roles: readonly OperatorRole[] }

/** An account that somebody connected. `user` null: for the deployment. `by`: who signed in and agreed. */
export type Connected = {
  readonly server: string
  readonly user: string | null
  readonly by: string
  readonly secret: ConnectedSecret
  readonly issuer: string
  readonly scopes: readonly string[] | null
}

export type ConnectPorts = {
  readonly publicUrl: string
  readonly clock: Clock
  readonly seal: StepSeal
  readonly random: () => string
  /** Undefined: there is no login file. */
  readonly idp: IdpSignIn | undefined
  /** Who that is here. Rejects with ConnectRefused. */
  readonly whoIs: (idToken: string, nonce: string) => Promise<SignedInPerson>
  /** Of the bundle that decides now; undefined: no such server, or none whose accounts are connected. */
  readonly targetOf: (server: string) => OauthTarget | undefined
  readonly hasGrant: (user: string, server: string) => Promise<boolean>
  readonly discover: Discover
  readonly clientFor: ClientFor
  readonly forgetClient: ClientStore['forgetClient']
  /** Records it, then keeps it. Rejects when it could not be recorded: then nothing was kept. */
  readonly connected: (done: Connected) => Promise<void>
  /** For the log: what is told to nobody. */
  readonly onFailure: (error: unknown) => void
}

/** What the browser holds next. */
type Next = { readonly cookie: string }
export type Consent = {
  readonly server: string
  readonly serverHost: string
  readonly user: string | null
  readonly by: string
  /** Host of the authorization endpoint. */
  readonly host: string
  readonly scopes: readonly string[] | null
  readonly csrf: string
}

/** Each rejects with ConnectRefused: the page says its message. `cookie`: what the browser holds. */
export type Connect = {
  readonly start: (server: string, user: string | null) => Promise<Next & { readonly url: string }>
  readonly signedIn: (query: string, cookie: string | undefined) => Promise<Next>
  readonly consent: (cookie: string | undefined) => Promise<Consent>
  readonly agree: (
    csrf: string | undefined,
    cookie: string | undefined,
  ) => Promise<Next & { readonly url: string; readonly host: string }>
  readonly callback: (
    query: string,
    cookie: string | undefined,
  ) => Promise<Pick<Connected, 'server' | 'user' | 'issuer'>>
}

export function createConnect(ports: ConnectPorts): Connect {
  const { clock, seal, idp, discover, clientFor } = ports
  const { callback: redirectUri } = oauthUrls(ports.publicUrl)
  const once = openOnce(clock)
  return { start, signedIn, consent, agree, callback }

  async function start(server: string, user: string | null) {
    const { url, pending } = await orRefused(signInPort().begin())
    const until = clock.now() + CONNECT_LIFETIME_MS
    return { url, cookie: await seal.seal('signIn', { server, user, pending, until }) }
  }

  async function signedIn(query: string, cookie: string | undefined) {
    const { server, user: named, pending, until } = await stepOf('signIn', cookie)
    takeOnce(query, pending)
    const idToken = await orRefused(signInPort().finish(query, pending))
    const { user: by, roles } = await ports.whoIs(idToken, pending.nonce)
    if (named !== null && named !== by) throw somebodyElse(named, by)
    const isCredentialAdmin = roles.some((one) => one === 'admin' || one === 'credential-admin')
    const perUser = ports.targetOf(server)?.declaration
    const user = perUser?.kind === 'oauth' && perUser.per === 'deployment' ? null : by
    const connection = { server, user, by, isCredentialAdmin }
    await targetFor(connection)
    return { cookie: await seal.seal('consent', { ...connection, csrf: ports.random(), until }) }
  }

  async function consent(cookie: string | undefined): Promise<Consent> {
    const step = await stepOf('consent', cookie)
    const { server, user, by, csrf } = step
    const target = await targetFor(step)
    const at = await orRefused(discover(target))
    const host = hostOf(at)
    return { server, serverHost: new URL(target.serverUrl).host, user, by, host, scopes: at.scopes, csrf } // biome-ignore format: one object
  }

  async function agree(csrf: string | undefined, cookie: string | undefined) {
    const { csrf: expected, ...step } = await stepOf('consent', cookie)
    if (csrf !== expected) throw notAsked()
    const target = await targetFor(step)
    const at = await orRefused(discover(target))
    const client = await orRefused(clientFor(target, at))
    const pending = newPending()
    const { resource, issuer } = at
    const scope = scopeOf(at, target)
    const more = { resource, ...(scope?.split(' ').includes('offline_access') ? CONSENT : {}) }
    const url = await authorizationUrl(at, client, pending, { redirectUri, scope, more })
    const next = { ...step, pending, issuer, clientId: client.clientId, resource }
    return { url: url.href, host: hostOf(at), cookie: await seal.seal('connect', next) }
  }

  async function callback(query: string, cookie: string | undefined) {
    const step = await stepOf('connect', cookie)
    const { server, user, by, pending, issuer, resource } = step
    const target = await targetFor(step)
    takeOnce(query, pending)
    const at = await orRefused(discover(target))
    const client = await orRefused(clientFor(target, at))
    if (at.issuer !== issuer || at.resource !== resource || client.clientId !== step.clientId)
      throw new ConnectRefused(
        409,
        `the settings of ${server} changed meanwhile; open the link anew`,
      )
    const came = { redirectUri, query, pending, nonce: null, more: { resource } }
    const answer = await exchangeCode(at, client, came).catch(async (error: unknown) => {
      const code = refusalOf(error)
      if (code !== undefined && isClientFault(code))
        await ports.forgetClient(server, client.clientId)
      throw refusedOf(saidBy(error, issuer))
    })
    const token = await orRefused(Promise.try(() => tokenOf(answer, clock.now())))
    const secret: ConnectedSecret = { kind: 'oauth', client, resource, token }
    await ports.connected({ server, user, by, secret, issuer, scopes: scopesOf(token) })
    return { server, user, issuer }
  }

  /** INVARIANT: what comes back is what this browser was sent for, and is looked at once. */
  function takeOnce(query: string, { state }: Pending): void {
    const isAsked = new URLSearchParams(query).get('state') === state
    if (!isAsked || !once(state)) throw tooOld()
  }

  /** INVARIANT: nothing goes on for somebody who may not have it: asked anew at every step. */
  async function targetFor(
    asked: Pick<Step<'consent'>, 'server' | 'user' | 'by' | 'isCredentialAdmin'>,
  ): Promise<OauthTarget> {
    const { server, user, by, isCredentialAdmin } = asked
    const target = ports.targetOf(server)
    const { declaration } = target ?? {}
    const isOwn = declaration?.kind === 'oauth' && (declaration.per === 'user') === (user !== null)
    const may = user === null ? isCredentialAdmin : await ports.hasGrant(user, server)
    if (target !== undefined && isOwn && may) return target
    throw new ConnectRefused(403, noAccess(server, by))
  }

  async function stepOf<Name extends StepName>(
    name: Name,
    cookie: string | undefined,
  ): Promise<Step<Name>> {
    const step = await seal.open(name, cookie)
    if (step === undefined) throw tooOld()
    return step
  }

  function signInPort(): IdpSignIn {
    if (idp !== undefined) return idp
    throw new ConnectRefused(
      503,
      'nobody can sign in here: the PDP has no login file; whoever runs it sets CEDARGATE_LOGIN_FILE',
    )
  }

  async function orRefused<Value>(work: Promise<Value>): Promise<Value> {
    return await work.catch((error: unknown) => {
      throw error instanceof OauthError ? refusedOf(error) : error
    })
  }

  function refusedOf(error: OauthError): ConnectRefused {
    ports.onFailure(error)
    return new ConnectRefused(502, error.message)
  }
}

const CONSENT = { prompt: 'consent' }

/**
 * As the MCP SDK asks: where nobody stated scopes, offline_access besides what the server needs, if that is what gives a
 * refresh token there.
 */
function scopeOf({ scopes, metadata }: AuthorizationServer, target: OauthTarget): string | null {
  if (scopes === null || scopes.length === 0) return null
  const offered = metadata.scopes_supported?.includes('offline_access') === true
  const isStated = target.declaration.scopes !== undefined
  const more = offered && !isStated ? ['offline_access'] : []
  return [...new Set([...scopes, ...more])].join(' ')
}

function hostOf({ metadata, issuer }: AuthorizationServer): string {
  return new URL(metadata.authorization_endpoint ?? issuer).host
}

function saidBy(error: unknown, issuer: string): OauthError {
  const code = refusalOf(error)
  if (code !== undefined)
    return new OauthError(`${issuer} refuses it (${code}); open the link anew`)
  if (error instanceof ResponseBodyError) return new OauthError(`${issuer} did not give a token`)
  return oauthErrorOf(error, `the token endpoint of ${issuer}`)
}

function noAccess(server: string, by: string): string {
  return `${by} may connect no account to ${server}: nobody gave you access to it, or its accounts are connected by somebody with the role admin or credential-admin`
}

/** The link named them, so that it does is told to nobody new. */
function somebodyElse(named: string, by: string): ConnectRefused {
  return new ConnectRefused(
    403,
    `this link is for ${named}, and you are signed in as ${by}; nothing was connected`,
  )
}

function tooOld(): ConnectRefused {
  return new ConnectRefused(
    400,
    'this page was not asked for in this browser, or too long ago, or twice; open the link anew',
    true,
  )
}

function notAsked(): ConnectRefused {
  return new ConnectRefused(403, 'this was not sent from the page of the gateway', true)
}
