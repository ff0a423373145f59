// Owns connecting an account: link, sign-in at the identity provider, consent, authorization server, and back. Joins the
// steps; who may go on at each is said in connect-gate.ts. Knows no HTML and no header.
import { ResponseBodyError } from 'openid-client'
import { CONNECT_LIFETIME_MS } from '../../../../schemas/limits.ts'
import type { Connected } from '../connections.ts'
import { oauthUrls } from './client.ts'
import { authorizationUrl, exchangeCode, newPending } from './code-flow.ts'
import { type ConnectGate, openConnectGate } from './connect-gate.ts'
import type { Connect, ConnectPorts } from './connect-ports.ts'
import { ConnectRefused, notFromOurPage, ofAnotherServer, tooOld } from './connect-refused.ts'
import type { AuthorizationServer, OauthTarget } from './discover.ts'
import type { IdpSignIn } from './idp-sign-in.ts'
import { OauthError, oauthErrorOf } from './oauth-error.ts'
import { isClientFault, refusalOf } from './renew.ts'
import type { StepSeal } from './steps.ts'
import { scopesOf, tokenOf } from './token.ts'

export function createConnect(ports: ConnectPorts): Connect {
  const gate = openConnectGate(ports)
  return { ...signingIn(ports, gate), ...agreeing(ports, gate), callback: comingBack(ports, gate) }
}

function signingIn(ports: ConnectPorts, gate: ConnectGate): Pick<Connect, 'start' | 'signedIn'> {
  const { clock, seal } = ports
  return {
    async start(server, user) {
      const { url, pending } = await gate.orRefused(idpOf(ports).begin())
      const until = clock.now() + CONNECT_LIFETIME_MS
      return { url, cookie: await seal.seal('signIn', { server, user, pending, until }) }
    },
    async signedIn(query, cookie) {
      const { server, user: named, pending, until } = await stepOf(seal, 'signIn', cookie)
      gate.takeOnce(query, pending)
      const idToken = await gate.orRefused(idpOf(ports).finish(query, pending), true)
      const by = await ports.whoIs(idToken)
      if (named !== null && named !== by.user) throw somebodyElse(named, by.user)
      const declaration = ports.targetOf(server)?.declaration
      const isShared = declaration?.kind === 'oauth' && declaration.per === 'deployment'
      const connection = { server, user: isShared ? null : by.user, by }
      await gate.targetFor(connection)
      return { cookie: await seal.seal('consent', { ...connection, csrf: ports.random(), until }) }
    },
  }
}

function agreeing(ports: ConnectPorts, gate: ConnectGate): Pick<Connect, 'consent' | 'agree'> {
  const { seal } = ports
  return {
    async consent(cookie) {
      const step = await stepOf(seal, 'consent', cookie)
      const { server, user, by, csrf } = step
      const target = await gate.targetFor(step)
      const at = await gate.orRefused(ports.discover(target))
      const { origin: sentTo } = new URL(target.serverUrl)
      const { issuer } = at
      const scope = scopeOf(at, target)
      return { server, user, by: by.user, issuer, host: hostOf(at), sentTo, scope, csrf }
    },
    async agree(csrf, cookie) {
      const { csrf: expected, ...step } = await stepOf(seal, 'consent', cookie)
      if (csrf !== expected) throw notFromOurPage()
      const target = await gate.targetFor(step)
      const at = await gate.orRefused(ports.discover(target))
      const client = await gate.orRefused(ports.clientFor(target, at))
      const pending = newPending()
      const { resource, issuer } = at
      const scope = scopeOf(at, target)
      const asksOffline = scope?.split(' ').includes('offline_access') === true
      const more = { resource, ...(asksOffline ? { prompt: 'consent' } : {}) }
      const { callback: redirectUri } = oauthUrls(ports.publicUrl, step.server)
      const url = await authorizationUrl(at, client, pending, { redirectUri, scope, more })
      const next = { ...step, pending, issuer, clientId: client.clientId, resource }
      return { url: url.href, host: hostOf(at), cookie: await seal.seal('connect', next) }
    },
  }
}

function comingBack(ports: ConnectPorts, gate: ConnectGate): Connect['callback'] {
  const { seal, clock } = ports
  return async function callback(cameTo, query, cookie) {
    const step = await stepOf(seal, 'connect', cookie)
    const { server, user, by, pending, issuer, resource } = step
    // INVARIANT: nothing goes out before this is known (RFC 9700 §4.4).
    if (cameTo !== server) throw ofAnotherServer()
    const target = await gate.targetFor(step)
    gate.takeOnce(query, pending)
    const at = await gate.orRefused(ports.discover(target))
    const client = await gate.orRefused(ports.clientFor(target, at))
    if (at.issuer !== issuer || at.resource !== resource || client.clientId !== step.clientId)
      throw new ConnectRefused(
        409,
        `the settings of ${server} changed meanwhile; open the link anew`,
      )
    const { callback: redirectUri } = oauthUrls(ports.publicUrl, server)
    const came = { redirectUri, query, pending, nonce: null, more: { resource } }
    const exchange = exchangeCode(at, client, came).catch(async (error: unknown) => {
      if (isClientFault(refusalOf(error) ?? '')) await ports.forgetClient(server, client.clientId)
      throw saidBy(error, issuer)
    })
    const token = await gate.orRefused(exchange.then((answer) => tokenOf(answer, clock.now())))
    const secret = { kind: 'oauth', client, resource, token } as const
    await keep(ports, { server, user, by, secret, issuer, scopes: scopesOf(token) })
    return { server, user, issuer }
  }
}

async function keep({ connected, onFailure }: ConnectPorts, done: Connected): Promise<void> {
  await connected(done).catch((error: unknown) => {
    if (error instanceof ConnectRefused) throw error
    onFailure(error)
    throw new ConnectRefused(
      503,
      'this cannot be recorded now, so nothing was kept; open the link anew later',
    )
  })
}

async function stepOf<Name extends Parameters<StepSeal['open']>[0]>(
  seal: StepSeal,
  name: Name,
  cookie: string | undefined,
) {
  const step = await seal.open(name, cookie)
  if (step === undefined) throw tooOld()
  return step
}

function idpOf({ idp }: ConnectPorts): IdpSignIn {
  if (idp !== undefined) return idp
  throw new ConnectRefused(
    503,
    'nobody can sign in here: the PDP has no login file; whoever runs it sets CEDARGATE_LOGIN_FILE',
  )
}

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

/** The link named them, so that it does is told to nobody new. */
function somebodyElse(named: string, by: string): ConnectRefused {
  return new ConnectRefused(
    403,
    `this link is for ${named}, and you are signed in as ${by}; nothing was connected`,
  )
}
